// Projects with the packed package, installed by npm, and the files that their pages need.
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../", import.meta.url));
export const isolation = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};
export const policy = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' blob: data:",
};

const html = `<!doctype html><html lang="en"><link rel="icon" href="data:,">
<pre id="out"></pre><script type="module" src="./main.js"></script></html>`;

/** Makes a folder with the tarball of `npm pack`. */
export function pack(): string {
  const base = mkdtempSync(join(tmpdir(), "convoke-consumers-"));
  execFileSync("npm", ["pack", "--silent", "--pack-destination", base], { cwd: join(root, "pkg/npm") });
  return base;
}

export function remove(base: string | undefined): void {
  if (base) rmSync(base, { recursive: true, force: true });
}

/** Makes a project with the packed package, installed by npm. */
export function project(base: string, name: string, main: string): string {
  const folder = join(base, name);
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }');
  const tarball = join(base, "convoke-0.1.0.tgz");
  execFileSync("npm", ["install", "--silent", "--offline", "--no-audit", "--no-fund", tarball], { cwd: folder });
  writeFileSync(join(folder, "index.html"), html);
  writeFileSync(join(folder, "main.js"), main);
  return folder;
}

/** Copies the model and the digit to the paths that the pages fetch. */
export function addFiles(folder: string): string {
  mkdirSync(join(folder, "models"), { recursive: true });
  cpSync(join(root, "models/lenet5-mnist.safetensors"), join(folder, "models/lenet5-mnist.safetensors"));
  cpSync(join(root, "tests/consumers/digit.json"), join(folder, "digit.json"));
  return folder;
}
