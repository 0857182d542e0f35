// Queues and the loss of a GPU, on the engine's registries over a wasm module that only counts.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { WasmNetwork } from "../src/engine/builds.js";
import { entryOf, Networks } from "../src/engine/networks.js";
import type { Runtime } from "../src/engine/runtimes.js";
import { Trainers } from "../src/engine/trainers.js";
import type { CheckedData } from "../src/shared/engine-rpc.js";
import { failure } from "./support.js";

const data: CheckedData = {
  images: new Uint8Array(4),
  labels: Uint32Array.of(0),
  shape: [1, 1, 2, 2],
  mean: [],
  std: [],
};
const controls = { learningRate: 0.1, batchSize: 1 };

/** The calls of the fake module, in order. */
let calls: string[];
/** Makes the next step of a trainer fail. */
let lose: boolean;
/** Whether the run is over. */
let over: boolean;

class FakeTrainer {
  memory = {};
  learningRate = 0.1;
  batchSize = 1;
  end = 0;
  seed = 7;
  static async start(_network: object, options: object, backend: string): Promise<FakeTrainer> {
    calls.push(`start ${JSON.stringify(options)} on ${backend}`);
    return new FakeTrainer();
  }
  setBytes(role: string): void {
    calls.push(`data ${role}`);
  }
  async begin(_network: object, epochs: number, patience?: number): Promise<void> {
    this.end = epochs;
    if (patience) calls.push(`patience ${patience}`);
  }
  async step() {
    if (lose) throw Object.assign(new Error("the GPU is gone"), { code: "device-lost" });
    if (over) return undefined;
    calls.push("step");
    return { step: 1, samples: 1, epochDone: true };
  }
  async endEpoch() {
    calls.push("end epoch");
    return { loss: 2, top1: 0.5, top5: 1 };
  }
  async restoreBest(): Promise<void> {
    calls.push("restore best");
  }
  async update(): Promise<void> {
    calls.push("update");
  }
  deviceBytes(): number {
    return 7;
  }
  free(): void {
    calls.push("free trainer");
  }
}

const network = {
  backend: "webgpu",
  info: () => ({ name: "fake" }),
  plan: async (backend: string) => void calls.push(`plan ${backend}`),
  deviceBytes: () => 5,
  free: () => void calls.push("free network"),
} as unknown as WasmNetwork;
const Network = { load: () => ({ free: () => void calls.push("free checkpoint") }) };
const wasm = { Network, Trainer: FakeTrainer, panicMessage: () => undefined };
const runtime = { wasm, tier: "simd128", why: "a test", threads: 1 } as unknown as Runtime;

/** A network with a trainer whose run has begun. */
async function training(patience?: number) {
  const networks = new Networks();
  const trainers = new Trainers(networks);
  const { id } = networks.add(entryOf(runtime, network, ""));
  const trainer = (await trainers.start(id, { optimizer: { kind: "adam" }, backend: "webgpu" })).id;
  await trainers.begin(trainer, data, data, { epochs: 9, ...(patience && { patience }) });
  calls = [];
  return { networks, trainers, id, trainer };
}

beforeEach(() => {
  [calls, lose, over] = [[], false, false];
  vi.stubGlobal("navigator", { gpu: { requestAdapter: async () => ({}) } });
});
afterEach(() => vi.unstubAllGlobals());

test("calls of one network run one after the other, and dispose waits for them", async () => {
  const networks = new Networks();
  const { id } = networks.add(entryOf(runtime, network, ""));
  const slow = networks.inTurn(id, async () => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    calls.push("slow");
  });
  const broken = failure(networks.inTurn(id, () => Promise.reject(Object.assign(new Error("no"), { code: "shape" }))));
  const quick = networks.inTurn(id, () => void calls.push("quick"));
  networks.dispose(id);
  expect((await failure(networks.inTurn(id, () => {}))).code).toBe("disposed");
  expect((await broken).code).toBe("shape");
  await Promise.all([slow, quick]);
  expect(calls).toEqual(["slow", "quick", "free network"]);
});

test("a network gets the weights of its trainer when it needs them, once", async () => {
  const { networks, trainers, id, trainer } = await training();
  await trainers.step(trainer, controls);
  await trainers.step(trainer, controls);
  expect(calls).toEqual(["step", "end epoch", "step", "end epoch"]);
  for (let i = 0; i < 2; i++) await networks.withWeights(id, () => {});
  expect(calls).toEqual(["step", "end epoch", "step", "end epoch", "update"]);
  expect(await networks.deviceBytes()).toBe(12);
});

test("a second trainer takes the place of the first, whose calls then fail", async () => {
  const { trainers, id, trainer } = await training();
  await trainers.start(id, {});
  expect(calls).toEqual(["start {} on webgpu", "free trainer"]);
  expect((await failure(trainers.step(trainer, controls))).code).toBe("disposed");
  await trainers.end(trainer);
  expect(calls).toHaveLength(2);
});

test("a lost run fails every call until it resumes from its checkpoint", async () => {
  const { networks, trainers, id, trainer } = await training();
  lose = true;
  for (let i = 0; i < 2; i++) expect((await failure(trainers.step(trainer, controls))).code).toBe("device-lost");
  await networks.withWeights(id, () => {});
  expect(calls).toEqual(["free trainer"]);
  lose = false;
  calls = [];
  await trainers.resume(trainer, new Uint8Array(16));
  await trainers.step(trainer, controls);
  expect(calls).toEqual([
    "start {} on webgpu",
    "plan webgpu",
    "free checkpoint",
    "data train",
    "data validation",
    "step",
    "end epoch",
  ]);
});

test("epochs end with an evaluation, and a run that is over leaves its best weights", async () => {
  const { trainers, trainer } = await training(2);
  const report = await trainers.step(trainer, controls);
  expect(report?.validation).toEqual({ loss: 2, top1: 0.5, top5: 1 });
  over = true;
  expect(await trainers.step(trainer, controls)).toBeUndefined();
  expect(calls).toEqual(["step", "end epoch", "update", "restore best"]);
});

test("a lost run resumes with its patience", async () => {
  const { networks, trainers, id, trainer } = await training(2);
  lose = true;
  await failure(trainers.step(trainer, controls));
  await networks.withWeights(id, () => {});
  [calls, lose] = [[], false];
  await trainers.resume(trainer, new Uint8Array(16));
  expect(calls).toContain("patience 2");
});
