// Starts the threads of the `threads` tier: workers inside the engine's worker, on one shared memory.
import { ConvokeError } from "../shared/errors.js";
import type { Build, ThreadedWasm, WasmPool } from "./builds.js";

/** The message that turns a worker into a thread: its code, its memory and its pool. */
export interface ThreadStart {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  /** The pool's address in `memory`. */
  pool: number;
  /** Name of the BroadcastChannel on which the thread reports that it stopped. */
  alarm: string;
}

/** A thread that takes longer to start has failed. */
const START_MS = 10_000;

/** Makes a pool of `count` threads, the caller's included. Resolves when all of them wait for work. */
export async function startThreads(
  { wasm, module, memory }: Build & { wasm: ThreadedWasm },
  count: number,
  startThread: () => Worker,
): Promise<WasmPool> {
  const pool = wasm.Pool.external(count);
  const workers: Worker[] = [];
  try {
    await Promise.all(
      Array.from({ length: count - 1 }, () => {
        const worker = startThread();
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

/** Resolves when the thread is about to enter the pool. A thread answers no message after that. */
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
