// The one way by which model files arrive: streamed, checked, kept.
import { environment } from "./environment.js";
import { ConvokeError, message, wrongArgument } from "./errors.js";
import type { Progress } from "./types.js";

/** The most bytes a file may have: VGG-19, the largest network here, has 575 MB. */
export const MAX_BYTES = 1 << 30;

/** Cache Storage under this name holds model files by URL; a new layout gets a new number. */
export const CACHE_NAME = "convoke-v1";

type Bytes = Uint8Array<ArrayBuffer>;

/** Others have the page's thread, too: the engine's threads start by it. */
const FRAME_MS = 16;

/** How often progress is told at most, where the length is known: each time a message goes to the page. */
const REPORTS = 100;

export interface DownloadOptions {
  cache: boolean | string;
  integrity: string | undefined;
  signal: AbortSignal | undefined;
  onProgress: ((progress: Progress) => void) | undefined;
  sha256: (bytes: Bytes) => Promise<string>;
}

/** The bytes at `url`, from the cache or the network, verified. */
export async function download(url: URL, o: DownloadOptions): Promise<Bytes> {
  const expected = o.integrity === undefined ? undefined : parseIntegrity(o.integrity);
  if (url.protocol === "file:" && environment.readFile) {
    const bytes = await readFile(url, environment.readFile);
    if (expected) await verify(bytes, expected, url.href, o.sha256);
    return bytes;
  }
  const cache = await openCache(url, o.cache);
  const kept = cache && (await fromCache(cache, url, expected, o));
  if (kept) return kept;
  const response = await request(url, o.signal);
  const bytes = await readResponse(response, { what: url.href, phase: "network", ...o });
  if (expected) await verify(bytes, expected, url.href, o.sha256);
  if (cache) await keep(cache, url, bytes);
  return bytes;
}

async function readFile(url: URL, read: (url: URL) => Promise<Bytes>): Promise<Bytes> {
  try {
    return await read(url);
  } catch (cause) {
    throw new ConvokeError("io", `${url.href}: ${message(cause)}`, { url: url.href }, { cause });
  }
}

/** One request, no second try; its failures are typed. */
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
  // The body is not read, so the connection is let go.
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
  what: string;
  phase: "network" | "cache";
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
}

/** The body of a response, in one piece, with progress. */
export async function readResponse(response: Response, o: ReadOptions): Promise<Bytes> {
  checkStatus(response, o.what);
  const total = bodyLength(response);
  if (total !== undefined) checkSize(total, o.what);
  // In its place at once where the length is known.
  const whole = total === undefined ? undefined : new Uint8Array(total);
  const chunks: Bytes[] = [];
  let loaded = 0;
  let told = 0;
  const report = () => {
    told = loaded;
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
      if (loaded === total || loaded - told >= (total ?? 0) / REPORTS) report();
      if (loaded === total) break; // The end is told later, when nobody has to wait for it.
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

/** `Content-Length`, when it counts the bytes that are read: not those of a compressed or another site's response. */
function bodyLength(response: Response): number | undefined {
  const length = response.headers.get("Content-Length");
  if (length === null || response.headers.has("Content-Encoding") || response.type === "cors") return undefined;
  const bytes = Number(length);
  return Number.isSafeInteger(bytes) && bytes >= 0 ? bytes : undefined;
}

function checkSize(bytes: number, what: string): void {
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

/** Many servers answer a wrong path with their start page and status 200. */
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

// --- the cache ---

async function openCache(url: URL, cache: boolean | string): Promise<Cache | undefined> {
  // Cache Storage exists in secure contexts only, and holds nothing but http and https.
  if (!cache || typeof caches === "undefined" || !url.protocol.startsWith("http")) return undefined;
  try {
    return await caches.open(cache === true ? CACHE_NAME : cache);
  } catch {
    return undefined; // Storage is blocked or full: the network is there.
  }
}

async function fromCache(
  cache: Cache,
  url: URL,
  expected: string | undefined,
  o: DownloadOptions,
): Promise<Bytes | undefined> {
  const response = await cache.match(url);
  if (!response) return undefined;
  try {
    const bytes = await readResponse(response, { what: url.href, phase: "cache", ...o });
    if (expected) await verify(bytes, expected, url.href, o.sha256);
    return bytes;
  } catch (error) {
    if (!(error instanceof ConvokeError)) throw error;
    // Not what was asked for: an older file, or a damaged one. Fetched again, once.
    await cache.delete(url);
    return undefined;
  }
}

async function keep(cache: Cache, url: URL, bytes: Bytes): Promise<void> {
  const headers = { "Content-Type": "application/octet-stream", "Content-Length": `${bytes.length}` };
  try {
    await cache.put(url, new Response(bytes, { headers }));
  } catch {
    // No room: the next visit downloads again.
  }
}

/** A file that turned out to be no model must not come from the cache again. */
export async function forget(url: URL, name: boolean | string): Promise<void> {
  const cache = await openCache(url, name);
  await cache?.delete(url);
}

// --- integrity ---

/** The digest of `sha256-<base64 or hexadecimal>`, in lower-case hexadecimal. */
export function parseIntegrity(integrity: string): string {
  const digest = /^sha256-(.+)$/.exec(integrity)?.[1] ?? "";
  if (/^[0-9a-f]{64}$/i.test(digest)) return digest.toLowerCase();
  if (/^[A-Za-z0-9+/_-]{43}=?$/.test(digest)) {
    const binary = atob(digest.replaceAll("-", "+").replaceAll("_", "/"));
    return hex(Uint8Array.from(binary, (c) => c.charCodeAt(0)));
  }
  throw wrongArgument("integrity", "`sha256-` and 32 bytes in base64 or hexadecimal", integrity);
}

export async function verify(
  bytes: Bytes,
  expected: string,
  what: string,
  sha256: (bytes: Bytes) => Promise<string>,
): Promise<void> {
  const actual = await sha256(bytes);
  if (actual === expected) return;
  throw new ConvokeError("integrity", `${what}: SHA-256 mismatch: expected ${expected}, got ${actual}`, {
    url: what,
    expected,
    actual,
  });
}

/** By the browser where it does (secure contexts), else by `otherwise`. */
export function digest<T>(otherwise: (bytes: Bytes) => Promise<T>): (bytes: Bytes) => Promise<string | T> {
  const subtle = globalThis.crypto?.subtle;
  return subtle ? async (bytes) => hex(new Uint8Array(await subtle.digest("SHA-256", bytes))) : otherwise;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

/** Why it was aborted, if it was. */
function aborted(signal?: AbortSignal): unknown {
  return signal?.aborted ? signal.reason : undefined;
}
