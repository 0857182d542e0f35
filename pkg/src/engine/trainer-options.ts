// The border to wasm for trainer options, which cross as JSON. No other file converts them.
import type { InterruptedRun, TrainerOptions } from "../shared/types.js";

/** The options as the engine writes them, with the learning rate beside the optimizer. */
export type EngineConfig = InterruptedRun & { learningRate: number };

/** The options of a trainer that resumes a checkpoint: all of them are in the checkpoint. */
export const NO_OPTIONS = "{}";

/** The learning rate of every optimizer but SGD, where none is given. */
const ADAPTIVE_LEARNING_RATE = 0.001;

/** Converts the options that are given. The engine has defaults for the others. */
export function toEngine({ optimizer, backend: _, ...o }: TrainerOptions): string {
  const { learningRate, ...rest } = optimizer ?? {};
  const usual = optimizer && optimizer.kind !== "sgd" ? ADAPTIVE_LEARNING_RATE : undefined;
  // JSON leaves out undefined properties.
  return JSON.stringify({ ...o, optimizer: optimizer && rest, learningRate: learningRate ?? usual });
}

/** Inverse of `toEngine`: the stored `EngineConfig` as trainer options. */
export function fromEngineConfig({ learningRate, optimizer, ...rest }: EngineConfig): InterruptedRun {
  return { ...rest, optimizer: { ...optimizer, learningRate } };
}
