// Bundles dist/, so that a page fetches a few files, each of which compresses as a whole. Two small libraries are bundled
// too: import maps do not apply in workers, and without bare names dist/ works from a plain <script type="module">. The
// libraries' licences, and the types that the package's types name, are copied to dist/vendor.
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
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
  // The wasm modules are as far from dist/ as from src/, and a user's bundler finds them there.
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
for (const entry of readdirSync(dist, { recursive: true }).filter((entry) => entry.endsWith(".d.ts"))) {
  const file = join(dist, entry);
  const types = `./${relative(dirname(file), join(vendor, "comlink.js"))}`;
  writeFileSync(file, readFileSync(file, "utf8").replaceAll('from "comlink"', `from "${types}"`));
}
