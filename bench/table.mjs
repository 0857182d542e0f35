// What is measured: engines and tasks are rows here, and nothing else has to change to add one.
//
// engine: adapter (page/engines/NAME.mjs), label, options for the adapter, cores (what the page is told that the machine
//         has: jax-js starts that many workers, TensorFlow.js half as many threads), ours: true for Convoke
// task:   kind "infer" | "train" | "start", model (models/zoo.mjs), engines, rounds, seconds per engine and round,
//         extra: true leaves it out unless named
//         targets: [engine, rival, how many times faster it has to be] or [engine, null, milliseconds it may take]

const convoke = (label, options) => ({ adapter: "convoke", ours: true, label: `Convoke, ${label}`, options });
const cpu = { backend: "cpu", threads: 1 };

export const ENGINES = {
  "convoke-relaxed": convoke("relaxed SIMD, page thread", { ...cpu, tier: "relaxed", worker: false }),
  "convoke-simd128": convoke("SIMD128, page thread", { ...cpu, tier: "simd128", worker: false }),
  "convoke-worker": convoke("relaxed SIMD, in its worker", { ...cpu, tier: "relaxed", worker: true }),
  "convoke-default": convoke("CPU, all defaults", { backend: "cpu" }),
  "convoke-webgpu": convoke("WebGPU, page thread", { backend: "webgpu", worker: false }),
  "convoke-webgpu-worker": convoke("WebGPU, in its worker", { backend: "webgpu", worker: true }),

  "convoke-threads": convoke("relaxed SIMD, 2 threads", { backend: "cpu", threads: 2, tier: "threads" }),

  litert: { adapter: "litert", label: "LiteRT.js wasm", options: { backend: "wasm", threads: 1 } },
  ort: { adapter: "ort", label: "onnxruntime-web wasm", options: { backend: "wasm", threads: 1 } },
  tfjs: { adapter: "tfjs", label: "TensorFlow.js wasm", options: { backend: "wasm", threads: 1 } },
  // Two threads. TensorFlow.js takes half of the cores it sees, so it is shown four.
  "litert-2": { adapter: "litert", label: "LiteRT.js wasm, 2 threads", options: { backend: "wasm", threads: 2 } },
  "ort-2": { adapter: "ort", label: "onnxruntime-web wasm, 2 threads", options: { backend: "wasm", threads: 2 } },
  "tfjs-2": {
    adapter: "tfjs",
    label: "TensorFlow.js wasm, 2 threads",
    cores: 4,
    options: { backend: "wasm", threads: 2 },
  },

  "tfjs-js": { adapter: "tfjs", label: "TensorFlow.js JS (cpu)", options: { backend: "cpu" } },
  "tfjs-webgpu": { adapter: "tfjs", label: "TensorFlow.js WebGPU", options: { backend: "webgpu" } },
  jax: {
    adapter: "jax",
    label: "jax-js wasm, op by op",
    cores: 1,
    options: { backend: "wasm", eager: true, cores: 1 },
  },
  "jax-jit": { adapter: "jax", label: "jax-js wasm, jit", cores: 1, options: { backend: "wasm", cores: 1 } },
  "jax-webgpu": { adapter: "jax", label: "jax-js WebGPU, jit", options: { backend: "webgpu" } },
};

/** The large networks, on one thread and on two: not in the default run, name them with --tasks. */
const large = (model) => {
  const task = (title, engines) => ({
    kind: "infer",
    extra: true,
    model,
    title,
    rounds: 4,
    seconds: 2,
    engines,
    targets: engines.slice(1).map((rival) => [engines[0], rival, 1]),
  });
  return {
    [`${model}-infer`]: task(`${model} inference, batch 1, one thread`, ["convoke-relaxed", "litert", "ort", "tfjs"]),
    [`${model}-infer-2`]: task(`${model} inference, batch 1, two threads`, [
      "convoke-threads",
      "litert-2",
      "ort-2",
      "tfjs-2",
    ]),
  };
};

const TRAIN = { kind: "train", batch: 64, learningRate: 0.01, momentum: 0.9 };

export const TASKS = {
  "lenet5-infer": {
    kind: "infer",
    model: "lenet5",
    title: "LeNet-5 inference, batch 1, one thread",
    rounds: 7,
    seconds: 0.7,
    engines: ["convoke-relaxed", "convoke-simd128", "convoke-worker", "litert", "ort", "tfjs"],
    targets: [
      ["convoke-relaxed", "litert", 1],
      ["convoke-relaxed", "ort", 1],
      ["convoke-relaxed", "tfjs", 1],
    ],
  },
  "lenet5-train": {
    ...TRAIN,
    model: "lenet5",
    title: "LeNet-5 training step, batch 64, SGD with momentum, one CPU thread",
    rounds: 4,
    seconds: 1,
    engines: ["convoke-relaxed", "convoke-worker", "tfjs-js", "jax", "jax-jit"],
    targets: [
      ["convoke-relaxed", "tfjs-js", 40],
      ["convoke-relaxed", "jax", 15],
      ["convoke-relaxed", "jax-jit", 15],
    ],
  },
  "lenet5-train-webgpu": {
    ...TRAIN,
    model: "lenet5",
    title: "LeNet-5 training step, batch 64, SGD with momentum, WebGPU on a software adapter",
    rounds: 3,
    seconds: 1,
    engines: ["convoke-webgpu", "convoke-webgpu-worker", "tfjs-webgpu", "jax-webgpu"],
    targets: [
      ["convoke-webgpu", "tfjs-webgpu", 1],
      ["convoke-webgpu", "jax-webgpu", 1],
    ],
  },
  "lenet5-start": {
    kind: "start",
    model: "lenet5",
    title: "From navigation to the first LeNet-5 answer, loopback, cold cache",
    rounds: 5,
    engines: ["convoke-default", "litert", "ort", "tfjs"],
    targets: [["convoke-default", null, 1500]],
  },
  ...large("resnet18"),
  ...large("resnet50"),
  ...large("vgg16"),
};
