// The differences between pages, workers and Node.
export interface Environment {
  /** Whether the engine runs in a worker by default: only a page must not be blocked. */
  worker: boolean;
  /** Returns the absolute URL of a source that is given as text. */
  resolve(source: string): URL;
  /** Reads a `file:` URL, where that is possible. */
  readFile?: (url: URL) => Promise<Uint8Array<ArrayBuffer>>;
}

/** The environment of pages and workers. `node.ts` replaces its members. */
export const environment: Environment = {
  worker: typeof document !== "undefined" && typeof Worker === "function",
  resolve: (source) => new URL(source, typeof document === "undefined" ? globalThis.location?.href : document.baseURI),
};
