// Bundles dist/: a page fetches two files instead of ten, and what is in one file compresses together. The two small
// libraries go in with the rest: no bare name is left for the browser to resolve (import maps do not reach into workers), so
// dist/ works as it is from a plain <script type="module">. Their licences, and the types that ours name, go beside.
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const dist = join(root, "dist");
const vendor = join(dist, "vendor");

const options = {
  absWorkingDir: root,
  outdir: "dist",
  bundle: true,
  format: "esm",
  target: "es2022",
  // As far from dist/ as from src/. A user's bundler finds them there.
  external: ["../wasm/*", "node:*"],
  legalComments: "none",
  logLevel: "warning",
};
const entries = (names) => names.map((name) => `src/${name}.ts`);
await build({ ...options, entryPoints: entries(["index", "worker", "thread"]), splitting: true });
await build({ ...options, entryPoints: entries(["node"]) });

const libraries = {
  comlink: { "comlink.d.ts": "dist/esm/comlink.d.ts", "protocol.d.ts": "dist/esm/protocol.d.ts" },
  "wasm-feature-detect": {},
};
mkdirSync(vendor, { recursive: true });
for (const [name, types] of Object.entries(libraries)) {
  const from = join(root, "node_modules", name);
  cpSync(join(from, "LICENSE"), join(vendor, `${name}.LICENSE`));
  for (const [to, path] of Object.entries(types)) {
    const text = readFileSync(join(from, path), "utf8");
    writeFileSync(join(vendor, to), text.replace(/from (["'])(\.\/\w+)\1/g, 'from "$2.js"'));
  }
}
for (const entry of readdirSync(dist).filter((entry) => entry.endsWith(".d.ts"))) {
  const file = join(dist, entry);
  writeFileSync(file, readFileSync(file, "utf8").replaceAll('from "comlink"', 'from "./vendor/comlink.js"'));
}
