// Checks of arguments before they cross to the engine.
import { wrongArgument } from "./shared/errors.js";

/** Throws `argument` unless `value` is a whole number from `min` to `max`. */
export function checkWhole(
  name: string,
  value: unknown,
  expected: string,
  min = 1,
  max = Number.POSITIVE_INFINITY,
): void {
  if (Number.isInteger(value) && (value as number) >= min && (value as number) <= max) return;
  throw wrongArgument(name, expected, value);
}

export function checkSeed(seed: number): void {
  checkWhole("seed", seed, "a whole number below 2^32", 0, 2 ** 32 - 1);
}

export function checkNames(name: string, value: unknown): asserts value is string[] {
  if (!Array.isArray(value)) throw wrongArgument(name, "an array of names", typeof value);
}
