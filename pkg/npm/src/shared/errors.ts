/** A machine-readable error code. The README's table says when each occurs. */
export type ErrorCode =
  | "layer"
  | "shape"
  | "graph"
  | "unknown-layer"
  | "unknown-network"
  | "weights"
  | "version"
  | "format"
  | "integrity"
  | "too-large"
  | "not-finite"
  | "label"
  | "empty-dataset"
  | "diverged"
  | "argument"
  | "backend"
  | "device-lost"
  | "io"
  | "http"
  | "html"
  | "network"
  | "disposed"
  | "worker-crashed"
  | "unsupported";

/**
 * The error of every failed call. Only an abort rejects with another value: the signal's reason.
 *
 * @example
 * try {
 *   await Network.load("model.onnx");
 * } catch (error) {
 *   if (error instanceof ConvokeError && error.code === "unsupported") console.log(error.details.problems);
 * }
 */
export class ConvokeError extends Error {
  override readonly name = "ConvokeError";
  /**
   * A checkpoint of the run that `worker-crashed` or `device-lost` ended.
   *
   * @example
   * if (error.checkpoint) {
   *   const resumed = await (await Network.load(error.checkpoint)).trainer();
   * }
   */
  checkpoint?: Uint8Array;

  constructor(
    readonly code: ErrorCode,
    message: string,
    /** The parts of the message, for programs: `expected`, `actual`, `url`, `status`, … */
    readonly details: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** An error as plain data, which can be posted from the worker to the page. */
export type PlainError =
  | { kind: "convoke"; code: ErrorCode; message: string; details: Readonly<Record<string, unknown>> }
  | { kind: "dom"; name: string; message: string }
  | { kind: "other"; name: string; message: string; stack?: string };

/** Returns an error as plain data. */
export function toPlain(error: unknown): PlainError {
  if (error instanceof ConvokeError) {
    return { kind: "convoke", code: error.code, message: error.message, details: error.details };
  }
  if (typeof DOMException === "function" && error instanceof DOMException) {
    return { kind: "dom", name: error.name, message: error.message };
  }
  if (error instanceof Error) {
    return { kind: "other", name: error.name, message: error.message, ...(error.stack ? { stack: error.stack } : {}) };
  }
  return { kind: "other", name: "Error", message: String(error) };
}

/** Inverse of `toPlain`. */
export function fromPlain(plain: PlainError): Error {
  switch (plain.kind) {
    case "convoke":
      return new ConvokeError(plain.code, plain.message, plain.details);
    case "dom":
      return new DOMException(plain.message, plain.name);
    case "other": {
      const error = new Error(plain.message);
      error.name = plain.name;
      if (plain.stack) error.stack = plain.stack;
      return error;
    }
  }
}

/**
 * Types an error of a wasm module. The engine throws `Error` objects with a `code`; a trap (a panic, or no memory) has
 * none, and `panic` is its message.
 */
export function fromEngine(error: unknown, panic?: string): Error {
  if (error instanceof ConvokeError) return error;
  if (error instanceof WebAssembly.RuntimeError) {
    const reason = panic ?? error.message;
    return new ConvokeError("worker-crashed", `the engine stopped: ${reason}`, { reason }, { cause: error });
  }
  if (error instanceof Error && "code" in error && typeof error.code === "string") {
    const details = "details" in error ? (error.details as Record<string, unknown>) : {};
    return new ConvokeError(error.code as ErrorCode, error.message, details, { cause: error });
  }
  return error instanceof Error ? error : new Error(String(error));
}

/** Returns the message of any thrown value. */
export function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Formats an argument error like the engine does. */
export function wrongArgument(name: string, expected: string, actual: unknown): ConvokeError {
  const got = asText(actual);
  return new ConvokeError("argument", `${name}: expected ${expected}, got ${got}`, { name, expected, actual: got });
}

/** Returns any value as text. Symbols and objects without a prototype refuse the usual conversion. */
function asText(value: unknown): string {
  try {
    return String(value);
  } catch {
    return typeof value;
  }
}
