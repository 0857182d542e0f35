// Minifies every module of dist/ in its place.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { minify } from "terser";

const dist = join(dirname(fileURLToPath(import.meta.url)), "../dist");

for (const entry of readdirSync(dist, { recursive: true })) {
  if (!entry.endsWith(".js")) continue;
  const file = join(dist, entry);
  // Modules of the package read each other's exports only, whose names terser keeps.
  const { code } = await minify(readFileSync(file, "utf8"), { module: true, format: { comments: false } });
  writeFileSync(file, code);
}
