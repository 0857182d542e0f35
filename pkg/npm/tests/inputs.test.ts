// What callers hand over: taken when the call is made, checked before anything is sent.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ImageSource, Network, type TensorData, type TrainingData } from "../src/node.js";
import { failure } from "./support.js";

const path = fileURLToPath(new URL("../../../models/lenet5-mnist.safetensors", import.meta.url));

let net: Network;
beforeAll(async () => {
  net = await Network.load(path);
});
afterAll(() => net.dispose());

const tensor = (value = 0.25): TensorData => ({ data: new Float32Array(1024).fill(value), shape: [1, 1, 32, 32] });
const pixels = (value = 100) => ({ data: new Uint8ClampedArray(28 * 28 * 4).fill(value), width: 28, height: 28 });
const training = (): TrainingData => ({
  images: new Uint8Array(8 * 784).map((_, i) => (i * 37) % 251),
  labels: Uint8Array.from({ length: 8 }, (_, i) => i),
  shape: [8, 1, 28, 28],
});

/** Returns a detached view. */
function detached<T extends ArrayBufferView>(view: T): T {
  structuredClone(view.buffer, { transfer: [view.buffer as ArrayBuffer] });
  return view;
}

test("pixels and tensors that are overwritten right after a call change no answer", async () => {
  const calls: [string, (input: ImageSource) => Promise<unknown>][] = [
    ["run", (input) => net.run(input)],
    ["classify", (input) => net.classify(input)],
    ["activations", (input) => net.activations(input, ["conv1"])],
  ];
  for (const make of [tensor, pixels]) {
    for (const [name, call] of calls) {
      const wanted = await call(make());
      const input = make();
      const answer = call(input);
      input.data.fill(0);
      if ("shape" in input) input.shape[0] = 7;
      expect(await answer, name).toEqual(wanted);
    }
  }
});

test("training data, a file and options that are overwritten right after a call change nothing", async () => {
  const losses = async (change: boolean) => {
    using fresh = await Network.create("lenet5", { seed: 1 });
    const options = { batchSize: 4, seed: 1, optimizer: { kind: "sgd" as const, learningRate: 0.01 } };
    const made = fresh.trainer(options);
    if (change) options.optimizer.learningRate = 1;
    using trainer = await made;
    const [data, validation] = [training(), training()];
    const reports = trainer.fit(data, { epochs: 2, validation });
    if (change) {
      for (const { images, labels } of [data, validation]) {
        images.fill(0);
        (labels as Uint8Array).fill(0);
      }
    }
    const seen = [];
    for await (const { loss, validation } of reports) seen.push(loss, validation?.loss);
    return seen;
  };
  expect(await losses(true)).toEqual(await losses(false));
  const file = new Uint8Array(readFileSync(path));
  const loading = Network.load(file);
  file.fill(0);
  using loaded = await loading;
  expect((await loaded.run(tensor())).data).toEqual((await net.run(tensor())).data);
});

test("memory that is shared, resizable or a part of more can be used", async () => {
  const wanted = await net.run(tensor());
  const shared = new Float32Array(new SharedArrayBuffer(4096)).fill(0.25);
  const part = new Float32Array(3000).fill(0.25).subarray(1000, 2024);
  for (const data of [shared, part]) expect(await net.run({ ...tensor(), data })).toEqual(wanted);
  const bytes = readFileSync(path);
  const buffer = new SharedArrayBuffer(bytes.length);
  new Uint8Array(buffer).set(bytes);
  for (const source of [bytes, new Uint8Array(buffer), buffer as unknown as ArrayBuffer]) {
    using loaded = await Network.load(source);
    expect((await loaded.run(tensor())).data).toEqual(wanted.data);
  }
  const sharedImages = new Uint8Array(new SharedArrayBuffer(8 * 784));
  using fresh = await Network.create("lenet5", { seed: 1 });
  using trainer = await fresh.trainer({ batchSize: 8 });
  for await (const { step } of trainer.fit({ ...training(), images: sharedImages }, { epochs: 1 }))
    expect(step).toBe(1);
});

test("images of other types, sizes and states are refused by name", async () => {
  const wrong: [unknown, string][] = [
    [null, "image"],
    [7, "image"],
    [Symbol("image"), "image"],
    [{}, "image"],
    [{ ...pixels(), data: new Float32Array(28 * 28 * 4) }, "image.data"],
    [{ ...pixels(), data: new Int16Array(28 * 28 * 4) }, "image.data"],
    [{ ...pixels(), data: Array(28 * 28 * 4).fill(0) }, "image.data"],
    [{ ...pixels(), data: detached(pixels().data) }, "image.data"],
    [{ ...tensor(), data: new Float64Array(1024) }, "data"],
    [{ ...tensor(), data: Array(1024).fill(0) }, "data"],
    [{ ...tensor(), data: detached(tensor().data) }, "data"],
    [{ ...tensor(), shape: "1,1,32,32" }, "shape"],
    [{ ...tensor(), shape: [1, 1, 32, 32n] }, "shape"],
    [{ ...tensor(), shape: [1, 1, 32, Symbol("32")] }, "shape"],
    [{ ...tensor(), shape: [1, 1, 32, 2 ** 33] }, "shape"],
    [new Blob([]), "image"],
  ];
  for (const side of [2 ** 32 + 28, "28", -28, 0, Number.NaN, 0.5, Number.POSITIVE_INFINITY, 28n, Symbol("28"), null]) {
    wrong.push([{ ...pixels(), width: side }, "image.width"], [{ ...pixels(), height: side }, "image.height"]);
  }
  for (const [image, name] of wrong) {
    for (const call of [() => net.run(image as never), () => net.classify(image as never)]) {
      const error = await failure(call());
      expect([error.code, error.details.name], String(error.message)).toEqual(["argument", name]);
    }
  }
});

test("options that cannot be cloned, and others of a wrong type, are refused", async () => {
  const hello = () => {};
  const wrong: Promise<unknown>[] = [
    net.trainer({ seed: hello as never }),
    net.trainer({ optimizer: { kind: "sgd", learningRate: Symbol("rate") as never } }),
    net.trainer(null as never),
    net.classify(pixels(), { top: Symbol("1") as never }),
    net.activations(pixels(), [hello as never]),
    net.weights(["conv1.weight", Symbol("w") as never]),
    net.save({ quantize: hello as never }),
    net.to(Symbol("cpu") as never),
    net.selfTest({ onProgress: 1 as never }),
    net.transfer({ classes: ["a", hello as never] }),
    Network.create(hello as never),
    Network.create("lenet5", { seed: Symbol("1") as never }),
    Network.create("lenet5", { classes: Symbol("1") as never }),
    Network.create("lenet5", { tier: hello as never }),
    Network.create("lenet5", { tier: Symbol("t") as never }),
    Network.create("lenet5", { threads: hello as never }),
    Network.create("lenet5", { signal: {} as never }),
    Network.create("lenet5", { onProgress: {} as never }),
    Network.create("lenet5", { wasmUrl: 1 as never }),
    Network.load(path, { arch: hello as never }),
    Network.load(path, { integrity: Symbol("i") as never }),
    Network.load(path, { cache: hello as never }),
    Network.load(path, null as never),
  ];
  const codes = (await Promise.all(wrong.map(failure))).map(({ code }) => code);
  expect(codes).toEqual(wrong.map(() => "argument"));
});

test("sources that were used, or are gone, are refused", async () => {
  const used = new Response(new Uint8Array(8));
  await used.arrayBuffer();
  const locked = new Response(new Uint8Array(8));
  locked.body?.getReader();
  const gone = detached(new Uint8Array(8));
  for (const source of [used, locked, gone, gone.buffer, new Float32Array(8), Symbol("file"), null]) {
    expect((await failure(Network.load(source as never))).code).toBe("argument");
  }
});

test("training data of wrong types is refused", async () => {
  using fresh = await Network.create("lenet5", { seed: 1 });
  using trainer = await fresh.trainer();
  const parts: object[] = [
    { images: new Int16Array(8 * 784) },
    { images: detached(new Uint8Array(8 * 784)) },
    { labels: null },
    { labels: 8 },
    { labels: Array(8).fill(Symbol("label")) },
    { shape: "8" },
    { shape: [8, 1, 28, Symbol("28")] },
    { mean: 0.5 },
    { std: ["1"] },
  ];
  for (const part of parts) {
    const error = await failure(trainer.fit({ ...training(), ...part } as never, { epochs: 1 }).next());
    expect(["argument", "label"]).toContain(error.code);
  }
  for (const [data, options] of [
    [null, { epochs: 1 }],
    [training(), null],
    [training(), { epochs: Symbol("1") }],
    [training(), { epochs: 1, signal: 5 }],
    [training(), { epochs: 1, validation: 5 }],
  ]) {
    expect((await failure(trainer.fit(data as never, options as never).next())).code).toBe("argument");
  }
});
