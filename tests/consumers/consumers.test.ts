// Placeholder: the packed package in the projects of its users.
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { build } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";
import webpack from "webpack";
import { launch, serve } from "../support/browser.js";

const pkg = fileURLToPath(new URL("../../pkg/", import.meta.url));
const isolation = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
const policy = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' blob: data:",
};

const html = `<!doctype html><html lang="en"><link rel="icon" href="data:,">
<pre id="out"></pre><script type="module" src="./main.js"></script></html>`;
const main = (name: string) => `import { pickTier, probe } from "${name}";
const out = document.getElementById("out");
try {
  out.textContent = JSON.stringify(await probe(await pickTier()));
} catch (error) {
  out.textContent = "failed: " + error;
}`;

let base: string;
let browser: Browser;

/** A folder with the packed package installed, as npm does it. */
function project(name: string, specifier = "convoke"): string {
  const folder = join(base, name);
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }');
  const tarball = join(base, "convoke-0.1.0.tgz");
  execFileSync("npm", ["install", "--silent", "--offline", "--no-audit", "--no-fund", tarball], { cwd: folder });
  writeFileSync(join(folder, "index.html"), html);
  writeFileSync(join(folder, "main.js"), main(specifier));
  return folder;
}

async function answer(folder: string, headers: Record<string, string>) {
  const server = await serve(folder, headers);
  const page = await browser.newPage();
  try {
    await page.goto(server.url);
    await page.waitForFunction(() => document.getElementById("out")?.textContent, undefined, { timeout: 30_000 });
    return JSON.parse((await page.textContent("#out")) ?? "") as { tier: string };
  } finally {
    await page.close();
    await server.close();
  }
}

async function works(folder: string) {
  expect((await answer(folder, { ...isolation, ...policy })).tier).toContain("atomics true");
  expect((await answer(folder, policy)).tier).toContain("relaxed true atomics false");
}

beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), "convoke-consumers-"));
  execFileSync("npm", ["pack", "--silent", "--pack-destination", base], { cwd: pkg });
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
  rmSync(base, { recursive: true, force: true });
});

test("plain HTML, no bundler", async () => {
  await works(project("plain", "./node_modules/convoke/dist/index.js"));
});

test("Vite without settings", async () => {
  const folder = project("vite");
  await build({ root: folder, configFile: false, logLevel: "error" });
  await works(join(folder, "dist"));
});

test("webpack without settings", async () => {
  const folder = project("webpack");
  await new Promise<void>((resolve, reject) => {
    webpack(
      { mode: "production", context: folder, entry: "./main.js", output: { path: join(folder, "dist") } },
      (error, stats) => {
        if (error || stats?.hasErrors()) reject(error ?? new Error(stats?.toString()));
        else resolve();
      },
    );
  });
  // webpack's entry is main.js too.
  cpSync(join(folder, "index.html"), join(folder, "dist", "index.html"));
  await works(join(folder, "dist"));
});

test("Node", () => {
  const folder = project("node");
  const script = 'import { probe } from "convoke"; console.log(JSON.stringify(await probe()));';
  const output = execFileSync("node", ["--input-type=module", "-e", script], { cwd: folder, encoding: "utf8" });
  expect(JSON.parse(output).sum).toBe(6);
});

test("the package holds what it promises and depends on nothing", () => {
  const folder = join(project("content"), "node_modules/convoke");
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  expect(manifest.dependencies ?? {}).toEqual({});
  for (const file of ["LICENSE-MIT", "LICENSE-APACHE", "dist/index.d.ts", "dist/vendor/comlink.LICENSE"]) {
    expect(readFileSync(join(folder, file)).length).toBeGreaterThan(0);
  }
});
