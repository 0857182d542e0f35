// The run that survives a reload, or comes from a file: its checkpoint, its settings, and data that the page cannot fetch
// again.
import { Network } from "convoke";
import { del, get, set } from "idb-keyval";
import type { Forced } from "./address.js";
import type { Collection } from "./collection.js";
import type { Settings } from "./settings.js";

const KEY = "convoke-run";
/** The user's images are kept with the run up to this many bytes. */
const MOST_BYTES = 256 * 2 ** 20;

export interface Kept {
  checkpoint: Uint8Array;
  settings: Settings;
  step: number;
  /** Of own images that are few enough; else they must be chosen again. */
  data?: Collection;
}

/** Storage may be refused or full: a run goes on without it. */
export async function keep(run: Kept): Promise<boolean> {
  const bytes = run.data ? run.data.train.images.length + run.data.heldOut.images.length : 0;
  const { data: _, ...rest } = run;
  try {
    await set(KEY, bytes > MOST_BYTES ? rest : run);
    return true;
  } catch {
    return false;
  }
}

export async function kept(): Promise<Kept | undefined> {
  try {
    return await get<Kept>(KEY);
  } catch {
    return undefined;
  }
}

export async function forget(): Promise<void> {
  await del(KEY).catch(() => {});
}

/** The run in a checkpoint's file; what that does not say is as the form has it. */
export async function keptIn(file: File, form: Settings, forced: Forced): Promise<Kept> {
  const checkpoint = new Uint8Array(await file.arrayBuffer());
  using network = await Network.load(checkpoint, { ...forced, backend: form.backend });
  if (!network.interrupted) throw new Error("the file is a network, not a checkpoint: load it below");
  const { epochs, batchSize, seed, optimizer } = network.interrupted;
  const learningRate = optimizer.learningRate ?? form.learningRate;
  const settings = { ...form, network: network.name, epochs, batchSize, seed, learningRate };
  return { checkpoint, settings, step: 0 };
}
