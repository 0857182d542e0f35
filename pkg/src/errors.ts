/** What `ConvokeError.code` can be: the engine's own errors, then those of the package. */
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

/** Every failure except an abort, which is the signal's reason (a `DOMException` named `AbortError`). */
export class ConvokeError extends Error {
  override readonly name = "ConvokeError";
  /** After `worker-crashed` or `device-lost` while training: a model file from which `Network.load` continues. */
  checkpoint?: Uint8Array;

  constructor(
    readonly code: ErrorCode,
    message: string,
    /** What the message says, for programs: `expected`, `actual`, `url`, `status`, … */
    readonly details: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** An error as plain data, to cross from the worker to the page. */
export type PlainError =
  | { kind: "convoke"; code: ErrorCode; message: string; details: Readonly<Record<string, unknown>> }
  | { kind: "dom"; name: string; message: string }
  | { kind: "other"; name: string; message: string; stack?: string };

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

/** The engine throws `Error` objects with a `code`; a trap (a panic, or no memory) has none. */
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

export function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** How a wrong argument is told, as the engine tells it. */
export function wrongArgument(name: string, expected: string, actual: unknown): ConvokeError {
  return new ConvokeError("argument", `${name}: expected ${expected}, got ${actual}`, {
    name,
    expected,
    actual: `${actual}`,
  });
}
