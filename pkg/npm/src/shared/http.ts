// Requests and response bodies, with typed errors.
import { ConvokeError, message } from "./errors.js";
import type { Progress } from "./types.js";

/** The largest file that is read, in bytes: VGG-19, the largest network here, has 575 MB. */
export const MAX_BYTES = 1 << 30;

/** Time after which a reader gives way to other work on its thread, for example to the start of the engine's threads. */
const FRAME_MS = 16;

/** The most reports of progress where the length is known: each is a message to the page. */
const REPORTS = 100;

type Bytes = Uint8Array<ArrayBuffer>;

/** Makes one request, without a second try. Fails with `network` or `http`, or with the signal's reason. */
export async function request(url: URL, signal?: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, signal ? { signal } : {});
  } catch (cause) {
    throw (
      aborted(signal) ?? new ConvokeError("network", `${url.href}: ${message(cause)}`, { url: url.href }, { cause })
    );
  }
  checkStatus(response, url.href);
  return response;
}

function checkStatus(response: Response, what: string): void {
  if (response.ok) return;
  // An unread body would hold the connection.
  response.body?.cancel().catch(() => {});
  const { status, statusText } = response;
  throw new ConvokeError("http", `${what}: the server answered ${status} ${statusText}`.trimEnd(), {
    url: what,
    status,
    expected: "200",
    actual: `${status}`,
  });
}

export interface ReadOptions {
  /** Name of the file in errors. */
  what: string;
  phase: "network" | "cache";
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
}

/** Reads the body of a response in one piece. Fails with `http`, `network`, `html` or `too-large`. */
export async function readResponse(response: Response, o: ReadOptions): Promise<Bytes> {
  checkStatus(response, o.what);
  const total = bodyLength(response);
  if (total !== undefined) checkSize(total, o.what);
  // Where the length is known, pieces are written in their places at once.
  const whole = total === undefined ? undefined : new Uint8Array(total);
  const chunks: Bytes[] = [];
  let loaded = 0;
  let reported = 0;
  const report = () => {
    reported = loaded;
    o.onProgress?.({ phase: o.phase, loaded, ...(total === undefined ? {} : { total }) });
  };
  report();
  let since = performance.now();
  const reader = response.body?.getReader();
  const cancel = () => void reader?.cancel().catch(() => {});
  o.signal?.addEventListener("abort", cancel);
  try {
    for (;;) {
      const piece = await reader?.read();
      o.signal?.throwIfAborted();
      if (!piece || piece.done) break;
      if (whole && loaded + piece.value.length <= whole.length) whole.set(piece.value, loaded);
      else chunks.push(piece.value);
      loaded += piece.value.length;
      checkSize(loaded, o.what);
      if (loaded === total || loaded - reported >= (total ?? 0) / REPORTS) report();
      if (loaded === total) break; // The end of the stream comes later; no reader has to wait for it.
      if (performance.now() - since > FRAME_MS) {
        await new Promise<void>((resolve) => setTimeout(resolve));
        since = performance.now();
      }
    }
  } catch (cause) {
    cancel();
    if (cause instanceof ConvokeError) throw cause;
    throw aborted(o.signal) ?? truncated(o.what, `the connection broke after ${loaded} bytes`, loaded, total, cause);
  } finally {
    o.signal?.removeEventListener("abort", cancel);
  }
  if (total !== undefined && loaded !== total) {
    throw truncated(o.what, `${loaded} bytes came`, loaded, total);
  }
  const bytes = whole ?? join(chunks, loaded);
  refuseHtml(bytes, response.headers.get("Content-Type"), o.what);
  return bytes;
}

/** Returns `Content-Length` where it counts the bytes that are read, which it does not for compressed and foreign ones. */
function bodyLength(response: Response): number | undefined {
  const length = response.headers.get("Content-Length");
  if (length === null || response.headers.has("Content-Encoding") || response.type === "cors") return undefined;
  const bytes = Number(length);
  return Number.isSafeInteger(bytes) && bytes >= 0 ? bytes : undefined;
}

/** Throws `too-large` for a file beyond the limit. */
export function checkSize(bytes: number, what: string): void {
  if (bytes <= MAX_BYTES) return;
  throw new ConvokeError("too-large", `${what}: ${bytes} bytes exceed the limit of ${MAX_BYTES}`, {
    expected: `at most ${MAX_BYTES}`,
    actual: `${bytes}`,
  });
}

function truncated(what: string, happened: string, loaded: number, total?: number, cause?: unknown): ConvokeError {
  const expected = total === undefined ? "the whole file" : `${total} bytes`;
  const details = { url: what, expected, actual: `${loaded} bytes` };
  return new ConvokeError("network", `${what}: expected ${expected}, but ${happened}`, details, { cause });
}

function join(chunks: Bytes[], length: number): Bytes {
  if (chunks.length === 1) return chunks[0]!;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/** Throws `html` for an HTML page: many servers answer a wrong path with their start page and status 200. */
export function refuseHtml(bytes: Bytes, contentType: string | null, what: string): void {
  const start = new TextDecoder().decode(bytes.subarray(0, 64)).trimStart().toLowerCase();
  if (!start.startsWith("<!doctype") && !start.startsWith("<html") && !contentType?.startsWith("text/html")) return;
  throw new ConvokeError(
    "html",
    `${what}: expected a binary file, got an HTML page (${start.slice(0, 20)}…): wrong path?`,
    {
      url: what,
      expected: "a binary file",
      actual: contentType ?? "HTML",
    },
  );
}

/** Returns the signal's reason if it has aborted. */
function aborted(signal?: AbortSignal): unknown {
  return signal?.aborted ? signal.reason : undefined;
}
