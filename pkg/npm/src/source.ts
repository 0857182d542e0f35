// The bytes of a model file, from any kind of source.
import { deleteFromCache } from "./cache.js";
import { downloadFile } from "./download-file.js";
import type { Bytes, NetworkOrigin } from "./shared/engine-rpc.js";
import { environment } from "./shared/environment.js";
import { wrongArgument } from "./shared/errors.js";
import { readResponse, refuseHtml } from "./shared/http.js";
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

/** Reads a file and verifies its `integrity`. */
export async function readSource(source: Source, o: LoadOptions, sha256: Hash): Promise<ReadSource> {
  if (typeof source === "string" || source instanceof URL) {
    const url = resolveSource(`${source}`);
    const bytes = await downloadFile(url, o, sha256);
    const refused = () => deleteFromCache(url, o.cache ?? true);
    return { origin: { kind: "file", bytes }, buffer: bytes.buffer, refused };
  }
  if (source instanceof Response) return readStream(source, source.url || "response", o, sha256);
  if (source instanceof Blob) return readStream(new Response(source), "blob", o, sha256);
  const bytes = source instanceof ArrayBuffer ? new Uint8Array(source) : (source as Bytes);
  await checkFile(bytes, "bytes", o, sha256);
  return { origin: { kind: "file", bytes } };
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

export function checkSource(source: unknown): void {
  if (typeof source === "string") return;
  if ([URL, Response, Blob, ArrayBuffer, Uint8Array].some((kind) => source instanceof kind)) return;
  throw wrongArgument("source", "a URL, Response, Blob, ArrayBuffer or Uint8Array", typeof source);
}

/** Returns the absolute URL of a source that is given as text. */
export function resolveSource(source: string): URL {
  try {
    return environment.resolve(source);
  } catch {
    throw wrongArgument("source", "a URL", source);
  }
}
