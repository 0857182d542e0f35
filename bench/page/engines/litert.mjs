// LiteRT.js (XNNPACK in wasm): the TFLite file; a new input tensor in, a copy of the output out, both freed.
import { bytes, channelsLast, input } from "../data.mjs";

export async function open(job) {
  const { backend, threads = 1 } = job.options;
  const lite = await import("/litert/core/dist/index.js");
  await lite.loadLiteRt(`${location.origin}/litert/core/wasm/`, threads > 1 ? { threads: true } : {});
  const file = await bytes(`/models/${job.file}.tflite`);
  const model = await lite.loadAndCompile(file, {
    accelerator: backend,
    ...(backend === "wasm" ? { cpuOptions: { numThreads: threads } } : {}),
  });
  const [, c, h, w] = job.input,
    x = channelsLast(input(job.input), 1, c, h * w);
  return {
    info: { backend, threads, accelerated: model.isFullyAccelerated },
    async run() {
      const t = new lite.Tensor(x, [1, h, w, c]);
      const [y] = await model.run([t]);
      const d = (await y.data()).slice();
      y.delete();
      t.delete();
      return d;
    },
  };
}
