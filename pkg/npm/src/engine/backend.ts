// Chooses between the CPU and WebGPU.
import { ConvokeError, message, wrongArgument } from "../shared/errors.js";
import type { Backend } from "../shared/types.js";
import type { WasmNetwork } from "./builds.js";
import type { TierChoice } from "./tiers.js";

/** A run that takes less than this is never moved to a GPU: reading back a result takes about as long. */
const FAST_ENOUGH_MS = 3;

/** Plans the network on a backend. Returns the reason for it, a sentence in lower case. */
export async function planOn(network: WasmNetwork, backend: "auto" | Backend, choice: TierChoice): Promise<string> {
  const tier = `tier ${choice.tier}: ${choice.why}`;
  if (backend !== "auto" && backend !== "cpu" && backend !== "webgpu") {
    throw wrongArgument("backend", "auto, cpu or webgpu", backend);
  }
  if (backend === "webgpu") await requireWebgpu();
  if (backend !== "auto") {
    await network.plan(backend);
    return `${backend} was asked for; ${tier}`;
  }
  const asked = webgpu();
  await network.plan("cpu");
  const available = await asked;
  if (available !== true) return `cpu: no WebGPU (${available}); ${tier}`;
  const cpu = await milliseconds(network);
  if (cpu < FAST_ENOUGH_MS) return `cpu: a run takes ${cpu.toFixed(2)} ms, too short to gain from a GPU; ${tier}`;
  return planOnFaster(network, cpu, tier);
}

/** Plans the network on WebGPU, measures a run there, and goes back to the CPU where that took `cpu` ms or less. */
async function planOnFaster(network: WasmNetwork, cpu: number, tier: string): Promise<string> {
  let gpu: number;
  try {
    await network.plan("webgpu");
    gpu = await milliseconds(network);
  } catch (error) {
    await network.plan("cpu");
    return `cpu: WebGPU failed (${message(error).split("\n")[0]}); ${tier}`;
  }
  const figures = `a run takes ${cpu.toFixed(1)} ms on the CPU and ${gpu.toFixed(1)} ms on WebGPU`;
  if (gpu < cpu) return `webgpu: ${figures}`;
  await network.plan("cpu");
  return `cpu: ${figures}; ${tier}`;
}

/** Measures a run on zeros: the shorter of two after one that warms up, or one alone if it is long. */
async function milliseconds(network: WasmNetwork): Promise<number> {
  const shape = [1, ...(network.info().input as number[])];
  const zeros = new Float32Array(shape.reduce((n, d) => n * d));
  const run = async () => {
    const start = performance.now();
    await network.run(zeros, Uint32Array.from(shape));
    return performance.now() - start;
  };
  await run();
  const first = await run();
  return first > 200 ? first : Math.min(first, await run());
}

/** Returns `true` where there is a WebGPU adapter, else the reason why there is none. */
export async function webgpu(): Promise<true | string> {
  const gpu = (globalThis.navigator as { gpu?: { requestAdapter(): Promise<unknown> } } | undefined)?.gpu;
  if (!gpu) {
    const insecure = globalThis.isSecureContext === false;
    return insecure ? "the page is not a secure context (https or localhost)" : "there is no navigator.gpu";
  }
  try {
    return (await gpu.requestAdapter()) ? true : "the browser offers no adapter";
  } catch (error) {
    return message(error);
  }
}

/** Throws `backend` where there is no WebGPU adapter. */
export async function requireWebgpu(): Promise<void> {
  const available = await webgpu();
  if (available === true) return;
  const details = { backend: "webgpu", reason: available };
  throw new ConvokeError("backend", `backend \`webgpu\` is not available: ${available}`, details);
}

export function isDeviceLost(error: unknown): boolean {
  return (error as { code?: unknown }).code === "device-lost";
}

/** Does `work`. When the GPU is lost in it, plans the network on a new device, once, and does `work` again. */
export async function retryOnNewDevice<T>(network: WasmNetwork, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isDeviceLost(error)) throw error;
    await network.plan("webgpu");
    return work();
  }
}
