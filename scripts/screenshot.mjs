#!/usr/bin/env node
// Makes docs/screenshot.png from the built page: a digit classified, a network trained.
//   scripts/screenshot.mjs [FILE]
// Needs `make page` and a Chromium (or CHROMIUM=/path/to/it).
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
const file = resolve(process.argv[2] ?? `${root}docs/screenshot.png`);
const executablePath =
  process.env.CHROMIUM ??
  execFileSync("sh", ["-c", "command -v chromium || command -v google-chrome || command -v chrome"], {
    encoding: "utf8",
  }).trim();

const vite = createRequire(`${root}www/package.json`).resolve("vite");
const { preview } = await import(pathToFileURL(vite).href);
const { chromium } = createRequire(`${root}tests/package.json`)("playwright-core");

const server = await preview({
  root: `${root}www`,
  logLevel: "error",
  preview: { host: "127.0.0.1", port: 0, strictPort: false },
});
const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"],
});
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  await page.goto(`http://127.0.0.1:${server.httpServer.address().port}/`);
  await page.waitForFunction(() => performance.getEntriesByName("convoke:first-classification").length > 0);
  await page.click("#start");
  await page.waitForSelector('#train-state[data-state="done"]', { timeout: 300_000 });
  // The engine is idle now: the time it shows is a real one.
  for (const label of [8, 5, 3]) {
    await page.click(`.sample[data-label="${label}"]`);
    await page.waitForTimeout(400);
  }
  await page.mouse.move(640, 700);
  await page.evaluate(() => document.activeElement?.blur());
  await page.waitForTimeout(300);
  mkdirSync(dirname(file), { recursive: true });
  await page.screenshot({ path: file });
  console.log(`wrote ${file}`);
} finally {
  await browser.close();
  await server.close();
}
