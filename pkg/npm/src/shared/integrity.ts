// SHA-256 digests of files.
import { ConvokeError, wrongArgument } from "./errors.js";

type Bytes = Uint8Array<ArrayBuffer>;

/** Returns the SHA-256 of bytes in lower-case hexadecimal. */
export type Hash = (bytes: Bytes) => Promise<string>;

/** Returns the digest in `sha256-<base64 or hexadecimal>` in lower-case hexadecimal. */
export function parseIntegrity(integrity: string): string {
  const digest = /^sha256-(.+)$/.exec(integrity)?.[1] ?? "";
  if (/^[0-9a-f]{64}$/i.test(digest)) return digest.toLowerCase();
  if (/^[A-Za-z0-9+/_-]{43}=?$/.test(digest)) {
    const binary = atob(digest.replaceAll("-", "+").replaceAll("_", "/"));
    return hex(Uint8Array.from(binary, (c) => c.charCodeAt(0)));
  }
  throw wrongArgument("integrity", "`sha256-` and 32 bytes in base64 or hexadecimal", integrity);
}

/** Throws `integrity` unless `bytes` have the digest `expected`. `what` names them in the error. */
export async function verify(bytes: Bytes, expected: string, what: string, sha256: Hash): Promise<void> {
  const actual = await sha256(bytes);
  if (actual === expected) return;
  throw new ConvokeError("integrity", `${what}: SHA-256 mismatch: expected ${expected}, got ${actual}`, {
    url: what,
    expected,
    actual,
  });
}

/** Returns the browser's SHA-256 where it has one (secure contexts), else `otherwise`. */
export function digest<T>(otherwise: (bytes: Bytes) => Promise<T>): (bytes: Bytes) => Promise<string | T> {
  const subtle = globalThis.crypto?.subtle;
  return subtle ? async (bytes) => hex(new Uint8Array(await subtle.digest("SHA-256", bytes))) : otherwise;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}
