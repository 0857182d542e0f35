// Convoke through its public API, from the package of this checkout (pkg/dist and pkg/wasm).
import { batch, input } from "../data.mjs";

// The zoo's names where they differ from torchvision's, and the networks that it lacks: those come as ONNX files, as quantized ones do.
const ARCH = { alexnet: "alexnet-torchvision", googlenet: "googlenet-torchvision" };
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
  const dataset = batch(job); // one batch: an epoch is a step, and shuffling cannot change which images are in it
  return {
    info,
    async step(k) {
      const losses = [];
      for await (const r of trainer.fit(dataset, { epochs: k })) losses.push(r.loss);
      // An inference needs the updated weights, so the last update must be finished: the peers read a weight for that.
      await run();
      return losses;
    },
  };
}
