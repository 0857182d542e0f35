// Downloads files: streamed, verified and kept.
import { fromCache, openCache, toCache } from "./cache.js";
import { environment } from "./shared/environment.js";
import { ConvokeError, message } from "./shared/errors.js";
import { readResponse, request } from "./shared/http.js";
import { type Hash, parseIntegrity, verify } from "./shared/integrity.js";
import type { DownloadOptions } from "./shared/types.js";

type Bytes = Uint8Array<ArrayBuffer>;

/** Returns the bytes at `url`, from the cache or the network, verified by `sha256` where `integrity` is given. */
export async function downloadFile(url: URL, o: DownloadOptions, sha256: Hash): Promise<Bytes> {
  const { integrity, cache: name = true } = o;
  const expected = integrity === undefined ? undefined : parseIntegrity(integrity);
  const check = async (bytes: Bytes) => {
    if (expected) await verify(bytes, expected, url.href, sha256);
  };
  if (url.protocol === "file:" && environment.readFile) {
    const bytes = await readFile(url, environment.readFile);
    await check(bytes);
    return bytes;
  }
  const cache = await openCache(url, name);
  const kept = cache && (await fromCache(cache, url, check, o));
  if (kept) return kept;
  const response = await request(url, o.signal);
  const bytes = await readResponse(response, { what: url.href, phase: "network", ...o });
  await check(bytes);
  if (cache) await toCache(cache, url, bytes);
  return bytes;
}

async function readFile(url: URL, read: (url: URL) => Promise<Bytes>): Promise<Bytes> {
  try {
    return await read(url);
  } catch (cause) {
    throw new ConvokeError("io", `${url.href}: ${message(cause)}`, { url: url.href }, { cause });
  }
}
