// Convoke through its public API, from the package of this checkout (pkg/npm/dist and pkg/npm/wasm).
import { batch, input } from "../data.mjs";

// Names of the zoo that differ from torchvision's.
const ARCH = { alexnet: "alexnet-torchvision", googlenet: "googlenet-torchvision" };
// Networks that the zoo lacks. They are read from ONNX files, as are quantized ones.
const FOREIGN = ["squeezenet1_1", "mobilenet_v2", "resnet8"];

async function load({ model, file, options, again }) {
  const { Network } = await import("/convoke/dist/index.js");
  const o = { cache: again, ...options };
  if (FOREIGN.includes(model) || file !== model) return Network.load(`/models/${file}.onnx`, o);
  return Network.load(`/models/${model}.safetensors`, { arch: ARCH[model] ?? model, ...o });
}

export async function open(job) {
  const net = await load(job);
  const info = { backend: net.backend, tier: net.tier, why: net.why };

  const data = input(job.input);
  const run = async () => (await net.run({ data, shape: job.input })).data;
  if (job.kind === "infer") return { info, run };

  const trainer = await net.trainer({
    optimizer: { kind: "sgd", learningRate: job.learningRate, momentum: job.momentum },
    loss: { kind: "softmax-cross-entropy" },
    batchSize: job.batch,
  });
  const dataset = batch(job); // One batch: an epoch is a step, whose images do not depend on the shuffling.
  return {
    info,
    async step(k) {
      const losses = [];
      for await (const r of trainer.fit(dataset, { epochs: k })) losses.push(r.loss);
      // An inference waits for the last update. The peers read a weight to wait for it.
      await run();
      return losses;
    },
  };
}
