// Pictures in one folder for each class, scaled to what small networks see.
import { ConvokeError } from "convoke";
import { type Collection, checkRoom, normalised } from "./collection.js";

/** The side of the square to which pictures are scaled, in pixels. */
const SIDE = 32;
/** Every nth picture of each class is held out. */
const HELD_OUT = 5;

/** The pictures of a chosen folder; the class of each is the folder that it lies in. */
export async function readFolder(
  files: readonly File[],
  onProgress: (loaded: number, total: number | undefined) => void,
  signal: AbortSignal,
): Promise<Collection> {
  const classes = new Map<string, File[]>();
  for (const file of files) {
    const [name] = file.webkitRelativePath.split("/").slice(-2);
    if (!name || file.name.startsWith(".")) continue;
    classes.set(name, [...(classes.get(name) ?? []), file]);
  }
  const labels = [...classes.keys()].sort();
  if (labels.length < 2) {
    throw wrong(
      "folder",
      "a folder with a folder of pictures for each of at least 2 classes",
      labels.join(", ") || "none",
    );
  }
  checkRoom(files.length, [3, SIDE, SIDE]);

  const [train, heldOut]: [Part, Part] = [
    { images: [], labels: [] },
    { images: [], labels: [] },
  ];
  const skipped: string[] = [];
  let done = 0;
  for (const [label, name] of labels.entries()) {
    let seen = 0;
    for (const file of classes.get(name)!) {
      signal.throwIfAborted();
      onProgress(++done, files.length);
      const pixels = await pixelsOf(file);
      if (!pixels) {
        skipped.push(file.webkitRelativePath);
        continue;
      }
      seen += 1;
      const part = seen % HELD_OUT === 0 ? heldOut : train;
      part.images.push(pixels);
      part.labels.push(label);
    }
    if (seen < HELD_OUT) {
      const why = skipped.length > 0 ? ` (${skipped.length} files could not be read)` : "";
      throw wrong(`class \`${name}\``, `at least ${HELD_OUT} pictures`, `${seen}${why}`);
    }
  }
  const parts = [train, heldOut].map(({ images, labels }) => ({
    images: joined(images),
    labels: Uint32Array.from(labels),
  }));
  const [first, second] = normalised(parts, [3, SIDE, SIDE]);
  const root = files[0]?.webkitRelativePath.split("/").slice(-3)[0] ?? "pictures";
  return { name: root, train: first!, heldOut: second!, labels, skipped };
}

interface Part {
  images: Uint8Array[];
  labels: number[];
}

/** The middle square of a picture as three planes; nothing when the browser cannot read it. */
async function pixelsOf(file: File): Promise<Uint8Array | undefined> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return undefined;
  }
  const side = Math.min(bitmap.width, bitmap.height);
  const context = new OffscreenCanvas(SIDE, SIDE).getContext("2d", { willReadFrequently: true });
  if (!context || side === 0) return undefined;
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2, side, side, 0, 0, SIDE, SIDE);
  bitmap.close();
  const { data } = context.getImageData(0, 0, SIDE, SIDE);
  const planes = new Uint8Array(3 * SIDE * SIDE);
  for (let i = 0; i < SIDE * SIDE; i++) for (let c = 0; c < 3; c++) planes[c * SIDE * SIDE + i] = data[4 * i + c]!;
  return planes;
}

function joined(parts: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function wrong(what: string, expected: string, actual: string): ConvokeError {
  return new ConvokeError("format", `${what}: expected ${expected}, got ${actual}`, { expected, actual });
}
