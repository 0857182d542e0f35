// Model files in Cache Storage, by URL.
import { ConvokeError } from "./shared/errors.js";
import { readResponse } from "./shared/http.js";
import type { DownloadOptions, Progress } from "./shared/types.js";

/** The default name of the cache. A new layout of its entries gets a new number. */
export const CACHE_NAME = "convoke-v1";

type Bytes = Uint8Array<ArrayBuffer>;
type ReadOptions = Pick<DownloadOptions, "signal" | "onProgress">;

/** Time within which storage must make progress: beyond it, a download is the better way. */
const STORAGE_MS = 5000;

/** Opens a cache for `url`: `true` is the default one, `false` none. Returns nothing where there is no storage. */
export function openCache(url: URL, name: boolean | string): Promise<Cache | undefined> {
  // Cache Storage exists in secure contexts only, and holds nothing but http and https. Sandboxed frames throw when it is
  // looked for, so that even `typeof` must be guarded.
  if (!name || !url.protocol.startsWith("http")) return Promise.resolve(undefined);
  return optional(async () =>
    typeof caches === "undefined" ? undefined : caches.open(name === true ? CACHE_NAME : name),
  );
}

/**
 * Returns the file at `url` from the cache. A file that `check` refuses, older or damaged, is deleted. Storage that fails
 * or stands still has no file.
 */
export async function fromCache(
  cache: Cache,
  url: URL,
  check: (bytes: Bytes) => Promise<void>,
  o: ReadOptions,
): Promise<Bytes | undefined> {
  const response = await optional(() => cache.match(url));
  if (!response) return undefined;
  const stalled = new AbortController();
  const stall = () => stalled.abort(new ConvokeError("network", `${url.href}: Cache Storage stands still`));
  let timer = setTimeout(stall, STORAGE_MS);
  const onProgress = (progress: Progress) => {
    clearTimeout(timer);
    timer = setTimeout(stall, STORAGE_MS);
    o.onProgress?.(progress);
  };
  const { signal } = stalled;
  const abort = () => stalled.abort(o.signal?.reason);
  o.signal?.addEventListener("abort", abort);
  try {
    const bytes = await readResponse(response, { what: url.href, phase: "cache", onProgress, signal });
    clearTimeout(timer);
    await check(bytes);
    return bytes;
  } catch (error) {
    if (!(error instanceof ConvokeError)) throw error;
    await optional(() => cache.delete(url));
    return undefined;
  } finally {
    clearTimeout(timer);
    o.signal?.removeEventListener("abort", abort);
  }
}

/** Puts a file into the cache, if there is room for it. */
export async function toCache(cache: Cache, url: URL, bytes: Bytes): Promise<void> {
  const headers = { "Content-Type": "application/octet-stream", "Content-Length": `${bytes.length}` };
  await optional(() => cache.put(url, new Response(bytes, { headers })));
}

/** Deletes a file that turned out to be no model, so that it does not come from the cache again. */
export async function deleteFromCache(url: URL, name: boolean | string): Promise<void> {
  const cache = await openCache(url, name);
  if (cache) await optional(() => cache.delete(url));
}

/** Returns the result of `work` on storage; nothing where storage throws, rejects, or gives no answer in time. */
async function optional<T>(work: () => Promise<T>): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), STORAGE_MS);
  });
  try {
    return await Promise.race([work(), late]);
  } catch {
    return undefined; // Storage is blocked, full or damaged: the network is there.
  } finally {
    clearTimeout(timer);
  }
}
