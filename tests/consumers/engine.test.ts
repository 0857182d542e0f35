// The package in Chromium, called directly: failures of workers, threads and the GPU, and the release of memory.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page, Worker } from "playwright-core";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { launch, serve } from "../support/browser.js";
import { addFiles, isolation, pack, policy, project, remove } from "./projects.js";

/** The properties of an error, as plain data; `checkpoint` is its length in bytes. */
interface Told {
  typed: boolean;
  name: string;
  code: string;
  message: string;
  details: Record<string, unknown>;
  checkpoint: number;
}

declare global {
  // Globals of main.js, for the functions that the page evaluates.
  var convoke: typeof import("../../pkg/npm/dist/index.js");
  /** Returns the error that a promise rejects with. */
  var failure: (promise: Promise<unknown>) => Promise<Told>;
  /** Returns images of eight classes, told apart by the position of a bright square. */
  var squares: (count: number) => import("../../pkg/npm/dist/index.js").TrainingData;
  var gray: () => import("../../pkg/npm/dist/index.js").TensorData;
  /** The bytes of all buffers of the worker's GPU that were not destroyed. */
  var onDevice: number;
  var device: GpuDevice;
}
interface GpuDevice {
  destroy(): void;
  createBuffer(o: { size: number }): { size: number; destroy(): void };
}

const main = `
import * as convoke from "./node_modules/convoke/dist/index.js";
globalThis.convoke = convoke;
globalThis.failure = (promise) => promise.then(
  () => { throw new Error("it should have failed"); },
  (error) => ({
    typed: error instanceof convoke.ConvokeError, name: error.name, code: error.code, message: error.message,
    details: error.details, checkpoint: error.checkpoint?.length ?? 0,
  }),
);
globalThis.squares = (count) => {
  const images = new Uint8Array(count * 784);
  const labels = Array.from({ length: count }, (_, i) => i % 8);
  labels.forEach((label, i) => {
    const [row, column] = [4 + 12 * (label >> 2), 1 + 7 * (label % 4)];
    for (let y = row; y < row + 6; y++) images.fill(255 - i, i * 784 + y * 28 + column, i * 784 + y * 28 + column + 6);
  });
  return { images, labels, shape: [count, 1, 28, 28] };
};
globalThis.gray = () => ({ data: new Float32Array(1024).fill(0.25), shape: [1, 1, 32, 32] });
document.getElementById("out").textContent = "ready";
`;

let base: string;
let browser: Browser;
beforeAll(async () => {
  base = pack();
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
  remove(base);
});

let projects = 0;

/** Opens a new page under the strict policy. `change` may edit the installed package first. */
async function open(headers: Record<string, string> = isolation, on = browser, change?: (folder: string) => void) {
  const folder = addFiles(project(base, `engine${++projects}`, main));
  change?.(folder);
  const server = await serve(folder, { ...headers, ...policy });
  const context = await on.newContext();
  onTestFinished(async () => {
    await context.close();
    await server.close();
  });
  const page = await context.newPage();
  await page.goto(server.url);
  await page.waitForFunction(() => document.getElementById("out")?.textContent === "ready");
  return page;
}

/** Returns the engine's worker, which the first call starts. */
async function engine(page: Page): Promise<Worker> {
  await page.evaluate(() => convoke.capabilities());
  const worker = page.workers().find((w) => w.url().endsWith("/worker.js"));
  if (!worker) throw new Error("the engine has no worker");
  return worker;
}

/** Remembers the worker's GPU device and counts the bytes of its buffers. */
async function watchDevice(page: Page): Promise<Worker> {
  const worker = await engine(page);
  await worker.evaluate(() => {
    const scope = globalThis as unknown as {
      GPUAdapter: { prototype: { requestDevice(o: unknown): Promise<GpuDevice> } };
      GPUDevice: { prototype: GpuDevice };
      GPUBuffer: { prototype: { size: number; destroy(): void } };
    };
    globalThis.onDevice = 0;
    const { requestDevice } = scope.GPUAdapter.prototype;
    scope.GPUAdapter.prototype.requestDevice = async function (o) {
      globalThis.device = await requestDevice.call(this, o);
      return globalThis.device;
    };
    const { createBuffer } = scope.GPUDevice.prototype;
    scope.GPUDevice.prototype.createBuffer = function (o) {
      globalThis.onDevice += o.size;
      return createBuffer.call(this, o);
    };
    const { destroy } = scope.GPUBuffer.prototype;
    scope.GPUBuffer.prototype.destroy = function () {
      globalThis.onDevice -= this.size;
      destroy.call(this);
    };
  });
  return worker;
}

/** Ends a worker by an uncaught error. */
async function crash(worker: Worker): Promise<void> {
  const gone = new Promise((resolve) => worker.once("close", resolve));
  const thrown = worker.evaluate(() => {
    setTimeout(() => {
      throw new Error("a crash, as a test");
    });
  });
  await thrown.catch(() => {}); // It may be gone before it answers.
  await gone;
}

test("an image is the same image from wherever it comes", async () => {
  const page = await open();
  const answers = await page.evaluate(async () => {
    const net = await convoke.Network.load("./models/lenet5-mnist.safetensors", { backend: "cpu" });
    const { pixels } = await (await fetch("./digit.json")).json();
    const image = new ImageData(new Uint8ClampedArray(pixels.flatMap((v: number) => [v, v, v, 255])), 28, 28);
    const canvas = document.createElement("canvas");
    const offscreen = new OffscreenCanvas(28, 28);
    for (const surface of [canvas, offscreen]) {
      Object.assign(surface, { width: 28, height: 28 });
      const context = surface.getContext("2d") as CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D;
      context.putImageData(image, 0, 0);
    }
    const blob = await offscreen.convertToBlob();
    const frame = new VideoFrame(canvas, { timestamp: 0, alpha: "discard" });
    const sources = { image, canvas, offscreen, blob, frame, bitmap: await createImageBitmap(image) };
    return Promise.all(
      Object.entries(sources).map(async ([name, source]) => [name, await net.classify(source)] as const),
    );
  });
  const [, want] = answers[0]!;
  expect(want[0]!.label).toBe("7");
  for (const [name, got] of answers)
    for (const { label, probability } of got)
      expect([name, label, probability]).toEqual([
        name,
        label,
        expect.closeTo(want.find((w) => w.label === label)!.probability, 3),
      ]);
});

test("a worker that crashes fails what waits, says why, and the next load starts another", async () => {
  const page = await open();
  const worker = await engine(page);
  const told = page.evaluate(async () => {
    const net = await convoke.Network.load("./models/lenet5-mnist.safetensors", { backend: "cpu" });
    const trainer = await net.trainer({ batchSize: 16 });
    const pending = failure(
      (async () => {
        for await (const { step } of trainer.fit(squares(64), { epochs: 100_000 }))
          if (step === 5) document.title = "5";
      })(),
    );
    return [await pending, await failure(net.run(gray())), await failure(trainer.checkpoint())];
  });
  await page.waitForFunction(() => document.title === "5");
  await crash(worker);
  const [training, running, keeping] = await told;
  for (const error of [training, running, keeping]) {
    expect(error).toMatchObject({ typed: true, code: "worker-crashed" });
    expect(error!.message).toContain("a crash, as a test");
    expect(error!.details.reason).toContain("a crash, as a test");
  }
  expect(training!.checkpoint).toBeGreaterThan(200_000);
  const label = await page.evaluate(async () => {
    const net = await convoke.Network.load("./models/lenet5-mnist.safetensors");
    const { pixels } = await (await fetch("./digit.json")).json();
    const data = new Uint8ClampedArray(pixels.flatMap((v: number) => [v, v, v, 255]));
    return (await net.classify({ data, width: 28, height: 28 }))[0]!.label;
  });
  expect(label).toBe("7");
});

test("training goes on from the checkpoint of a crashed run, bit for bit", async () => {
  const page = await open();
  const worker = await engine(page);
  const continued = page.evaluate(async () => {
    const options = { batchSize: 16, seed: 3, optimizer: { kind: "adam", learningRate: 0.002 } } as const;
    const losses: number[] = [];
    const create = () => convoke.Network.create("lenet5", { seed: 3, classes: 8, threads: 1 });
    const trainer = await (await create()).trainer(options);
    const crashed = async () => {
      for await (const { step, loss } of trainer.fit(squares(64), { epochs: 3, checkpointEvery: 4 })) {
        losses[step] = loss;
        if (step !== 6) continue;
        document.title = "crash";
        while (document.title === "crash") await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };
    const error = await crashed().catch((e: InstanceType<typeof convoke.ConvokeError>) => e);
    const again = await (await convoke.Network.load(error!.checkpoint!, { threads: 1 })).trainer();
    const steps: number[] = [];
    for await (const { step, loss } of again.fit(squares(64), { epochs: 2 })) {
      steps.push(step);
      losses[step] = loss;
    }
    const wanted: number[] = [];
    const straight = await (await create()).trainer(options);
    for await (const { step, loss } of straight.fit(squares(64), { epochs: 2 })) wanted[step] = loss;
    return { steps, losses, wanted };
  });
  await page.waitForFunction(() => document.title === "crash");
  await crash(worker);
  await page.evaluate(() => {
    document.title = "crashed";
  });
  const { steps, losses, wanted } = await continued;
  // Step 5 was running when the checkpoint after step 4 was requested.
  expect(steps).toEqual([6, 7, 8]);
  expect(losses).toEqual(wanted);
});

test("a paused run hears of a crash", async () => {
  const page = await open();
  const worker = await engine(page);
  const told = page.evaluate(async () => {
    const trainer = await (await convoke.Network.create("lenet5", { seed: 3, classes: 8 })).trainer({ batchSize: 16 });
    return failure(
      (async () => {
        for await (const { step } of trainer.fit(squares(64), { epochs: 100 })) {
          trainer.pause();
          document.title = `paused ${step}`;
        }
      })(),
    );
  });
  await page.waitForFunction(() => document.title.startsWith("paused"));
  await crash(worker);
  const error = await told;
  expect(error).toMatchObject({ typed: true, code: "worker-crashed" });
  expect(error!.checkpoint).toBeGreaterThan(200_000);
});

test("activations are computed again where memory is dear, on both backends", async () => {
  const page = await open();
  for (const backend of ["cpu", "webgpu"] as const) {
    const [kept, again] = await page.evaluate(async (backend) => {
      const run = async (options: { recompute?: boolean }) => {
        const net = await convoke.Network.create("resnet20", { seed: 3, classes: 8, backend });
        const trainer = await net.trainer({ batchSize: 4, seed: 1, ...options });
        const { shape, labels } = squares(8);
        const images = new Uint8Array(8 * 3 * 32 * 32).map((_, i) => (i * 37) % 251);
        const losses: number[] = [];
        const data = { images, labels, shape: [8, 3, 32, 32] as typeof shape };
        for await (const { loss } of trainer.fit(data, { epochs: 2 })) losses.push(loss);
        trainer.dispose();
        net.dispose();
        return { losses, memory: trainer.memory };
      };
      return [await run({}), await run({ recompute: true })];
    }, backend);
    expect(again!.losses).toEqual(kept!.losses);
    expect([kept!.memory.recompute, again!.memory.recompute]).toEqual([false, true]);
    expect(again!.memory.activations).toBeLessThan(kept!.memory.activations / 2);
  }
});

/** Returns a module without its element section, in which every call through the function table traps. */
function withoutTable(module: Buffer): Buffer {
  const parts = [module.subarray(0, 8)];
  for (let at = 8; at < module.length; ) {
    let [end, size] = [at + 1, 0];
    for (let shift = 0; ; shift += 7) {
      const byte = module[end++]!;
      size |= (byte & 127) << shift;
      if (byte < 128) break;
    }
    if (module[at] !== 9) parts.push(module.subarray(at, end + size));
    at = end + size;
  }
  return Buffer.concat(parts);
}

test("a thread that traps in the middle of a run is heard, though the engine waits for it", async () => {
  const page = await open(isolation, browser, (folder) => {
    const dist = join(folder, "node_modules/convoke/dist");
    const wasm = join(dist, "../wasm/threads/convoke_bg.wasm");
    writeFileSync(join(dist, "trap.wasm"), withoutTable(readFileSync(wasm)));
    const thread = readFileSync(join(dist, "thread.js"), "utf8");
    const module = /module:\w+\.module/; // the package is minified
    const broken = 'module:await WebAssembly.compileStreaming(fetch(new URL("./trap.wasm",import.meta.url)))';
    expect(thread).toMatch(module);
    writeFileSync(join(dist, "thread.js"), thread.replace(module, broken));
  });
  const { error, tier } = await page.evaluate(async () => {
    const net = await convoke.Network.create("lenet5", { backend: "cpu", threads: 2 }).catch((e) => e);
    if (net instanceof Error) return { tier: "threads", error: await failure(Promise.reject(net)) };
    const trainer = await net.trainer({ batchSize: 64 });
    const train = async () => {
      for await (const _ of trainer.fit(squares(64), { epochs: 1000 }));
    };
    return { tier: net.tier, error: await failure(train()) };
  });
  expect(tier).toBe("threads");
  expect(error).toMatchObject({ typed: true, code: "worker-crashed" });
  expect(error.message).toContain("a thread stopped: RuntimeError");
});

test("ONNX out and in, in the worker, and nothing of it stays", async () => {
  const page = await open();
  const { early, late, wanted, got, again } = await page.evaluate(async () => {
    const net = await convoke.Network.load("./models/lenet5-mnist.safetensors", { backend: "cpu" });
    const early = await convoke.liveBytes();
    const onnx = await net.toOnnx();
    const back = await convoke.Network.load(new Blob([onnx.slice()]), { backend: "cpu" });
    const [wanted, got] = [await net.run(gray()), await back.run(gray())].map((y) => Array.from(y.data));
    const again = await failure(convoke.Network.load(onnx.slice(0, 1000)));
    back.dispose();
    return { early, late: await convoke.liveBytes(), wanted, got, again };
  });
  expect(got).toEqual(wanted);
  expect(late).toBeLessThan(early + 65536);
  expect(again).toMatchObject({ typed: true, code: "format" });
  expect(again.details).toMatchObject({ expected: "a protobuf message" });
});

test("calls that were made before dispose are answered", async () => {
  const page = await open();
  const shapes = await page.evaluate(async () => {
    const net = await convoke.Network.create("lenet5", { seed: 1 });
    const calls = Array.from({ length: 20 }, () => net.run(gray()));
    const saved = net.save();
    net.dispose();
    const late = await failure(net.run(gray()));
    return { shapes: (await Promise.all(calls)).map((y) => y.shape), bytes: (await saved).length, late };
  });
  expect(shapes.shapes).toEqual(Array.from({ length: 20 }, () => [1, 10]));
  expect(shapes.bytes).toBeGreaterThan(240_000);
  expect(shapes.late).toMatchObject({ typed: true, code: "disposed" });
});

test("memory on the GPU is counted, and given back by dispose", async () => {
  const page = await open();
  const worker = await watchDevice(page);
  const onDevice = () => worker.evaluate(() => globalThis.onDevice);
  const live = () => page.evaluate(() => convoke.liveBytes());
  // The first network also allocates the memory that all networks share.
  await page.evaluate(async () => {
    const net = await convoke.Network.create("lenet5", { backend: "webgpu" });
    await net.run(gray());
    net.dispose();
  });
  const [live0, device0] = [await live(), await onDevice()];
  const net = await page.evaluateHandle(async () => {
    const net = await convoke.Network.create("lenet5", { backend: "webgpu" });
    await net.run(gray());
    return net;
  });
  const [live1, device1] = [await live(), await onDevice()];
  const weights = 61_706 * 4;
  expect(device1 - device0).toBeGreaterThan(weights);
  // The weights are on the heap too.
  expect(live1 - live0).toBeGreaterThan(weights + device1 - device0 - 64_000);
  // Pipelines stay with the device; weights, gradients and moments do not.
  const trainer = await net.evaluateHandle(async (net) => {
    const trainer = await net.trainer({ batchSize: 8, backend: "webgpu", optimizer: { kind: "adam" } });
    for await (const _ of trainer.fit(squares(16), { epochs: 1 }));
    return trainer;
  });
  const [live2, device2] = [await live(), await onDevice()];
  expect(device2 - device1).toBeGreaterThan(4 * weights); // weights, gradients, two moments
  expect(live2 - live1).toBeGreaterThan(4 * weights);
  await trainer.evaluate((trainer) => trainer.dispose());
  await net.evaluate((net) => net.run(gray()));
  expect((await live()) - live1).toBeLessThan(weights / 4);
  expect((await onDevice()) - device1).toBeLessThan(weights / 4);
  await net.evaluate((net) => net.dispose());
  expect((await live()) - live0).toBeLessThan(weights / 4);
  expect((await onDevice()) - device0).toBeLessThan(weights / 4);
});

test("a network asks anew for a GPU that was lost", async () => {
  const page = await open();
  const worker = await watchDevice(page);
  const net = await page.evaluateHandle(() => convoke.Network.create("lenet5", { backend: "webgpu", classes: 8 }));
  const run = () => net.evaluate(async (net) => Array.from((await net.run(gray())).data));
  const before = await run();
  await worker.evaluate(() => globalThis.device.destroy());
  expect(await run()).toEqual(before);
});

/** Launches a second browser: a browser whose GPU process has died stays unreliable. */
const crashGpu = async (_: Worker, own: Browser) => (await own.newBrowserCDPSession()).send("Browser.crashGpuProcess");
for (const [how, lose] of [
  ["is destroyed", (worker: Worker) => worker.evaluate(() => globalThis.device.destroy())],
  ["goes with its process", crashGpu],
] as const) {
  test(`a GPU that ${how} in training, and again: the error has a checkpoint, and the network its weights`, async () => {
    const own = await launch();
    onTestFinished(() => own.close());
    const page = await open(isolation, own);
    const worker = await watchDevice(page);
    const told = page.evaluate(async () => {
      const net = await convoke.Network.create("lenet5", { backend: "webgpu", classes: 8, seed: 1 });
      const trainer = await net.trainer({ batchSize: 8 });
      const before = Array.from((await net.run(gray())).data);
      const lost = async () => {
        // The GPU is lost long before the next checkpoint.
        for await (const { step, resumed } of trainer.fit(squares(32), { epochs: 100_000, checkpointEvery: 100 })) {
          if (step === 101 && !resumed) document.title = "lose";
          if (resumed) document.title = "lose again";
        }
      };
      const error = await lost().catch((e: InstanceType<typeof convoke.ConvokeError>) => e);
      // Loading an undefined checkpoint would hide the cause of the failure.
      if (!error?.checkpoint) throw error;
      const kept = await convoke.Network.load(error.checkpoint, { backend: "cpu" });
      const [own, same] = [await net.run(gray()), await kept.run(gray())];
      const saved = (await net.save()).length;
      const second = await net.trainer({ batchSize: 8 });
      const losses: number[] = [];
      for await (const { loss } of second.fit(squares(32), { epochs: 1 })) losses.push(loss);
      const late = await failure(trainer.checkpoint());
      const difference = Math.max(...own.data.map((v, i) => Math.abs(v - same.data[i]!)));
      const trained = Math.max(...own.data.map((v, i) => Math.abs(v - before[i]!)));
      return { error: await failure(Promise.reject(error)), difference, trained, saved, losses, late: late.code };
    });
    await page.waitForFunction(() => document.title === "lose");
    await lose(worker, own);
    await page.waitForFunction(() => document.title === "lose again");
    await worker.evaluate(() => globalThis.device.destroy());
    const { error, difference, trained, saved, losses, late } = await told;
    expect(error).toMatchObject({ typed: true, code: "device-lost", details: { reason: expect.any(String) } });
    expect(error.message).toContain("the GPU device was lost");
    expect(error.checkpoint).toBeGreaterThan(200_000);
    expect(difference).toBeLessThan(1e-4);
    expect(trained).toBeGreaterThan(1e-3);
    expect(saved).toBeGreaterThan(200_000);
    expect(losses.length).toBe(4);
    expect(losses.every(Number.isFinite)).toBe(true);
    expect(late).toBe("device-lost");
  });
}

test("a run goes on by itself when the GPU is lost, says so, and comes to the same end", async () => {
  const page = await open();
  const worker = await watchDevice(page);
  const told = page.evaluate(async () => {
    const run = async (lose: boolean) => {
      const net = await convoke.Network.create("lenet5", { backend: "webgpu", classes: 8, seed: 1 });
      const trainer = await net.trainer({ batchSize: 8, seed: 2 });
      const losses: number[] = [];
      const resumed: { at: number; from: number; reason: string }[] = [];
      for await (const report of trainer.fit(squares(32), { epochs: 10, checkpointEvery: 10 })) {
        losses[report.step] = report.loss;
        if (report.resumed) resumed.push({ at: report.step, ...report.resumed });
        if (!lose || report.step !== 15 || resumed.length > 0) continue;
        document.title = "lose";
        while (document.title === "lose") await new Promise((resolve) => setTimeout(resolve, 10));
      }
      return { losses, resumed };
    };
    return { lost: await run(true), straight: await run(false) };
  });
  await page.waitForFunction(() => document.title === "lose");
  await worker.evaluate(() => globalThis.device.destroy());
  await page.evaluate(() => {
    document.title = "lost";
  });
  const { lost, straight } = await told;
  // Step 11 was running when the checkpoint after step 10 was requested.
  expect(lost.resumed).toEqual([{ at: 12, from: 11, reason: expect.stringContaining("the GPU device was lost") }]);
  expect(lost.losses.length).toBe(41);
  expect(lost.losses).toEqual(straight.losses);
  expect(straight.resumed).toEqual([]);
});

test("a network on the GPU that is trained on the CPU keeps what it learnt when the GPU is lost", async () => {
  const page = await open();
  const worker = await watchDevice(page);
  const net = await page.evaluateHandle(() => convoke.Network.create("lenet5", { backend: "webgpu", classes: 8 }));
  await net.evaluate(async (net) => {
    const trainer = await net.trainer({ batchSize: 8, backend: "cpu" });
    for await (const _ of trainer.fit(squares(32), { epochs: 1 }));
    await net.run(gray());
    for await (const { step } of trainer.fit(squares(32), { epochs: 1 })) if (step === 6) break;
  });
  await worker.evaluate(() => globalThis.device.destroy());
  const agree = await net.evaluate(async (net) => {
    const here = Array.from((await net.run(gray())).data);
    const there = Array.from(
      (await (await convoke.Network.load(await net.save(), { backend: "cpu" })).run(gray())).data,
    );
    return Math.max(...here.map((v, i) => Math.abs(v - there[i]!)));
  });
  expect(agree).toBeLessThan(1e-4);
});

/** Returns a model of about 700 million multiply-accumulates, enough work for a GPU. */
function heavy(): Buffer {
  const window = (kernel: number, padding: number) => {
    const common = { ceil_mode: false, dilation: [1, 1], stride: [1, 1] };
    return { ...common, kernel: [kernel, kernel], padding: [padding, padding, padding, padding] };
  };
  const conv = (kernel: number, padding: number) =>
    ({ kind: "conv2d", bias: false, groups: 1, out_channels: 32, window: window(kernel, padding) }) as const;
  const nodes = [
    { name: "wide", inputs: ["input"], layer: conv(7, 3) },
    { name: "deep", inputs: ["wide"], layer: conv(3, 0) },
    { name: "flatten", inputs: ["deep"], layer: { kind: "flatten" } },
  ];
  const graph = {
    version: 1,
    name: "heavy",
    input: [3, 224, 224],
    nodes,
    outputs: [{ value: "flatten", loss_weight: 1 }],
  };
  const weights = new Float32Array(32 * 32 * 9 + 32 * 3 * 49).fill(0.01);
  const data = Buffer.from(weights.buffer);
  const sha256 = createHash("sha256").update(data).digest("hex");
  const deep = 32 * 32 * 9 * 4;
  const header = JSON.stringify({
    __metadata__: { convoke: "1", graph: JSON.stringify(graph), sha256 },
    "deep.weight": { dtype: "F32", shape: [32, 32, 3, 3], data_offsets: [0, deep] },
    "wide.weight": { dtype: "F32", shape: [32, 3, 7, 7], data_offsets: [deep, data.length] },
  });
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(header)));
  return Buffer.concat([length, Buffer.from(header), data]);
}

const addHeavy = (folder: string) => writeFileSync(join(folder, "models/heavy.safetensors"), heavy());
const auto = (page: Page, file: string) =>
  page.evaluate(async (file) => {
    const net = await convoke.Network.load(`./models/${file}.safetensors`, { backend: "auto", threads: 1 });
    return { why: net.why, backend: net.backend };
  }, file);

test("`auto` takes what it measured to be faster, and says both figures", async () => {
  const page = await open(isolation, browser, addHeavy);
  const small = await auto(page, "lenet5-mnist");
  expect(small.backend).toBe("cpu");
  expect(small.why).toMatch(/^cpu: a run takes [\d.]+ ms, too short to gain from a GPU; tier relaxed: /);
  const { why, backend } = await auto(page, "heavy");
  const [, cpu, gpu] = /a run takes ([\d.]+) ms on the CPU and ([\d.]+) ms on WebGPU/.exec(why) ?? [];
  expect(Number(cpu)).toBeGreaterThan(0);
  expect(backend).toBe(Number(gpu) < Number(cpu) ? "webgpu" : "cpu");
  expect(why.startsWith(`${backend}: `)).toBe(true);
});

test("`auto` stays on the CPU where WebGPU fails, and says how", async () => {
  const page = await open(isolation, browser, addHeavy);
  const worker = await engine(page);
  await worker.evaluate(() => {
    const { prototype } = (globalThis as unknown as { GPUAdapter: { prototype: object } }).GPUAdapter;
    Object.assign(prototype, { requestDevice: () => Promise.reject(new Error("no device today")) });
  });
  const { why, backend } = await auto(page, "heavy");
  expect(backend).toBe("cpu");
  expect(why).toMatch(/^cpu: WebGPU failed \(.*no device today.*\); tier relaxed: /);
});

test("where there is no WebGPU, `auto` says so and `webgpu` is refused", async () => {
  const plain = await launch({ webgpu: false });
  onTestFinished(() => plain.close());
  const page = await open(isolation, plain, addHeavy);
  const { why, backend } = await auto(page, "heavy");
  expect(backend).toBe("cpu");
  expect(why).toMatch(/^cpu: no WebGPU \(.+\); tier relaxed: /);
  const model = "./models/lenet5-mnist.safetensors";
  const error = await page.evaluate((model) => failure(convoke.Network.load(model, { backend: "webgpu" })), model);
  expect(error).toMatchObject({ typed: true, name: "ConvokeError", code: "backend", details: { backend: "webgpu" } });
  expect(error.message).toMatch(/^backend `webgpu` is not available: .+/);
  const moved = await page.evaluate(async (model) => failure((await convoke.Network.load(model)).to("webgpu")), model);
  expect(moved.code).toBe("backend");
});

for (const backend of ["cpu", "webgpu"] as const) {
  test(`bad input on ${backend} says what was expected and what came, and loses no training`, async () => {
    const page = await open();
    const { errors, logits, steps, weights } = await page.evaluate(async (backend) => {
      const net = await convoke.Network.create("lenet5", { backend, classes: 8 });
      const trainer = await net.trainer({ batchSize: 8 });
      const all = async (data: ReturnType<typeof squares>, steps: number[] = []) => {
        for await (const { step } of trainer.fit(data, { epochs: 1 })) steps.push(step);
        return steps;
      };
      const steps = await all(squares(16));
      const weights = (await net.save()).length;
      const before = Array.from((await net.run(gray())).data);
      const nan = new Float32Array(8 * 1024).fill(Number.NaN);
      const good = squares(8);
      const errors = {
        shape: await failure(net.run({ data: new Float32Array(784), shape: [1, 1, 28, 28] })),
        nan: await failure(net.run({ data: nan.slice(0, 1024), shape: [1, 1, 32, 32] })),
        nanDigit: await failure(net.classify({ data: nan.slice(0, 1024), shape: [1, 1, 32, 32] })),
        nanTraining: await failure(all({ images: nan, labels: good.labels, shape: [8, 1, 32, 32] })),
        label: await failure(all({ ...good, labels: [0, 1, 2, 8, 4, 5, 6, 7] })),
        empty: await failure(all({ images: new Uint8Array(0), labels: [], shape: [0, 1, 28, 28] })),
      };
      const after = Array.from((await net.run(gray())).data);
      await all(squares(16), steps);
      return { errors, logits: [before, after], steps, weights };
    }, backend);
    const wanted: Record<keyof typeof errors, [string, object]> = {
      shape: ["shape", { expected: expect.stringContaining("1x32x32"), actual: expect.stringContaining("1x28x28") }],
      nan: ["not-finite", { expected: "a finite number", actual: "NaN", index: "0" }],
      nanDigit: ["not-finite", { expected: "a finite number", actual: "NaN" }],
      nanTraining: ["not-finite", { expected: "a finite number", actual: "NaN" }],
      label: ["label", { expected: "0 to 7", actual: "8", index: "3" }],
      empty: ["empty-dataset", { expected: "at least one image", actual: "none" }],
    };
    for (const [name, error] of Object.entries(errors) as [keyof typeof errors, Told][]) {
      const [code, details] = wanted[name];
      expect(error, name).toMatchObject({ typed: true, code, details });
    }
    expect(logits[1]).toEqual(logits[0]);
    expect(steps).toEqual([1, 2, 3, 4]);
    expect(weights).toBeGreaterThan(200_000);
  });
}

test("a model that does not hash to what was promised is refused, and not kept", async () => {
  const page = await open();
  const { wrong, kept, right, corrupt } = await page.evaluate(async () => {
    const url = "./models/lenet5-mnist.safetensors";
    const bytes = new Uint8Array(await (await fetch(url)).arrayBuffer());
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    const hex = Array.from(digest, (b) => b.toString(16).padStart(2, "0")).join("");
    const wrong = await failure(convoke.Network.load(url, { integrity: `sha256-${"0".repeat(64)}` }));
    const kept = (await (await caches.open("convoke-v1")).keys()).length;
    const net = await convoke.Network.load(url, { integrity: `sha256-${hex}` });
    bytes[bytes.length - 1]! ^= 1;
    return { wrong, kept, right: net.name, corrupt: await failure(convoke.Network.load(bytes)) };
  });
  expect(wrong).toMatchObject({ typed: true, code: "integrity", details: { expected: "0".repeat(64) } });
  expect(wrong.details.actual).toMatch(/^[0-9a-f]{64}$/);
  expect(kept).toBe(0);
  expect(right).toBe("lenet5");
  expect(corrupt).toMatchObject({ typed: true, code: "integrity" });
});
