// Placeholder: page -> worker -> tier -> threads.
import * as Comlink from "comlink";
import { relaxedSimd, simd, threads } from "wasm-feature-detect";
import type { Engine } from "./worker.js";

export type Tier = "simd128" | "relaxed" | "threads";

export async function pickTier(): Promise<Tier> {
  if (!(await simd())) throw new Error("this browser has no WebAssembly SIMD");
  if (!(await relaxedSimd())) return "simd128";
  return globalThis.crossOriginIsolated && (await threads()) ? "threads" : "relaxed";
}

export async function probe(tier?: Tier): Promise<{ tier: string; sum: number; count: number[]; gpu: string }> {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  const engine = Comlink.wrap<Engine>(worker);
  const failed = new Promise<never>((_, reject) => {
    worker.onerror = (e) => reject(new Error(`worker failed: ${e.message}`));
  });
  const result = await Promise.race([engine.probe(tier ?? (await pickTier())), failed]);
  worker.terminate();
  return result;
}
