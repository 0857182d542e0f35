// onnxruntime-web: the ONNX file as it is, all graph optimizations; those make operators of integers where it is quantized.
import { bytes, input } from "../data.mjs";

const ENTRY = { wasm: "ort.wasm.min.mjs", webgpu: "ort.webgpu.min.mjs" };

export async function open(job) {
  const { backend, threads = 1 } = job.options;
  const ort = await import(`/ort/${ENTRY[backend]}`);
  ort.env.wasm.wasmPaths = `${location.origin}/ort/`;
  ort.env.wasm.numThreads = threads;
  const file = await bytes(`/models/${job.file}.onnx`);
  const session = await ort.InferenceSession.create(file, {
    executionProviders: [backend],
    graphOptimizationLevel: "all",
  });
  const x = input(job.input),
    [from] = session.inputNames,
    [to] = session.outputNames;
  return {
    info: { backend, threads },
    run: async () => (await session.run({ [from]: new ort.Tensor("float32", x, job.input) }))[to].data,
  };
}
