import { createHash } from "node:crypto";
import { brotliCompressSync } from "node:zlib";
import { afterEach, expect, onTestFinished, test, vi } from "vitest";
import { deleteFromCache } from "../src/cache.js";
import { downloadFile } from "../src/download-file.js";
import { download as publicDownload } from "../src/node.js";
import { MAX_BYTES, readResponse } from "../src/shared/http.js";
import { digest } from "../src/shared/integrity.js";
import type { DownloadOptions, Progress } from "../src/shared/types.js";
import { FakeCaches, failure, serve } from "./support.js";

const body = new Uint8Array(300_000).map((_, i) => i % 251);
const hash = createHash("sha256").update(body).digest();
const sha256 = digest(async (bytes) => createHash("sha256").update(bytes).digest("hex"));

/** Downloads without a cache, unless told otherwise. */
const download = (url: URL, o: DownloadOptions = {}) => downloadFile(url, { cache: false, ...o }, sha256);

/** Compares bytes without `toEqual`, which is slow for large arrays. */
function expectBody(bytes: Uint8Array): void {
  expect(Buffer.from(bytes).equals(body)).toBe(true);
}

afterEach(() => vi.unstubAllGlobals());

test("bytes come whole, with progress up to the announced length", async () => {
  const url = await serve((_, response) => {
    response.writeHead(200, { "Content-Length": body.length });
    response.write(body.subarray(0, 1000));
    setTimeout(() => response.end(body.subarray(1000)), 20);
  });
  const seen: Progress[] = [];
  expectBody(await download(url, { onProgress: (p) => seen.push(p) }));
  expect(seen[0]).toEqual({ phase: "network", loaded: 0, total: body.length });
  expect(seen.at(-1)).toEqual({ phase: "network", loaded: body.length, total: body.length });
  expect(seen.length).toBeGreaterThan(2);
});

test("a compressed response has no total, because its length is another", async () => {
  const packed = brotliCompressSync(body);
  const url = await serve((_, response) => {
    response.writeHead(200, { "Content-Length": packed.length, "Content-Encoding": "br" }).end(packed);
  });
  const seen: Progress[] = [];
  expectBody(await download(url, { onProgress: (p) => seen.push(p) }));
  expect(seen.at(-1)).toEqual({ phase: "network", loaded: body.length });
});

test("an HTTP error says its status, after one request", async () => {
  let requests = 0;
  const url = await serve((_, response) => {
    requests++;
    response.writeHead(503, "Busy").end("later");
  });
  const error = await failure(download(url));
  expect(error.code).toBe("http");
  expect(error.details).toMatchObject({ status: 503, url: url.href });
  expect(error.message).toContain("503 Busy");
  expect(requests).toBe(1);
});

test("no server, and a connection that breaks", async () => {
  const gone = await failure(download(new URL("http://127.0.0.1:1/x")));
  expect(gone.code).toBe("network");
  const url = await serve((_, response) => {
    response.writeHead(200, { "Content-Length": body.length });
    response.write(body.subarray(0, 5000), () => response.destroy());
  });
  const broken = await failure(download(url));
  expect(broken.code).toBe("network");
  expect(broken.details.expected).toBe(`${body.length} bytes`);
});

test("HTML in place of weights", async () => {
  const url = await serve((_, response) => {
    response.writeHead(200, { "Content-Type": "text/html" }).end("\n<!DOCTYPE html><title>Start</title>");
  });
  expect((await failure(download(url))).code).toBe("html");
});

test("more than the limit is refused before it is read", async () => {
  const url = await serve((_, response) => {
    response.writeHead(200, { "Content-Length": MAX_BYTES + 1 });
    response.write(body);
  });
  const error = await failure(download(url));
  expect(error.code).toBe("too-large");
  expect(error.message).toContain(`${MAX_BYTES}`);
});

test("an abort ends the download with the signal's reason", async () => {
  let closed = () => {};
  const connectionClosed = new Promise<void>((resolve) => {
    closed = resolve;
  });
  const url = await serve((request, response) => {
    response.writeHead(200, { "Content-Length": body.length });
    response.write(body.subarray(0, 5000));
    request.socket.on("close", closed);
  });
  const control = new AbortController();
  const promise = download(url, { signal: control.signal, onProgress: (p) => p.loaded && control.abort() });
  await expect(promise).rejects.toMatchObject({ name: "AbortError" });
  await connectionClosed;
});

test("integrity in base64 and hexadecimal; anything else fails closed", async () => {
  const url = await serve((_, response) => void response.end(body));
  for (const form of ["base64", "base64url", "hex"] as const) {
    const bytes = await download(url, { integrity: `sha256-${hash.toString(form)}` });
    expect(bytes.length).toBe(body.length);
  }
  const wrong = await failure(download(url, { integrity: `sha256-${"0".repeat(64)}` }));
  expect(wrong.code).toBe("integrity");
  expect(wrong.details).toMatchObject({ expected: "0".repeat(64), actual: hash.toString("hex") });
  for (const integrity of ["", "sha256-", "sha384-abc", "sha256-zz"]) {
    expect((await failure(download(url, { integrity }))).code).toBe("argument");
  }
});

test("SHA-256 without the browser's", async () => {
  vi.stubGlobal("crypto", {});
  const other = vi.fn(async () => hash.toString("hex"));
  expect(await digest(other)(body)).toBe(hash.toString("hex"));
  expect(other).toHaveBeenCalledOnce();
});

test("the cache answers the second time, with progress", async () => {
  const caches = new FakeCaches();
  vi.stubGlobal("caches", caches);
  let requests = 0;
  const url = await serve((_, response) => {
    requests++;
    response.end(body);
  });
  await download(url, { cache: true });
  const seen: Progress[] = [];
  expectBody(await download(url, { cache: true, onProgress: (p) => seen.push(p) }));
  expect(requests).toBe(1);
  expect(seen.at(-1)).toEqual({ phase: "cache", loaded: body.length, total: body.length });
  expect([...caches.stores.keys()]).toEqual(["convoke-v1"]);
  await download(url, { cache: "models-2" });
  expect(requests).toBe(2);
});

test("a cached file that does not match is dropped and fetched again, once", async () => {
  const caches = new FakeCaches();
  vi.stubGlobal("caches", caches);
  let requests = 0;
  const url = await serve((_, response) => {
    requests++;
    response.end(body);
  });
  const integrity = `sha256-${hash.toString("hex")}`;
  const store = await caches.open("convoke-v1");
  await store.put(url, new Response("an older version"));
  expectBody(await download(url, { cache: true, integrity }));
  expect(requests).toBe(1);
  await download(url, { cache: true, integrity });
  expect(requests).toBe(1);
  // A file from the network that does not match is not kept either.
  const wrong = { cache: true, integrity: `sha256-${"1".repeat(64)}` };
  expect((await failure(download(url, wrong))).code).toBe("integrity");
  expect(requests).toBe(2);
  expect(await store.match(url)).toBeUndefined();
});

test("a cache that refuses does not matter", async () => {
  vi.stubGlobal("caches", { open: () => Promise.reject(new DOMException("blocked", "SecurityError")) });
  const url = await serve((_, response) => void response.end(body));
  expectBody(await download(url, { cache: true }));
});

test("storage that throws, rejects or hangs, in any of its methods, never stops a download", async () => {
  const url = await serve((_, response) => void response.end(body));
  const refuse = () => Promise.reject(new DOMException("blocked", "SecurityError"));
  const fail = () => {
    throw new DOMException("blocked", "SecurityError");
  };
  const hang = () => new Promise<never>(() => {});
  // A body that begins and never goes on, and one that breaks.
  const stuck = async () => new Response(new ReadableStream({ start: (c) => c.enqueue(body.slice(0, 9)) }));
  const broken = async () => new Response(new ReadableStream({ start: (c) => c.error(new TypeError("damaged")) }));
  const none = async () => undefined;
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  const ticking = setInterval(() => void vi.advanceTimersByTime(1000), 5);
  onTestFinished(() => clearInterval(ticking));
  for (const bad of [refuse, fail, hang]) {
    const working = { match: none, put: none, delete: none };
    const stores = [
      { open: bad },
      { open: async () => ({ ...working, match: bad }) },
      { open: async () => ({ ...working, put: bad }) },
      { open: async () => ({ ...working, match: stuck, delete: bad }) },
      { open: async () => ({ ...working, match: broken, delete: bad }) },
    ];
    for (const store of stores) {
      vi.stubGlobal("caches", store);
      expectBody(await download(url, { cache: true }));
    }
    vi.stubGlobal("caches", { open: async () => ({ ...working, match: none, delete: bad }) });
    await deleteFromCache(url, true);
  }
  // A sandboxed frame throws when the storage is looked for.
  Object.defineProperty(globalThis, "caches", { configurable: true, get: fail });
  expectBody(await download(url, { cache: true }));
  Reflect.deleteProperty(globalThis, "caches");
  expectBody(await download(url, { cache: true }));
});

test("a response that the caller fetched", async () => {
  const what = "response";
  expectBody(await readResponse(new Response(body), { what, phase: "network" }));
  const failed = new Response("no", { status: 404 });
  expect((await failure(readResponse(failed, { what, phase: "network" }))).code).toBe("http");
});

test("the public download verifies files, also where only the engine can hash", async () => {
  const url = await serve((_, response) => void response.end(body));
  const integrity = `sha256-${hash.toString("base64")}`;
  expectBody(await publicDownload(url.href, { integrity }));
  vi.stubGlobal("crypto", {});
  expectBody(await publicDownload(url, { integrity }));
  const other = `sha256-${"0".repeat(64)}`;
  expect((await failure(publicDownload(url, { integrity: other }))).code).toBe("integrity");
  expect((await failure(publicDownload("http://"))).message).toContain("source: expected a URL");
});
