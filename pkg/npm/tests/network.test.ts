// The whole package in Node, with the engine on the test's thread.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test, vi } from "vitest";
import {
  ConvokeError,
  capabilities,
  liveBytes,
  Network,
  type StepReport,
  type TrainerOptions,
  type TrainingData,
} from "../src/node.js";
import { failure, serve } from "./support.js";

const path = fileURLToPath(new URL("../../../models/lenet5-mnist.safetensors", import.meta.url));
const file = new Uint8Array(readFileSync(path));
const digit = JSON.parse(readFileSync(new URL("../../../tests/consumers/digit.json", import.meta.url), "utf8")) as {
  pixels: number[];
};
const seven = {
  data: new Uint8ClampedArray(digit.pixels.flatMap((v) => [v, v, v, 255])),
  width: 28,
  height: 28,
};
const gray = { data: new Float32Array(1024).fill(0.25), shape: [1, 1, 32, 32] };

/** Returns images of eight easy classes, told apart by the position of a bright square. */
function squares(count: number): TrainingData {
  const images = new Uint8Array(count * 784);
  const labels = Array.from({ length: count }, (_, i) => i % 8);
  labels.forEach((label, i) => {
    const [row, column] = [4 + 12 * (label >> 2), 1 + 7 * (label % 4)];
    for (let y = 0; y < 6; y++)
      images.fill(255 - i, i * 784 + (row + y) * 28 + column, i * 784 + (row + y) * 28 + column + 6);
  });
  return { images, labels, shape: [count, 1, 28, 28], mean: [0.1], std: [0.3] };
}

async function all(reports: AsyncIterable<StepReport>): Promise<StepReport[]> {
  const list = [];
  for await (const report of reports) list.push(report);
  return list;
}

test("every kind of source gives the same network", async () => {
  const url = await serve((_, response) => void response.end(file));
  const sources = [path, url, url.href, await fetch(url), new Blob([file]), file, file.buffer];
  for (const source of sources) {
    using net = await Network.load(source);
    const [best] = await net.classify(seven, { top: 1 });
    expect(best).toMatchObject({ label: "7", index: 7 });
    expect(best!.probability).toBeGreaterThan(0.9);
  }
});

test("what is known of a network", async () => {
  using net = await Network.load(path);
  expect([net.name, net.backend, net.threads]).toEqual(["lenet5", "cpu", 1]);
  expect(net.why).toContain(`tier ${net.tier}: `);
  expect(net.input).toEqual([1, 32, 32]);
  expect(net.parameters).toBe(61_706);
  expect(net.labels).toEqual([..."0123456789"]);
  expect(net.layers[0]).toEqual({ name: "conv1", kind: "conv2d", shape: [6, 28, 28], parameters: 156, macs: 117_600 });
  expect(net.layers.reduce((sum, l) => sum + l.macs, 0)).toBe(net.macs);
  expect(net.provenance.command).toContain("convoke train lenet5");
  expect(await Network.networks()).toContain("lenet5-1998");
});

test("the feature maps of layers", async () => {
  using net = await Network.load(path);
  const maps = await net.activations(gray, ["conv1", "act1", "fc3"]);
  expect(Object.entries(maps).map(([name, { shape }]) => [name, shape])).toEqual([
    ["conv1", [1, 6, 28, 28]],
    ["act1", [1, 6, 28, 28]],
    ["fc3", [1, 10]],
  ]);
  expect(maps.act1!.data).toEqual(maps.conv1!.data.map((v) => Math.max(v, 0)));
  expect(maps.conv1!.data.some((v) => v < 0)).toBe(true);
  expect(maps.fc3!.data).toEqual((await net.run(gray)).data);
  // Pixels are preprocessed into an input tensor.
  const logits = (await net.activations(seven, ["fc3"])).fc3!.data;
  expect(logits.indexOf(Math.max(...logits))).toBe(7);
  const error = await failure(net.activations(gray, ["conv9"]));
  expect([error.code, error.message]).toEqual(["argument", expect.stringContaining("`lenet5`")]);
});

test("the time of each step", async () => {
  using net = await Network.load(path);
  const times = await net.profile(seven);
  expect(times.map(({ name, kind, algorithm }) => [name, kind, algorithm])).toEqual([
    ["conv1", "conv2d", "direct"],
    ["pool1", "max_pool2d", undefined],
    ["conv2", "conv2d", "direct"],
    ["pool2", "max_pool2d", undefined],
    ["fc1", "linear", "direct"],
    ["fc2", "linear", "direct"],
    ["fc3", "linear", "direct"],
  ]);
  expect(times.every(({ milliseconds }) => milliseconds >= 0)).toBe(true);
});

test("the self-test compares every step with exact results", async () => {
  const seen: unknown[] = [];
  using small = await Network.load(path);
  const { backends, webgpu } = await small.selfTest({ onProgress: (p) => seen.push(p) });
  expect(webgpu).toBe("there is no navigator.gpu");
  expect(backends.map(({ backend, passed }) => [backend, passed])).toEqual([["cpu", true]]);
  // Every layer of LeNet-5 uses the direct algorithm, whose sums have the order of the exact ones.
  expect(backends[0]!.layers.map(({ name, error }) => [name, error])).toEqual(
    ["conv1", "pool1", "conv2", "pool2", "fc1", "fc2", "fc3"].map((name) => [name, 0]),
  );
  expect(seen).toEqual(Array.from({ length: 7 }, (_, i) => ({ backend: "cpu", done: i + 1, total: 7 })));

  using large = await Network.create("resnet20", { seed: 1 });
  const { layers, worst, passed } = (await large.selfTest()).backends[0]!;
  const winograd = layers.find(({ algorithm }) => algorithm === "winograd");
  expect(winograd!.error).toBeGreaterThan(0);
  expect(worst.error).toBe(Math.max(...layers.map(({ error }) => error)));
  expect([passed, worst.error < 1e-4]).toEqual([true, true]);
});

test("the phases of a load are reported", async () => {
  const url = await serve((_, response) => void response.writeHead(200, { "Content-Length": file.length }).end(file));
  const onProgress = vi.fn();
  using _net = await Network.load(url, { onProgress });
  expect(onProgress).toHaveBeenCalledWith({ phase: "network", loaded: file.length, total: file.length });
  expect(onProgress).toHaveBeenLastCalledWith({ phase: "plan", loaded: 1, total: 1 });
});

test("files and integrity", async () => {
  const integrity = `sha256-${createHash("sha256").update(file).digest("base64")}`;
  (await Network.load(file, { integrity })).dispose();
  expect((await failure(Network.load(file.slice(0, -1), { integrity }))).code).toBe("integrity");
  const flipped = file.slice();
  flipped[flipped.length - 1]! ^= 1;
  expect((await failure(Network.load(flipped))).code).toBe("integrity");
  expect((await failure(Network.load(file.slice(0, 5000)))).code).toBe("format");
  expect((await failure(Network.load(new TextEncoder().encode("<!doctype html><p>")))).code).toBe("html");
  expect((await failure(Network.load("no-such-file.safetensors"))).code).toBe("io");
  expect((await failure(Network.load(7 as never))).code).toBe("argument");
});

test("wrong inputs say what was expected", async () => {
  using net = await Network.create("lenet5", { seed: 3 });
  const failures: [unknown, string][] = [
    [net.run({ data: new Float32Array(5), shape: [1, 1, 32, 32] }), "shape"],
    [net.run({ data: new Float32Array(784), shape: [1, 1, 28, 28] }), "shape"],
    [net.run({ data: new Float32Array(1024).fill(Number.NaN), shape: [1, 1, 32, 32] }), "not-finite"],
    [net.run({ data: [1, 2] as never, shape: [2] }), "argument"],
    [net.run({ data: new Float32Array(1), shape: [0.5] }), "argument"],
    [net.classify(null as never), "argument"],
    [net.classify({ data: new Uint8Array(3), width: 28, height: 28 }), "shape"],
    [net.classify(seven, { top: 0 }), "argument"],
    [net.classify({ data: new Float32Array(2048), shape: [2, 1, 32, 32] }), "argument"],
    [net.save({ quantize: "int4" as never }), "argument"],
    [Network.create("lenet6"), "unknown-network"],
    [Network.create("lenet5", { classes: 0 }), "argument"],
    [Network.create("lenet5", { seed: -1 }), "argument"],
    [Network.create("lenet5", { tier: "threads" }), "unsupported"],
    [Network.create("lenet5", { tier: "fast" as never }), "argument"],
    [Network.create("lenet5", { backend: "webgpu" }), "backend"],
    [Network.create("lenet5", { backend: "tpu" as never }), "argument"],
  ];
  // All at once: a call may fail before the loop comes to it.
  const errors = await Promise.all(failures.map(([promise]) => failure(promise as Promise<unknown>)));
  for (const [i, error] of errors.entries()) {
    expect(`${error.code}: ${error.message}`).toMatch(new RegExp(`^${failures[i]![1]}: `));
  }
  const shape = await failure(net.run({ data: new Float32Array(784), shape: [1, 1, 28, 28] }));
  expect(shape.message).toContain("32x32");
  expect(shape.details.expected).toContain("32x32");
});

test("the same seed gives the same weights, saved and loaded", async () => {
  using a = await Network.create("lenet5", { seed: 3 });
  using b = await Network.create("lenet5", { seed: 3 });
  using other = await Network.create("lenet5", { seed: 4 });
  using loaded = await Network.load(await a.save());
  using plain = await Network.load(await a.save(), { arch: "lenet5" });
  using copy = await a.to("cpu");
  const logits = await a.run(gray);
  expect(logits.shape).toEqual([1, 10]);
  for (const net of [b, loaded, plain, copy]) expect((await net.run(gray)).data).toEqual(logits.data);
  expect((await other.run(gray)).data).not.toEqual(logits.data);
  expect((await a.save({ quantize: "int8" })).length).toBeLessThan(70 * 1024);
  expect((await failure(Network.load(await a.save(), { arch: "first-example" }))).code).toBe("weights");
});

test("weights of other tools, under their names", async () => {
  using net = await Network.create("resnet20", { seed: 3 });
  const bytes = await net.save();
  const start = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const { __metadata__: _, ...own } = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start)));
  // PyTorch's names for a network that was trained in parallel.
  const tensors = Object.fromEntries(Object.entries(own).map(([name, info]) => [`module.${name}`, info]));
  const data = bytes.subarray(start);
  tensors["module.bn1.num_batches_tracked"] = { dtype: "I64", shape: [], data_offsets: [data.length, data.length + 8] };
  const header = new TextEncoder().encode(JSON.stringify(tensors));
  const file = new Uint8Array(8 + header.length + data.length + 8);
  new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true);
  file.set(header, 8);
  file.set(data, 8 + header.length);
  using same = await Network.load(file, { arch: "resnet20" });
  const x = { data: new Float32Array(3 * 32 * 32).map((_, i) => Math.sin(i)), shape: [1, 3, 32, 32] };
  expect((await same.run(x)).data).toEqual((await net.run(x)).data);
  const error = await failure(Network.load(file, { arch: "resnet32" }));
  expect(error.code).toBe("weights");
  expect(error.message).toContain("layer1.3.conv1.weight");
});

test("weights by name, also those just learnt", async () => {
  using net = await Network.create("lenet5", { seed: 3, classes: 8 });
  const names = ["conv1.weight", "fc3.bias"];
  const before = await net.weights(names);
  expect(names.map((name) => before[name]!.shape)).toEqual([[6, 1, 5, 5], [8]]);
  using trainer = await net.trainer({ batchSize: 8, seed: 1 });
  await all(trainer.fit(squares(8), { epochs: 1 }));
  const after = await net.weights(names);
  for (const name of names) expect(after[name]!.data).not.toEqual(before[name]!.data);
  const error = await failure(net.weights(["conv9.weight"]));
  expect(error.code).toBe("argument");
  expect(error.message).toContain("conv9.weight");
});

test("an abort before and while loading", async () => {
  const control = new AbortController();
  control.abort();
  await expect(Network.load(path, { signal: control.signal })).rejects.toMatchObject({ name: "AbortError" });
  const url = await serve((_, response) => {
    response.writeHead(200, { "Content-Length": file.length });
    response.write(file.subarray(0, 1000));
  });
  const signal = AbortSignal.timeout(100);
  await expect(Network.load(url, { signal })).rejects.toMatchObject({ name: "TimeoutError" });
});

test("after dispose", async () => {
  const net = await Network.create("lenet5");
  const trainer = await net.trainer();
  const running = net.run(gray);
  net.dispose();
  net.dispose();
  await running; // A call that has begun is finished.
  for (const promise of [net.run(gray), net.save(), net.trainer(), net.to("cpu"), trainer.checkpoint()]) {
    expect((await failure(promise)).code).toBe("disposed");
  }
});

test("a hundred networks leave nothing behind", async () => {
  const cycle = async () => {
    using net = await Network.load(file);
    await net.classify(seven);
    using trainer = await net.trainer({ batchSize: 8, seed: 1 });
    await all(trainer.fit(squares(8), { epochs: 1 }));
  };
  await cycle();
  await new Promise((resolve) => setTimeout(resolve, 20));
  const before = await liveBytes();
  for (let i = 0; i < 100; i++) await cycle();
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(await liveBytes()).toBeLessThan(before + 10_000);
}, 60_000);

test("training: the loss falls, the reports add up, the same seed gives the same run", async () => {
  const run = async () => {
    using net = await Network.create("lenet5", { seed: 1, classes: 8 });
    using trainer = await net.trainer({
      optimizer: { kind: "sgd", learningRate: 0.02, momentum: 0.9 },
      batchSize: 16,
      seed: 1,
    });
    const reports = await all(trainer.fit(squares(64), { epochs: 12, validation: squares(16) }));
    const logits = await net.run(gray);
    return { reports, logits };
  };
  const { reports, logits } = await run();
  expect(reports.map((r) => r.step)).toEqual(Array.from({ length: 48 }, (_, i) => i + 1));
  expect(reports.at(-1)).toMatchObject({ epoch: 12, learningRate: 0.02, accuracy: 1 });
  expect(reports.at(-1)!.loss).toBeLessThan(reports[0]!.loss / 2);
  expect(reports.filter((r) => r.validation).map((r) => r.step)).toEqual(
    Array.from({ length: 12 }, (_, i) => 4 * i + 4),
  );
  expect(reports.at(-1)!.validation!.top1).toBe(1);
  const again = await run();
  expect(again.logits.data).toEqual(logits.data);
  expect(again.reports.map((r) => r.loss)).toEqual(reports.map((r) => r.loss));
});

test("the network answers with the present weights, and prepares images as its data was", async () => {
  using net = await Network.create("lenet5", { classes: 8, seed: 0 });
  using trainer = await net.trainer({ batchSize: 16, seed: 1 });
  expect(trainer.network).toBe(net);
  const data = squares(8);
  const image = (i: number) => ({
    data: new Uint8ClampedArray([...data.images.slice(i * 784, (i + 1) * 784)].flatMap((v) => [v, v, v, 255])),
    width: 28,
    height: 28,
  });
  await all(trainer.fit(squares(64), { epochs: 15 }));
  for (let i = 0; i < 8; i++) expect((await net.classify(image(i)))[0]!.index).toBe(i);
  using loaded = await Network.load(await net.save());
  for (let i = 0; i < 8; i++) expect((await loaded.classify(image(i)))[0]!.index).toBe(i);
});

test("learning rate and batch size change while running; pause holds", async () => {
  using net = await Network.create("lenet5", { classes: 8, seed: 0 });
  using trainer = await net.trainer({ optimizer: { kind: "sgd", learningRate: 0.05 }, batchSize: 8, seed: 1 });
  expect([trainer.learningRate, trainer.batchSize]).toEqual([0.05, 8].map((v) => expect.closeTo(v)));
  const reports: StepReport[] = [];
  let paused: Promise<void> | undefined;
  for await (const report of trainer.fit(squares(64), { epochs: 2 })) {
    reports.push(report);
    if (report.step === 2) {
      trainer.learningRate = 0.001;
      trainer.batchSize = 32;
    }
    if (report.step === 4) {
      trainer.pause();
      expect(trainer.paused).toBe(true);
      const seen = reports.length;
      paused = new Promise((resolve) =>
        setTimeout(() => {
          expect(reports.length).toBeLessThanOrEqual(seen + 1);
          trainer.resume();
          resolve();
        }, 100),
      );
    }
  }
  await paused;
  expect(reports[0]!.learningRate).toBeCloseTo(0.05);
  expect(reports.at(-1)!.learningRate).toBeCloseTo(0.001);
  expect(reports.length).toBeLessThan(16);
  expect(() => {
    trainer.batchSize = 0;
  }).toThrow(ConvokeError);
  expect(() => {
    trainer.learningRate = Number.NaN;
  }).toThrow(ConvokeError);
});

test("leaving the loop and aborting keep the weights, and training goes on", async () => {
  using net = await Network.create("lenet5", { classes: 8, seed: 0 });
  using trainer = await net.trainer({ batchSize: 8, seed: 1 });
  const data = squares(64);
  for await (const { step } of trainer.fit(data, { epochs: 3 })) if (step === 2) break;
  const control = new AbortController();
  const aborted = (async () => {
    for await (const { step } of trainer.fit(data, { epochs: 3, signal: control.signal }))
      if (step === 6) control.abort();
  })();
  await expect(aborted).rejects.toMatchObject({ name: "AbortError" });
  trainer.pause();
  const waiting = all(trainer.fit(data, { epochs: 1, signal: AbortSignal.timeout(50) }));
  await expect(waiting).rejects.toMatchObject({ name: "TimeoutError" });
  trainer.resume();
  const reports = await all(trainer.fit(data, { epochs: 1 }));
  expect(reports[0]!.step).toBeGreaterThan(6);
});

test("a checkpoint goes on bit for bit", async () => {
  const data = squares(64);
  const options = { optimizer: { kind: "adam", learningRate: 0.002 }, batchSize: 16, seed: 9 } as const;
  const rest = async (net: Network, o = {}) => {
    using trainer = await net.trainer(o);
    expect(trainer.learningRate).toBeCloseTo(0.002);
    return (await all(trainer.fit(data, { epochs: 3 }))).map((r) => [r.step, r.loss]);
  };
  using net = await Network.create("lenet5", { classes: 8, seed: 0 });
  expect(net.interrupted).toBeUndefined();
  using trainer = await net.trainer(options);
  await all(trainer.fit(data, { epochs: 2 }));
  using loaded = await Network.load(await trainer.checkpoint());
  expect((await loaded.run(gray)).data).toEqual((await net.run(gray)).data);
  const straight = (await all(trainer.fit(data, { epochs: 1 }))).map((r) => [r.step, r.loss]);
  expect(await rest(loaded)).toEqual(straight);
  expect(straight[0]![0]).toBe(9);
});

test("a checkpoint knows its run, and goes on with no other; what is refused leaves it as it was", async () => {
  const data = squares(64);
  const optimizer = { kind: "rmsprop", learningRate: 0.002, momentum: 0.5 } as const;
  const schedule = { kind: "cosine", floor: 0.1 } as const;
  using net = await Network.create("lenet5", { classes: 8, seed: 0 });
  using trainer = await net.trainer({ optimizer, schedule, batchSize: 16, seed: 9 });
  for await (const { step } of trainer.fit(data, { epochs: 2 })) if (step === 3) break;
  const checkpoint = await trainer.checkpoint();
  const straight = (await all(trainer.fit(data, { epochs: 1 }))).map(({ loss }) => loss).slice(0, 3);

  using loaded = await Network.load(checkpoint);
  const learningRate = expect.closeTo(0.002) as number;
  const known = { schedule, batchSize: 16, seed: 9, epochs: 2, warmup: 0, groups: [] };
  expect(loaded.interrupted).toMatchObject({ ...known, optimizer: { ...optimizer, learningRate, alpha: 0.99 } });

  const others: [TrainerOptions, string][] = [
    [{ optimizer: { kind: "adam" } }, "optimizer"],
    [{ optimizer: { ...optimizer, momentum: 0.6 } }, "optimizer"],
    [{ schedule: { kind: "constant" } }, "schedule"],
    [{ augment: { flip: true } }, "augment"],
    [{ seed: 10 }, "seed"],
    [{ clipNorm: 1 }, "clipNorm"],
  ];
  for (const [options, name] of others) {
    const error = await failure(loaded.trainer(options));
    expect([error.code, error.message]).toEqual(["argument", expect.stringMatching(`^${name}: .*interrupted run`)]);
  }
  using again = await loaded.trainer({ optimizer, schedule, seed: 9, batchSize: 32 });
  expect(again.batchSize).toBe(32);
  again.batchSize = 16;
  const other = await failure(all(again.fit(squares(56), { epochs: 2 })));
  expect([other.code, other.message]).toEqual(["format", expect.stringMatching("data set of the checkpoint.*64.*56")]);
  const reports = await all(again.fit(data, { epochs: 2 }));
  expect(reports[0]!.step).toBeGreaterThan(3);
  expect(reports.at(-1)).toMatchObject({ epoch: 2, step: 8 });
  expect(reports.slice(0, 3).map(({ loss }) => loss)).toEqual(straight);
});

test("data that cannot be learnt from", async () => {
  using net = await Network.create("lenet5", { classes: 8, seed: 0 });
  using trainer = await net.trainer();
  const good = squares(8);
  const bad: [Partial<TrainingData>, string][] = [
    [{ images: new Uint8Array(0), labels: [], shape: [0, 1, 28, 28] }, "empty-dataset"],
    [{ labels: [0, 1, 2, 3, 4, 5, 6, 8] }, "label"],
    [{ labels: [0, 1, 2, 3, 4, 5, 6, -1] }, "label"],
    [{ labels: [0, 1, 2, 3, 4, 5, 6, 0.5] }, "label"],
    [{ labels: [0] }, "argument"],
    [{ images: new Uint8Array(100) }, "shape"],
    [{ shape: [8, 1, 14, 56] }, "shape"],
    [{ images: new Float32Array(8 * 1024).fill(Number.NaN), shape: [8, 1, 32, 32], mean: [], std: [] }, "not-finite"],
    [{ images: new Float32Array(8 * 1024), shape: [8, 1, 32, 32] }, "argument"],
    [{ std: [0] }, "argument"],
    [{ images: "x" as never }, "argument"],
  ];
  for (const [part, code] of bad) {
    const error = await failure(all(trainer.fit({ ...good, ...part }, { epochs: 1 })));
    expect(`${error.code}: ${error.message}`).toMatch(new RegExp(`^${code}: `));
  }
  for (const options of [{ epochs: 0 }, { epochs: 1.5 }, { epochs: 1, checkpointEvery: 0 }]) {
    expect((await failure(all(trainer.fit(good, options)))).code).toBe("argument");
  }
  expect((await failure(net.trainer({ optimizer: { kind: "sgd", momentun: 0.9 } as never }))).message).toContain(
    "momentun",
  );
  expect((await failure(net.trainer({ backend: "webgpu" }))).code).toBe("backend");
  await all(trainer.fit(good, { epochs: 1 }));
});

test("a run that leaves the finite numbers stops with the weights of the step before", async () => {
  using net = await Network.create("lenet5", { classes: 8, seed: 0 });
  using trainer = await net.trainer({ optimizer: { kind: "sgd", learningRate: 1e20 }, batchSize: 8 });
  const error = await failure(all(trainer.fit(squares(64), { epochs: 50 })));
  expect(error.code).toBe("diverged");
  // `load` refuses weights that are not finite.
  (await Network.load(await net.save())).dispose();
});

test("capabilities", async () => {
  const can = await capabilities();
  expect(can).toMatchObject({ threads: 1, worker: false, crossOriginIsolated: false });
  expect(can.webgpu).toBe("there is no navigator.gpu");
  expect(can.why.length).toBeGreaterThan(5);
});

test("a network that does not fit the memory is refused before it takes any, with the numbers", async () => {
  const before = await liveBytes();
  const error = await failure(Network.create("vgg16", { classes: 200_000 }));
  expect(error.code).toBe("too-large");
  expect(error.message).toMatch(
    /bytes of memory for `vgg16` \(weights \d+, transformed \d+, .*: \d+ exceeds the limit of \d+/,
  );
  expect(await liveBytes()).toBeLessThan(before + 10_000);
});

test("weights are held once, and come back as they were", async () => {
  const before = await liveBytes();
  using net = await Network.create("alexnet-torchvision", { seed: 3 });
  const held = (await liveBytes()) - before;
  // Four convolutions also keep transformed kernels: 0.15.
  expect(held / (4 * net.parameters)).toBeLessThan(1.18);
  using copy = await Network.load(await net.save());
  const input = { data: new Float32Array(3 * 224 * 224).fill(0.1), shape: [1, 3, 224, 224] };
  expect((await copy.run(input)).data).toEqual((await net.run(input)).data);
});

test("a patient run ends when it gets no better, with the weights that were best", async () => {
  using net = await Network.create("lenet5", { classes: 8, seed: 1 });
  const validation = squares(24);
  using trainer = await net.trainer({
    batchSize: 16,
    seed: 1,
    optimizer: { kind: "sgd", learningRate: 0.02, momentum: 0.9 },
  });
  const losses: number[] = [];
  const run = async (patience: number, rate: number) => {
    trainer.learningRate = rate;
    for await (const report of trainer.fit(squares(64), { epochs: 40, validation, patience })) {
      if (report.validation) losses.push(report.validation.loss);
      // From the third epoch on every step makes the network worse.
      if (losses.length === 3) trainer.learningRate = 0.07;
    }
  };
  await run(2, 0.02);
  const best = losses.indexOf(Math.min(...losses));
  expect(losses.length).toBe(best + 3);
  // The remaining weights are no worse than the best epoch's: one step of rate 0 reports their loss.
  trainer.learningRate = 0;
  const again: number[] = [];
  for await (const report of trainer.fit(squares(64), { epochs: 1, validation })) {
    if (report.validation) again.push(report.validation.loss);
  }
  expect(again[0]).toBeCloseTo(losses[best]!, 5);
  expect((await failure(trainer.fit(squares(64), { epochs: 1, patience: 1 }).next())).message).toBe(
    "validation: expected validation data, which patience needs, got none",
  );
});

test("accumulated batches are one step, and a step says what memory it takes", async () => {
  const run = async (batchSize: number, accumulate: number) => {
    using net = await Network.create("lenet5", { classes: 8, seed: 1 });
    using trainer = await net.trainer({
      batchSize,
      accumulate,
      seed: 1,
      optimizer: { kind: "sgd", learningRate: 0.01 },
    });
    const reports: StepReport[] = [];
    for await (const report of trainer.fit(squares(64), { epochs: 2 })) reports.push(report);
    return { reports, memory: trainer.memory };
  };
  const [whole, parts] = [await run(32, 1), await run(8, 4)];
  expect(parts.reports.length).toBe(4);
  parts.reports.forEach(({ loss }, i) => {
    expect(loss).toBeCloseTo(whole.reports[i]!.loss, 4);
  });
  expect(4 * parts.memory.activations).toBe(whole.memory.activations);
  expect(parts.memory.gradients).toBe(2 * whole.memory.gradients);

  using large = await Network.create("vgg9", { classes: 8, seed: 0 });
  using trainer = await large.trainer({ batchSize: 65536, seed: 1 });
  const images = {
    images: new Uint8Array(8192 * 784),
    labels: new Uint8Array(8192),
    shape: [8192, 1, 28, 28],
  } as const;
  const error = await failure(trainer.fit(images, { epochs: 1 }).next());
  expect(error.code).toBe("too-large");
  expect(error.message).toMatch(/a training step.*weights \d+, gradients \d+, optimizer \d+, activations \d+/);
});

test("classes have names when they are given", async () => {
  using net = await Network.create("lenet5", { classes: ["cat", "dog"], seed: 1 });
  expect(net.labels).toEqual(["cat", "dog"]);
  using saved = await Network.load(await net.save());
  expect(["cat", "dog"]).toContain((await saved.classify(gray))[0]!.label);
  for (const classes of [["cat", "cat"], ["cat", ""], ["cat"]]) {
    expect((await failure(Network.create("lenet5", { classes }))).code).toBe("argument");
  }
});
