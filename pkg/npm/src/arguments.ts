// Checks of arguments before they cross to the engine.
import { ConvokeError, message, wrongArgument } from "./shared/errors.js";
import type { DownloadOptions } from "./shared/types.js";

/** The most bytes that one call takes: a WebAssembly memory has 4 GiB, and holds results beside the input. */
export const MAX_INPUT = 2 ** 31;

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

/** Returns a copy of an array of names. */
export function checkNames(name: string, value: unknown): string[] {
  if (!Array.isArray(value)) throw wrongArgument(name, "an array of names", kindOf(value));
  for (const each of value) if (typeof each !== "string") throw wrongArgument(name, "names as text", kindOf(each));
  return [...value];
}

export function checkText(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== "string") throw wrongArgument(name, "text", kindOf(value));
}

export function checkSignal(signal: unknown): void {
  if (signal === undefined || signal instanceof AbortSignal) return;
  throw wrongArgument("signal", "an AbortSignal", kindOf(signal));
}

export function checkCallback(name: string, value: unknown): void {
  if (value === undefined || typeof value === "function") return;
  throw wrongArgument(name, "a function", kindOf(value));
}

/** Checks the options that loads and downloads share. */
export function checkDownload(options: DownloadOptions): void {
  checkObject("options", options);
  checkSignal(options.signal);
  checkCallback("onProgress", options.onProgress);
  checkText("integrity", options.integrity);
  if (typeof options.cache !== "boolean") checkText("cache", options.cache);
}

export function checkObject(name: string, value: unknown): asserts value is object {
  if (value === null || typeof value !== "object") throw wrongArgument(name, "an object", kindOf(value));
}

/** Returns the name of a value's type: of its class for an object. */
export function kindOf(value: unknown): string {
  return value !== null && typeof value === "object"
    ? Object.prototype.toString.call(value).slice(8, -1)
    : `${value === null ? null : typeof value}`;
}

/** Returns a deep copy of options. Functions, symbols and other values that no message can hold are refused. */
export function copyOptions<T extends object>(name: string, options: T): T {
  checkObject(name, options);
  try {
    return structuredClone(options);
  } catch (cause) {
    throw wrongArgument(name, "numbers, text, arrays and objects of them", message(cause));
  }
}

/** Throws `argument` unless `value` is a Float32Array whose memory is there. */
export function checkFloats(name: string, value: unknown): asserts value is Float32Array {
  checkArray(name, value, ["Float32Array"], "a Float32Array");
}

/** Throws `argument` unless `value` is one of these typed arrays and its memory is there. */
export function checkArray(name: string, value: unknown, kinds: string[], expected: string): void {
  // By name, because arrays of another frame have classes of their own.
  if (!ArrayBuffer.isView(value) || !kinds.includes(kindOf(value))) throw wrongArgument(name, expected, kindOf(value));
  checkBytes(name, value.byteLength);
  try {
    // Throws for an array whose buffer was transferred, or has shrunk below the array's end.
    Uint8Array.prototype.keys.call(value as Uint8Array);
  } catch {
    throw wrongArgument(name, "an array whose buffer is there", "one that was transferred or has shrunk");
  }
}

/** Throws `too-large` for an input of more bytes than a call takes. */
export function checkBytes(name: string, bytes: number): void {
  if (bytes <= MAX_INPUT) return;
  const details = { name, expected: `at most ${MAX_INPUT}`, actual: `${bytes}` };
  throw new ConvokeError("too-large", `${name}: ${bytes} bytes exceed the limit of ${MAX_INPUT}`, details);
}

/** Returns a copy in memory of its own, whatever memory `value` has: shared, resizable, or part of a larger buffer. */
export function copyFloats(name: string, value: unknown): Float32Array<ArrayBuffer> {
  checkFloats(name, value);
  return allocated(name, value.byteLength, () => new Float32Array(value));
}

/** Returns a copy of bytes in memory of its own. */
export function copyBytes(name: string, value: unknown): Uint8Array<ArrayBuffer> {
  checkArray(name, value, ["Uint8Array", "Uint8ClampedArray"], "a Uint8Array or Uint8ClampedArray");
  const bytes = value as Uint8Array;
  return allocated(name, bytes.byteLength, () => new Uint8Array(bytes));
}

function allocated<T>(name: string, bytes: number, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    const details = { name, actual: `${bytes}` };
    throw new ConvokeError("too-large", `${name}: no memory for a copy of ${bytes} bytes`, details, { cause });
  }
}
