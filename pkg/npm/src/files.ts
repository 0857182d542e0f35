// The files of the package that the engine loads. Bundlers find them by reading these lines, so nothing here may be
// computed. This module stands in src/ itself because its relative URLs must also be right in dist/.
import type { PackageFiles } from "./engine/builds.js";

export const files: PackageFiles = {
  tiers: {
    simd128: {
      glue: () => import("../wasm/simd128/convoke.js"),
      url: () => new URL("../wasm/simd128/convoke_bg.wasm", import.meta.url),
    },
    relaxed: {
      glue: () => import("../wasm/relaxed/convoke.js"),
      url: () => new URL("../wasm/relaxed/convoke_bg.wasm", import.meta.url),
    },
    threads: {
      glue: () => import("../wasm/threads/convoke.js"),
      url: () => new URL("../wasm/threads/convoke_bg.wasm", import.meta.url),
    },
  },
  onnx: {
    glue: () => import("../wasm/onnx/convoke.js"),
    url: () => new URL("../wasm/onnx/convoke_bg.wasm", import.meta.url),
  },
  startThread: () => new Worker(new URL("./thread.js", import.meta.url), { type: "module" }),
};
