// Sizes as a good host sends them: brotli 11. It takes half a minute for a large wasm, so results are kept by file state.
import fs from "node:fs";
import path from "node:path";
import zlib from "node:zlib";

export function sizes(files, root) {
  const store = path.join(root, "sizes.json");
  const known = fs.existsSync(store) ? JSON.parse(fs.readFileSync(store, "utf8")) : {};
  const total = { raw: 0, brotli: 0, files: [] };
  for (const file of files) {
    const { size, mtimeMs } = fs.statSync(file),
      key = `${file}:${size}:${mtimeMs}`;
    known[key] ??= zlib.brotliCompressSync(fs.readFileSync(file), {
      params: {
        [zlib.constants.BROTLI_PARAM_QUALITY]: 11,
        [zlib.constants.BROTLI_PARAM_SIZE_HINT]: size,
        [zlib.constants.BROTLI_PARAM_LGWIN]: 24,
      },
    }).length;
    total.raw += size;
    total.brotli += known[key];
    total.files.push({ file: path.basename(file), raw: size, brotli: known[key] });
  }
  fs.writeFileSync(store, JSON.stringify(known));
  return total;
}
