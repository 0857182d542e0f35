import { checkDownload } from "./arguments.js";
import { connect } from "./connection.js";
import { downloadFile } from "./download-file.js";
import { digest } from "./shared/integrity.js";
import type { DownloadOptions } from "./shared/types.js";
import { resolveSource } from "./source.js";

/**
 * Downloads any file like `Network.load` downloads models: with progress, a check of its SHA-256, and Cache Storage. In
 * Node it also reads files from disk.
 *
 * The largest size is 1 GiB. On insecure pages, where the browser does not hash, the engine computes the digest.
 *
 * @throws ConvokeError `http`, `network`, `html`, `too-large` or `io` when the file does not arrive, `integrity` when it
 * is another file, `argument` for an `integrity` or a URL that is none.
 *
 * @example
 * const bytes = await download("data/digits.bin", {
 *   integrity: "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
 *   onProgress: ({ loaded, total }) => console.log(loaded, total),
 * });
 */
export async function download(source: string | URL, options: DownloadOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
  checkDownload(options);
  const url = resolveSource(source);
  const sha256 = digest((bytes) => connect().call((engine) => engine.sha256(bytes, {})));
  return downloadFile(url, options, sha256);
}
