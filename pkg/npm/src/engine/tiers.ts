// Chooses the build of the engine that runs here, by probes and never by the browser's name.
import { relaxedSimd, threads as sharedMemory, simd } from "wasm-feature-detect";
import { ConvokeError, wrongArgument } from "../shared/errors.js";
import type { Tier } from "../shared/types.js";

/** All tiers, from the most portable to the fastest. */
export const TIERS: readonly Tier[] = ["simd128", "relaxed", "threads"];

/** A tier, and the reason for it. */
export interface TierChoice {
  tier: Tier;
  /** A sentence, in lower case and without a full stop. */
  why: string;
  threads: number;
}

/** The largest default number of threads: beyond it, waiting for each other costs more than a thread brings. */
const MAX_DEFAULT_THREADS = 8;

/** Returns the best tier that runs here, or the forced one. */
export async function chooseTier(forced?: Tier, threads?: number): Promise<TierChoice> {
  if (forced !== undefined && !TIERS.includes(forced)) throw wrongArgument("tier", TIERS.join(", "), forced);
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 64)) {
    throw wrongArgument("threads", "a whole number from 1 to 64", threads);
  }
  if (!(await simd())) throw unsupported("simd128", "this browser has no WebAssembly SIMD");
  const processors = globalThis.navigator?.hardwareConcurrency ?? 1;
  const count = threads ?? Math.min(processors, MAX_DEFAULT_THREADS);
  const obstacles = { simd128: undefined, relaxed: await relaxedObstacle(), threads: await threadsObstacle() };
  if (forced !== undefined) {
    const reason = obstacles[forced];
    if (reason) throw unsupported(forced, reason);
    return { tier: forced, why: "chosen by the caller", threads: forced === "threads" ? count : 1 };
  }
  if (obstacles.relaxed) return { tier: "simd128", why: obstacles.relaxed, threads: 1 };
  if (obstacles.threads) return { tier: "relaxed", why: `one thread, because ${obstacles.threads}`, threads: 1 };
  if (count === 1) {
    const why = threads === 1 ? "one thread was asked for" : "there is one processor";
    return { tier: "relaxed", why, threads: 1 };
  }
  return { tier: "threads", why: `shared memory is available, ${count} threads`, threads: count };
}

/** Returns the reason why relaxed SIMD does not run here, if there is one. */
async function relaxedObstacle(): Promise<string | undefined> {
  return (await relaxedSimd()) ? undefined : "there is no relaxed SIMD";
}

/** Returns the reason why threads do not run here, if there is one. */
async function threadsObstacle(): Promise<string | undefined> {
  const relaxed = await relaxedObstacle();
  if (relaxed) return relaxed;
  if (typeof Worker !== "function") return "there are no workers inside workers";
  if (typeof document !== "undefined") return "the engine runs on the page's thread, which must not wait";
  if (!globalThis.crossOriginIsolated) return "the page is not cross-origin isolated (COOP and COEP headers)";
  if (!(await sharedMemory())) return "WebAssembly has no threads here";
  // Without `waitAsync` wasm-bindgen would start a worker from a data: URL, which content security policies forbid.
  if (!("waitAsync" in Atomics)) return "there is no Atomics.waitAsync";
  return undefined;
}

function unsupported(tier: Tier, reason: string): ConvokeError {
  return new ConvokeError("unsupported", `the tier ${tier} does not run here: ${reason}`, { tier, reason });
}
