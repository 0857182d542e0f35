// Functions that concern the machine rather than one network.
import { connect, connections } from "./connection.js";
import type { Capabilities, EngineOptions } from "./shared/types.js";

/**
 * Returns the memory of all live networks and trainers, on the heap and on the GPU, in bytes: 0 when none was made.
 *
 * @example
 * console.log(`${((await liveBytes()) / 2 ** 20).toFixed(1)} MiB`);
 */
export async function liveBytes(): Promise<number> {
  const each = await Promise.all(connections().map((c) => c.call((engine) => engine.liveBytes())));
  return each.reduce((sum, bytes) => sum + bytes, 0);
}

/**
 * Tells which tier, how many threads and which backends can run here, and why nothing better.
 *
 * @example
 * const { tier, why, webgpu } = await capabilities();
 * console.log(tier, why, webgpu === true ? "WebGPU" : `no WebGPU: ${webgpu}`);
 */
export function capabilities(options: Pick<EngineOptions, "worker"> = {}): Promise<Capabilities> {
  const connection = connect(options.worker);
  return connection.call((engine) => engine.capabilities(connection.worker));
}
