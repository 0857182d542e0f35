// The bytes of a model file, from any kind of source.
import { copyBytes, kindOf } from "./arguments.js";
import { deleteFromCache } from "./cache.js";
import { downloadFile } from "./download-file.js";
import type { Bytes, NetworkOrigin } from "./shared/engine-rpc.js";
import { environment } from "./shared/environment.js";
import { wrongArgument } from "./shared/errors.js";
import { checkSize, readResponse, refuseHtml } from "./shared/http.js";
import { type Hash, parseIntegrity, verify } from "./shared/integrity.js";
import type { LoadOptions, Source } from "./shared/types.js";

/** The origin of a network, ready to be sent to the engine. */
export interface ReadSource {
  origin: NetworkOrigin;
  /** The origin's buffer where no other code has it, so that it can be moved. */
  buffer?: ArrayBuffer;
  /** Called when the engine refuses the file. */
  refused?: () => Promise<void>;
}

/**
 * Takes a source as it is now, and returns the function that reads it and verifies its `integrity`. Later changes of the
 * caller's bytes have no effect.
 */
export function takeSource(source: Source): (o: LoadOptions, sha256: Hash) => Promise<ReadSource> {
  if (typeof source === "string" || source instanceof URL) {
    const url = resolveSource(source);
    return (o, sha256) => readUrl(url, o, sha256);
  }
  if (source instanceof Response) {
    if (source.bodyUsed || source.body?.locked)
      throw wrongArgument("source", "a Response to read", "one that was read");
    return (o, sha256) => readStream(source, source.url || "response", o, sha256);
  }
  if (source instanceof Blob) {
    checkSize(source.size, "blob");
    return (o, sha256) => readStream(new Response(source), "blob", o, sha256);
  }
  const bytes = copyFile(source);
  return async (o, sha256) => {
    await checkFile(bytes, "bytes", o, sha256);
    return { origin: { kind: "file", bytes }, buffer: bytes.buffer };
  };
}

/** Copies a file that is in memory, whatever memory that is: shared, resizable, or part of a larger buffer. */
function copyFile(source: unknown): Bytes {
  const kind = kindOf(source);
  if (kind === "ArrayBuffer" || kind === "SharedArrayBuffer") {
    const buffer = source as ArrayBuffer;
    // Of a detached buffer no array can be made; the check of arrays tells it from an empty file.
    if (buffer.byteLength === 0 && isDetached(buffer))
      throw wrongArgument("source", "a buffer", "one that was transferred");
    checkSize(buffer.byteLength, "bytes");
    return copyBytes("source", new Uint8Array(buffer));
  }
  if (!ArrayBuffer.isView(source) || kind !== "Uint8Array") {
    throw wrongArgument("source", "a URL, Response, Blob, ArrayBuffer or Uint8Array", kind);
  }
  checkSize(source.byteLength, "bytes");
  return copyBytes("source", source);
}

function isDetached(buffer: ArrayBuffer): boolean {
  try {
    new Uint8Array(buffer);
    return false;
  } catch {
    return true;
  }
}

async function readUrl(url: URL, o: LoadOptions, sha256: Hash): Promise<ReadSource> {
  const bytes = await downloadFile(url, o, sha256);
  const refused = () => deleteFromCache(url, o.cache ?? true);
  return { origin: { kind: "file", bytes }, buffer: bytes.buffer, refused };
}

async function readStream(response: Response, what: string, o: LoadOptions, sha256: Hash): Promise<ReadSource> {
  const { signal, onProgress } = o;
  const bytes = await readResponse(response, { what, phase: "network", signal, onProgress });
  await checkFile(bytes, what, o, sha256);
  return { origin: { kind: "file", bytes }, buffer: bytes.buffer };
}

async function checkFile(bytes: Bytes, what: string, { integrity }: LoadOptions, sha256: Hash): Promise<void> {
  refuseHtml(bytes, null, what);
  if (integrity !== undefined) await verify(bytes, parseIntegrity(integrity), what, sha256);
}

/** Returns the absolute URL of a source that is given as text. */
export function resolveSource(source: string | URL, name = "source"): URL {
  if (typeof source !== "string" && !(source instanceof URL)) throw wrongArgument(name, "a URL", kindOf(source));
  try {
    return environment.resolve(`${source}`);
  } catch {
    throw wrongArgument(name, "a URL", source);
  }
}
