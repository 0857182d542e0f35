// Model files in Cache Storage, by URL.
import { ConvokeError } from "./shared/errors.js";
import { readResponse } from "./shared/http.js";
import type { DownloadOptions } from "./shared/types.js";

/** The default name of the cache. A new layout of its entries gets a new number. */
export const CACHE_NAME = "convoke-v1";

type Bytes = Uint8Array<ArrayBuffer>;
type ReadOptions = Pick<DownloadOptions, "signal" | "onProgress">;

/** Opens a cache for `url`: `true` is the default one, `false` none. Returns nothing where there is no storage. */
export async function openCache(url: URL, name: boolean | string): Promise<Cache | undefined> {
  // Cache Storage exists in secure contexts only, and holds nothing but http and https.
  if (!name || typeof caches === "undefined" || !url.protocol.startsWith("http")) return undefined;
  try {
    return await caches.open(name === true ? CACHE_NAME : name);
  } catch {
    return undefined; // Storage is blocked or full: the network is there.
  }
}

/** Returns the file at `url` from the cache. A file that `check` refuses, older or damaged, is deleted. */
export async function fromCache(
  cache: Cache,
  url: URL,
  check: (bytes: Bytes) => Promise<void>,
  o: ReadOptions,
): Promise<Bytes | undefined> {
  const response = await cache.match(url);
  if (!response) return undefined;
  try {
    const bytes = await readResponse(response, { what: url.href, phase: "cache", ...o });
    await check(bytes);
    return bytes;
  } catch (error) {
    if (!(error instanceof ConvokeError)) throw error;
    await cache.delete(url);
    return undefined;
  }
}

/** Puts a file into the cache, if there is room for it. */
export async function toCache(cache: Cache, url: URL, bytes: Bytes): Promise<void> {
  const headers = { "Content-Type": "application/octet-stream", "Content-Length": `${bytes.length}` };
  try {
    await cache.put(url, new Response(bytes, { headers }));
  } catch {
    // No room: the next visit downloads again.
  }
}

/** Deletes a file that turned out to be no model, so that it does not come from the cache again. */
export async function deleteFromCache(url: URL, name: boolean | string): Promise<void> {
  const cache = await openCache(url, name);
  await cache?.delete(url);
}
