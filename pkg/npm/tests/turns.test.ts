// Calls on the caller's own thread: they give way to timers, hear aborts, and end with their trainer.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { PackageFiles } from "../src/engine/builds.js";
import { Runtimes } from "../src/engine/runtimes.js";
import { files } from "../src/files.js";
import { Network, type TrainingData } from "../src/node.js";
import { failure } from "./support.js";

const path = fileURLToPath(new URL("../../../models/lenet5-mnist.safetensors", import.meta.url));

const data = (count: number): TrainingData => ({
  images: new Uint8Array(count * 784).map((_, i) => (i * 37) % 251),
  labels: Uint8Array.from({ length: count }, (_, i) => i % 8),
  shape: [count, 1, 28, 28],
});

test("fit leaves timers their turn, and an abort after 50 ms ends it soon after", async () => {
  using net = await Network.create("lenet5", { seed: 1 });
  using trainer = await net.trainer({ batchSize: 1 });
  let [ticks, longest, last] = [0, 0, performance.now()];
  const timer = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    ticks++;
  }, 5);
  const start = performance.now();
  const run = async () => {
    const reports = trainer.fit(data(8), { epochs: 1_000_000, signal: AbortSignal.timeout(300), checkpointEvery: 1e6 });
    for await (const _ of reports);
  };
  await expect(run()).rejects.toMatchObject({ name: "TimeoutError" });
  clearInterval(timer);
  expect(performance.now() - start).toBeLessThan(1500);
  expect(ticks).toBeGreaterThan(3);
  expect(longest).toBeLessThan(300); // one turn, with room for a busy machine
}, 10_000);

test("calls that are ready at once leave timers their turn", async () => {
  using net = await Network.create("lenet5", { seed: 1 });
  const input = { data: new Float32Array(1024), shape: [1, 1, 32, 32] };
  let late = false;
  setTimeout(() => {
    late = true;
  }, 50);
  const start = performance.now();
  while (!late && performance.now() - start < 5000) await net.run(input);
  expect(late).toBe(true);
});

test("load, create, save and toOnnx hear an abort", async () => {
  // Never compares a result, which would be printed: some have 100 MB.
  const outcome = (call: (o: { signal: AbortSignal }) => Promise<unknown>) => {
    const control = new AbortController();
    setImmediate(() => control.abort());
    return call({ signal: control.signal }).then(
      () => "done",
      (error: Error) => error.name,
    );
  };
  const file = new Uint8Array(readFileSync(path));
  expect(await outcome((o) => Network.create("resnet20", o))).toBe("AbortError");
  expect(await outcome((o) => Network.load(file, o))).toBe("AbortError");
  using net = await Network.create("resnet20", { seed: 1 });
  await new Promise((resolve) => setTimeout(resolve, 50)); // the next call gives way first
  expect(await outcome((o) => net.save(o))).toBe("AbortError");
  expect(await outcome((o) => net.toOnnx(o))).toBe("AbortError");
  const signal = AbortSignal.abort();
  expect((await net.save({ signal }).catch((error: Error) => error)) instanceof DOMException).toBe(true);
  expect((await failure(net.save({ signal: 1 as never }))).code).toBe("argument");
});

test("a trainer that is paused after its end ends its loop", async () => {
  using net = await Network.create("lenet5", { seed: 1 });
  const trainer = await net.trainer({ batchSize: 4 });
  const run = async () => {
    for await (const _ of trainer.fit(data(8), { epochs: 100 })) {
      trainer.dispose();
      trainer.pause();
    }
  };
  expect((await failure(run())).code).toBe("disposed");
  expect(trainer.paused).toBe(false);
});

test("where the chosen tier does not load, the next one is taken, and `why` says so", async () => {
  const broken = (tier: "relaxed" | "simd128") => ({
    ...files.tiers[tier],
    glue: () => Promise.reject(new Error(`no ${tier} today`)),
  });
  const all: PackageFiles = { ...files, tiers: { ...files.tiers, relaxed: broken("relaxed") } };
  const runtimes = new Runtimes(all);
  const { tier, why } = await runtimes.get({});
  expect(tier).toBe("simd128");
  // Node 20 has no relaxed SIMD, and never chose that tier.
  expect(why).toMatch(/no relaxed today|there is no relaxed SIMD/);
  const none = new Runtimes({ ...all, tiers: { ...all.tiers, simd128: broken("simd128") } });
  await expect(none.get({})).rejects.toThrow(/no (relaxed|simd128) today/);
  await expect(runtimes.get({ tier: "relaxed" })).rejects.toThrow(/relaxed/);
});
