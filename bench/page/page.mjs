// Runs in the page of one engine; run.mjs drives it through window.bench.
//
// An engine is a module with `open(job)` that returns
//   info            what really runs (backend, tier, threads)
//   run()           inference: the fixed input as a Float32Array in, the logits as a typed array out
//   step(k)         training: k steps on the fixed batch, the k losses out, finished when the last update is done
// job = { kind: "infer" | "train", model, input, classes, batch, learningRate, momentum, engine, options }: a row of table.mjs
import { total, watch } from "./memory.mjs";

watch();
let engine;

async function open(job) {
  const t0 = performance.now();
  engine = await (await import(`./engines/${job.engine}.mjs`)).open(job);
  const t1 = performance.now();
  return { ...engine.info, openMs: t1 - t0, isolated: crossOriginIsolated };
}

// One sample is the mean of `group` calls made one after the other: a single LeNet takes less than the clock can tell.
async function time(group) {
  const t = performance.now();
  if (engine.step) await engine.step(group);
  else for (let i = 0; i < group; i++) await engine.run();
  return (performance.now() - t) / group;
}

/** Warms up and chooses how many calls make a sample of about `sampleMs`. */
async function prepare({ sampleMs, warmMs, maxGroup }) {
  let one = await time(1);
  for (const end = performance.now() + warmMs; performance.now() < end; ) one = Math.min(one, await time(1));
  return Math.max(1, Math.min(maxGroup, Math.round(sampleMs / one)));
}

async function samples({ group, seconds }) {
  const out = [],
    end = performance.now() + seconds * 1000;
  do out.push(await time(group));
  while (performance.now() < end);
  return out;
}

window.bench = {
  open,
  prepare,
  samples,
  logits: async () => Array.from(await engine.run()),
  memory: total,
  /** The losses of the first steps, and how long each took. */
  async steps(n) {
    const losses = [],
      ms = [];
    for (let i = 0; i < n; i++) {
      const t = performance.now();
      losses.push(...(await engine.step(1)));
      ms.push(performance.now() - t);
    }
    return { losses, ms };
  },
};

// ?start={job}: the page of a user who wants one answer. performance.now() counts from the navigation.
const start = new URLSearchParams(location.search).get("start");
if (start) {
  const job = JSON.parse(start);
  window.started = (async () => {
    const info = await open(job);
    const logits = Array.from(await engine.run());
    return { ms: performance.now(), info, logits };
  })();
}
