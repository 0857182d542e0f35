// What is measured: engines and tasks are rows here, and nothing else has to change to add one.
//
// engine: adapter (page/engines/NAME.mjs), label, options for the adapter, cores (what the page is told that the machine
//         has: jax-js starts that many workers, TensorFlow.js half as many threads), ours: true for Convoke
// task:   kind "infer" | "train" | "start", model (models/zoo.mjs), engines, rounds, seconds per engine and round,
//         int8: true for the model in 8 bits,
//         targets: [engine, rival, how many times as fast it has to be], where RIVALS stands for the fastest of all rivals,
//         or [engine, null, milliseconds it may take]

export const RIVALS = "rivals";

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

  // In integers where that is faster: 3x3 convolutions stay with Winograd's algorithm in float32.
  "convoke-int8": convoke("quantized file", { ...cpu, tier: "relaxed", worker: false }),

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
  "tfjs-webgl": { adapter: "tfjs", label: "TensorFlow.js WebGL", options: { backend: "webgl" } },
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

/**
 * A large network on one thread and on two. SIMD128 alone may take 1.45 times as long as with relaxed SIMD, and a second
 * thread has to bring 1.7 times the speed where there is a GFLOP or more to share out.
 */
const large = (model, title, one, two, gflop) => {
  const task = { kind: "infer", model, rounds: 3, seconds: 1 };
  return {
    [`${model}-infer`]: {
      ...task,
      title: `${title} inference, batch 1, one thread`,
      engines: ["convoke-relaxed", "convoke-simd128", "litert", "ort", "tfjs"],
      targets: [
        ["convoke-relaxed", RIVALS, one],
        ["convoke-simd128", "convoke-relaxed", 1 / 1.45],
      ],
    },
    [`${model}-infer-2`]: {
      ...task,
      title: `${title} inference, batch 1, two threads`,
      engines: ["convoke-threads", "convoke-relaxed", "litert-2", "ort-2", "tfjs-2"],
      targets: [["convoke-threads", RIVALS, two], ...(gflop > 1 ? [["convoke-threads", "convoke-relaxed", 1.7]] : [])],
    },
  };
};

/** A network in 8 bits on one thread. */
const int8 = (model, title, times) => ({
  [`${model}-int8`]: {
    kind: "infer",
    int8: true,
    model,
    title: `${title} inference in 8 bits, batch 1, one thread`,
    rounds: 3,
    seconds: 1,
    engines: ["convoke-int8", "litert", "ort"],
    targets: [["convoke-int8", RIVALS, times]],
  },
});

const TRAIN = { kind: "train", learningRate: 0.01, momentum: 0.9, rounds: 3, seconds: 1 };

export const TASKS = {
  "lenet5-infer": {
    kind: "infer",
    model: "lenet5",
    title: "LeNet-5 inference, batch 1, one thread",
    rounds: 7,
    seconds: 0.7,
    engines: ["convoke-relaxed", "convoke-simd128", "convoke-worker", "litert", "ort", "tfjs"],
    targets: [
      ["convoke-relaxed", RIVALS, 3],
      ["convoke-simd128", "convoke-relaxed", 1 / 1.45],
    ],
  },
  "lenet5-train": {
    ...TRAIN,
    model: "lenet5",
    batch: 64,
    title: "LeNet-5 training step, batch 64, SGD with momentum, on the CPU",
    engines: ["convoke-relaxed", "convoke-worker", "convoke-threads", "tfjs-js", "jax", "jax-jit"],
    targets: [
      ["convoke-relaxed", "tfjs-js", 40],
      ["convoke-relaxed", "jax", 20],
      ["convoke-threads", "convoke-relaxed", 1.6],
    ],
  },
  "lenet5-train-webgpu": {
    ...TRAIN,
    model: "lenet5",
    batch: 64,
    title: "LeNet-5 training step, batch 64, SGD with momentum, WebGPU and WebGL on software adapters",
    engines: ["convoke-webgpu", "convoke-webgpu-worker", "tfjs-webgpu", "tfjs-webgl", "jax-webgpu"],
    targets: [["convoke-webgpu", RIVALS, 1.5]],
  },
  // Left out for the minutes they take: jax-js under jit(), slower here than op by op, and TensorFlow.js on WebGPU, slower
  // than on WebGL.
  "resnet8-train": {
    ...TRAIN,
    model: "resnet8",
    batch: 32,
    title: "ResNet-8 training step, 32x32, batch 32, SGD with momentum, on the CPU",
    engines: ["convoke-relaxed", "convoke-threads", "tfjs-js", "jax"],
    targets: [
      ["convoke-relaxed", "tfjs-js", 100],
      ["convoke-relaxed", "jax", 40],
      ["convoke-threads", "convoke-relaxed", 1.6],
    ],
  },
  "resnet8-train-webgpu": {
    ...TRAIN,
    model: "resnet8",
    batch: 32,
    title: "ResNet-8 training step, 32x32, batch 32, SGD with momentum, WebGPU and WebGL on software adapters",
    engines: ["convoke-webgpu", "tfjs-webgl", "jax-webgpu"],
    targets: [["convoke-webgpu", RIVALS, 1.5]],
  },
  "lenet5-start": {
    kind: "start",
    model: "lenet5",
    title: "From navigation to the first LeNet-5 answer, loopback, cold cache",
    rounds: 5,
    engines: ["convoke-default", "litert", "ort", "tfjs"],
    targets: [["convoke-default", null, 1500]],
  },
  "resnet50-start": {
    kind: "start",
    model: "resnet50",
    title: "From navigation to the first ResNet-50 answer, loopback, cold cache",
    rounds: 3,
    engines: ["convoke-default", "litert", "ort", "tfjs"],
    targets: [["convoke-default", RIVALS, 1]],
  },
  "resnet50-again": {
    kind: "start",
    again: true,
    model: "resnet50",
    title: "From navigation to the first ResNet-50 answer, a second visit, with the caches of the first",
    rounds: 3,
    engines: ["convoke-default", "litert", "ort", "tfjs"],
    targets: [["convoke-default", RIVALS, 2]],
  },
  ...large("squeezenet1_1", "SqueezeNet 1.1", 1.6, 1.5, 0.698),
  ...large("mobilenet_v2", "MobileNetV2", 1.2, 1.1, 0.602),
  ...large("alexnet", "AlexNet (torchvision's)", 1.5, 1.4, 1.428),
  ...large("googlenet", "GoogLeNet (torchvision's)", 1.7, 1.6, 2.997),
  ...large("resnet18", "ResNet-18", 2.5, 2.3, 3.628),
  ...large("densenet121", "DenseNet-121", 1.8, 1.6, 5.668),
  ...large("resnet34", "ResNet-34", 2.8, 2.6, 7.327),
  ...large("resnet50", "ResNet-50", 1.75, 1.6, 8.178),
  ...large("vgg16", "VGG-16", 3.5, 3, 30.941),
  ...int8("resnet18", "ResNet-18", 1.5),
  ...int8("resnet50", "ResNet-50", 1.6),
  ...int8("vgg16", "VGG-16", 3),
};
