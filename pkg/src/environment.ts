/** What differs between pages, workers and Node; `node.ts` changes it. */
export interface Environment {
  /** Whether the engine goes into a worker unless told otherwise: only a page must not be blocked. */
  worker: boolean;
  /** A source given as text, as an absolute URL. */
  resolve(source: string): URL;
  /** Reads a `file:` URL, where that is possible. */
  readFile?: (url: URL) => Promise<Uint8Array<ArrayBuffer>>;
}

export const environment: Environment = {
  worker: typeof document !== "undefined" && typeof Worker === "function",
  resolve: (source) => new URL(source, typeof document === "undefined" ? globalThis.location?.href : document.baseURI),
};
