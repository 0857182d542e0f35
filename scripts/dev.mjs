#!/usr/bin/env node
// Serves the page for development: `make dev`. A change in www/ shows at once; one in pkg/npm/src builds the package again,
// one in src/ the wasm tier; then the page reloads.
//   scripts/dev.mjs [tier]     (default: threads; PORT=8080)
import { spawn } from "node:child_process";
import { watch } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const tier = process.argv[2] ?? "threads";
process.chdir(join(dirname(fileURLToPath(import.meta.url)), ".."));

/** Runs a shell command; true if it ended well. */
function run(command) {
  return new Promise((resolve) => {
    spawn("bash", ["-euc", command], { stdio: "inherit" }).on("close", (status) => resolve(status === 0));
  });
}
const wasm = () => run(`scripts/build-wasm.sh --fast ${tier}`);
const bundle = () => run("node pkg/npm/scripts/bundle.mjs"); // neither checked nor minified

const { createServer } = await import(pathToFileURL(createRequire(join(process.cwd(), "www/x")).resolve("vite")).href);
const server = await createServer({
  root: "www",
  server: { host: "127.0.0.1", port: Number(process.env.PORT || 8080), strictPort: true },
});
await server.listen();
console.log(`dev: http://127.0.0.1:${server.config.server.port}/ with the tier ${tier}`);

// One build at a time; what changes meanwhile is built after it.
const changed = new Set();
let building = false;

async function build() {
  if (building) return;
  building = true;
  while (changed.size > 0) {
    const begin = performance.now();
    const builds = [changed.has("src") && wasm, changed.has("pkg/npm/src") && bundle].filter(Boolean);
    changed.clear();
    let works = true;
    for (const step of builds) works &&= await step();
    if (works) {
      server.ws.send({ type: "full-reload" });
      console.log(`dev: reloaded after ${((performance.now() - begin) / 1000).toFixed(1)} s`);
    }
  }
  building = false;
}

for (const folder of ["src", "pkg/npm/src"]) {
  let wait;
  watch(folder, { recursive: true }, () => {
    changed.add(folder);
    clearTimeout(wait);
    wait = setTimeout(build, 50); // an editor writes several times
  });
}
