// Reads the images that a network is trained on: a data set of the page, or the user's files.
import type { Collection, Kind } from "./collection.js";
import { loadDataSet } from "./data.js";
import { readFolder } from "./folder.js";
import { readIdx } from "./idx.js";

/** Fetches or reads the images of a kind. `files` are the user's files for the kinds `idx` and `folder`. */
export async function collect(
  kind: Kind,
  files: readonly File[],
  onProgress: (loaded: number, total: number | undefined) => void,
  signal: AbortSignal,
): Promise<Collection> {
  if (kind === "idx") return readIdx(files);
  if (kind === "folder") return readFolder(files, onProgress, signal);
  const set = await loadDataSet(kind === "clothes" ? "fashion-mnist" : "mnist", onProgress, signal);
  return { name: kind === "clothes" ? "Fashion-MNIST" : "MNIST digits", ...set, skipped: [] };
}
