#!/usr/bin/env node
// Types `wasm-pack build --target web` in a fresh clone of HEAD.
// Nothing that it writes may show in `git status`, and a page must be able to import the module and run a network.
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname, join, resolve } from "node:path";

// In target/, which Git ignores. Builds share a target folder, so that dependencies are compiled once.
const clone = resolve("target/wasm-pack/clone");
// The default of wasm-pack; the npm package is in a folder of its own below it.
const OUT = "pkg";
const inClone = (command, ...args) =>
  execFileSync(command, args, {
    cwd: clone,
    encoding: "utf8",
    env: { ...process.env, CARGO_TARGET_DIR: resolve("target/wasm-pack/target") },
    stdio: ["ignore", "pipe", "inherit"],
  });
rmSync(clone, { recursive: true, force: true });
execFileSync("git", ["clone", "--quiet", "--no-hardlinks", ".", clone]);

inClone("wasm-pack", "build", "--target", "web");
const status = inClone("git", "status", "--porcelain");
if (status !== "") throw new Error(`wasm-pack build leaves changes:\n${status}`);
console.log("git status: clean after wasm-pack build");

const types = { ".js": "text/javascript", ".wasm": "application/wasm" };
const server = createServer(({ url }, response) => {
  if (url === "/") {
    response.setHeader("Content-Type", "text/html").end("<!doctype html><title>wasm-pack</title>");
    return;
  }
  try {
    const body = readFileSync(join(clone, OUT, url));
    response.setHeader("Content-Type", types[extname(url)]).end(body);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));

const { chromium } = createRequire(resolve("tests/x"))("playwright-core");
const executablePath =
  process.env.CHROMIUM ?? execFileSync("sh", ["-c", "command -v chromium"], { encoding: "utf8" }).trim();
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
try {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  const { isa, shape, sum } = await page.evaluate(async () => {
    const convoke = await import("/convoke.js");
    await convoke.default();
    const network = convoke.Network.create("lenet5", 10, 1, convoke.Pool.single());
    await network.plan("cpu");
    const { data, shape } = await network.run(new Float32Array(32 * 32).fill(0.5), Uint32Array.of(1, 1, 32, 32));
    return { isa: convoke.isa(), shape: [...shape], sum: data.reduce((sum, value) => sum + value) };
  });
  if (`${shape}` !== "1,10" || !Number.isFinite(sum)) throw new Error(`LeNet-5 gave [${shape}] with the sum ${sum}`);
  console.log(`page: LeNet-5 ran on ${isa}`);
} finally {
  await browser.close();
  server.close();
}
