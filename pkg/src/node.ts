// Placeholder: wasm from the file system, no worker.
import { readFile } from "node:fs/promises";

export async function probe(): Promise<{ tier: string; sum: number }> {
  const g = await import("../wasm/simd128/convoke.js");
  await g.default({ module_or_path: await readFile(new URL("../wasm/simd128/convoke_bg.wasm", import.meta.url)) });
  return { tier: g.tier(), sum: g.sum(new Float32Array([1, 2, 3]), 0) };
}
