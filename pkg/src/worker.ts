import * as Comlink from "comlink";
import type { Tier } from "./index.js";

// Bundlers want each import and each URL spelled out.
const tiers = {
  simd128: {
    glue: () => import("../wasm/simd128/convoke.js"),
    wasm: () => new URL("../wasm/simd128/convoke_bg.wasm", import.meta.url),
  },
  relaxed: {
    glue: () => import("../wasm/relaxed/convoke.js"),
    wasm: () => new URL("../wasm/relaxed/convoke_bg.wasm", import.meta.url),
  },
  threads: {
    glue: () => import("../wasm/threads/convoke.js"),
    wasm: () => new URL("../wasm/threads/convoke_bg.wasm", import.meta.url),
  },
};

async function compile(url: URL): Promise<WebAssembly.Module> {
  return WebAssembly.compileStreaming(fetch(url));
}

const engine = {
  async probe(tier: Tier) {
    const { glue, wasm } = tiers[tier];
    const g = await glue();
    const module = await compile(wasm());
    const count: number[] = [];
    if (tier === "threads") {
      const memory = new WebAssembly.Memory({ initial: 64, maximum: 65536, shared: true });
      await g.default({ module_or_path: module, memory } as never);
      count.push(g.bump());
      for (let i = 0; i < 2; i++) {
        const thread = new Worker(new URL("./thread.js", import.meta.url), { type: "module" });
        count.push(
          await new Promise<number>((resolve, reject) => {
            thread.onmessage = (e) => resolve(e.data);
            thread.onerror = (e) => reject(new Error(`thread failed: ${e.message}`));
            thread.postMessage({ module, memory });
          }),
        );
      }
    } else {
      await g.default({ module_or_path: module });
      count.push(g.bump());
    }
    return { tier: g.tier(), sum: g.sum(new Float32Array([1, 2, 3]), 0), count, gpu: await g.gpu() };
  },
};
export type Engine = typeof engine;
Comlink.expose(engine);
