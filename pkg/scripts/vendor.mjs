// Copies the two small libraries into dist/vendor/ and points the imports there. No bare name is
// left for the browser to resolve (import maps do not reach into workers), so dist/ works as it is
// from a plain <script type="module">.
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const dist = join(root, "dist");
const vendor = join(dist, "vendor");

const libraries = {
  comlink: { code: "dist/esm/comlink.mjs", types: ["dist/esm/comlink.d.ts", "dist/esm/protocol.d.ts"] },
  "wasm-feature-detect": { code: "dist/esm/index.js", types: ["dist/index.d.ts"] },
};

function rewrite(file, change) {
  const before = readFileSync(file, "utf8");
  const after = change(before);
  if (after !== before) writeFileSync(file, after);
}

// `from "name"`, `import "name"` and `import("name")`.
const importOf = (name) => new RegExp(`((?:\\bfrom|\\bimport)\\s*\\(?\\s*)(["'])${name}\\2`, "g");

for (const entry of readdirSync(dist, { recursive: true })) {
  if (!/\.(js|d\.ts)$/.test(entry)) continue;
  const file = join(dist, entry);
  rewrite(file, (text) => {
    for (const name of Object.keys(libraries)) {
      let path = relative(dirname(file), join(vendor, `${name}.js`)).replaceAll("\\", "/");
      if (!path.startsWith(".")) path = `./${path}`;
      text = text.replace(importOf(name), `$1"${path}"`);
    }
    return text;
  });
}

mkdirSync(vendor, { recursive: true });
for (const [name, { code, types }] of Object.entries(libraries)) {
  const from = join(root, "node_modules", name);
  cpSync(join(from, code), join(vendor, `${name}.js`));
  cpSync(join(from, "LICENSE"), join(vendor, `${name}.LICENSE`));
  rewrite(join(vendor, `${name}.js`), (text) => text.replace(/\n\/\/# sourceMappingURL=.*\n?$/, "\n"));
  types.forEach((path, i) => {
    const to = join(vendor, i === 0 ? `${name}.d.ts` : path.split("/").pop());
    cpSync(join(from, path), to);
    rewrite(to, (text) => text.replace(/from (["'])(\.\/\w+)\1/g, 'from "$2.js"'));
  });
}
