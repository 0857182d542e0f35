// The border to wasm for trainer options, whose learning rate lies beside the optimizer there. No other file converts them.
import type { InterruptedRun, TrainerOptions } from "../shared/types.js";

/** The options as the engine has them, with the learning rate beside the optimizer. */
export type EngineConfig = InterruptedRun & { learningRate: number };

/** The options of a trainer that resumes a checkpoint: all of them are in the checkpoint. */
export const NO_OPTIONS = {};

/** Converts the options that are given. The engine has defaults for the others. */
export function toEngine({ optimizer, backend: _, ...o }: TrainerOptions): object {
  const { learningRate, ...rest } = optimizer ?? {};
  return given({ ...o, optimizer: optimizer && rest, learningRate });
}

/** Leaves out undefined properties, of nested options too: the engine takes what it gets as given. */
function given(options: object): object {
  const nested = (value: unknown) =>
    value !== null && typeof value === "object" && !Array.isArray(value) ? given(value) : value;
  const known = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(known.map(([name, value]) => [name, nested(value)]));
}

/** Inverse of `toEngine`: the stored `EngineConfig` as trainer options. */
export function fromEngineConfig({ learningRate, optimizer, ...rest }: EngineConfig): InterruptedRun {
  return { ...rest, optimizer: { ...optimizer, learningRate } };
}
