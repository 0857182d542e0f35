// Warms up the engine while a file is on its way.
import { guarded } from "./builds.js";
import type { Runtime } from "./runtimes.js";

/** A file that comes sooner than this is not waited for with a warm-up. */
const WAIT_MS = 500;

/** The longest warm-up. */
const WARM_UP_MS = 1000;

const warm = new WeakSet<Runtime>();

/**
 * Runs a small network again and again until `arrived` aborts. A browser compiles a kernel well only after it has run for
 * a while; without a warm-up that while is part of the first answer. One thread is enough: the other processors have the
 * file.
 */
export async function warmUp(runtime: Runtime, arrived: AbortSignal): Promise<void> {
  await pause(WAIT_MS);
  if (warm.has(runtime) || arrived.aborted) return;
  warm.add(runtime);
  const end = performance.now() + WARM_UP_MS;
  const { wasm } = runtime;
  await guarded(wasm, async () => {
    const network = wasm.Network.create("googlenet-cifar", 10, 1, wasm.Pool.single());
    try {
      await network.plan("cpu");
      const image = new Float32Array(3 * 32 * 32);
      while (!arrived.aborted && performance.now() < end) {
        await network.run(image, Uint32Array.of(1, 3, 32, 32));
        await pause(0); // The file may be here.
      }
    } finally {
      network.free();
    }
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
