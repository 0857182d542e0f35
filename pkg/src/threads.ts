// The threads of the `threads` tier: workers inside the engine's worker, on one shared memory.
import { ConvokeError } from "./errors.js";
import type { Build, Pool, ThreadedWasm } from "./tiers.js";

/** What a thread is told: where its code, its memory and its work are. */
export interface ThreadStart {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  pool: number;
  /** The channel on which a thread that stops is heard. */
  alarm: string;
}

/** How long a thread may take to start. */
const START_MS = 10_000;

/** A pool of `count` threads, the caller's included, once all of them wait for work. */
export async function startThreads(
  { wasm, module, memory }: Build & { wasm: ThreadedWasm },
  count: number,
): Promise<Pool> {
  const pool = wasm.Pool.external(count);
  const workers: Worker[] = [];
  try {
    await Promise.all(
      Array.from({ length: count - 1 }, () => {
        const worker = new Worker(new URL("./thread.js", import.meta.url), { type: "module" });
        workers.push(worker);
        return ready(worker, { module, memory, pool: pool.address(), alarm: self.name });
      }),
    );
    return pool;
  } catch (error) {
    for (const worker of workers) worker.terminate();
    throw error;
  }
}

/** Resolves when the thread is about to enter the pool: from there on it never answers again. */
function ready(worker: Worker, start: ThreadStart): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (reason: string) => reject(new ConvokeError("unsupported", `a thread did not start: ${reason}`));
    const timer = setTimeout(() => fail(`no answer in ${START_MS / 1000} s`), START_MS);
    worker.onmessage = ({ data }) => {
      clearTimeout(timer);
      if (data === "ready") resolve();
      else fail(data);
    };
    worker.onerror = (event) => {
      clearTimeout(timer);
      fail(event.message || "its script was refused");
    };
    try {
      worker.postMessage(start);
    } catch (error) {
      clearTimeout(timer);
      fail(String(error));
    }
  });
}
