// Wasm instances with their thread pools: one for each tier and number of threads.
import type { OpenOptions } from "../shared/engine-rpc.js";
import { message } from "../shared/errors.js";
import type { Progress, Tier } from "../shared/types.js";
import { type Build, loadBuild, type PackageFiles, type ThreadedWasm, type WasmPool } from "./builds.js";
import { startThreads } from "./threads.js";
import { chooseTier, TIERS, type TierChoice } from "./tiers.js";

/** A build with a pool of threads. */
export interface Runtime extends Build, TierChoice {
  pool: WasmPool;
  wasmUrl: string | undefined;
}

type OnProgress = (progress: Progress) => void;

/** Starts runtimes and keeps them: builds are shared by tier, pools by number of threads. */
export class Runtimes {
  #files: PackageFiles;
  #builds = new Map<Tier, Promise<Build>>();
  #runtimes = new Map<string, Promise<Runtime>>();

  constructor(files: PackageFiles) {
    this.#files = files;
  }

  /** Returns the runtime for these options. After a failure the next call tries again, perhaps with another `wasmUrl`. */
  get(o: OpenOptions, onProgress?: OnProgress): Promise<Runtime> {
    return remembered(this.#runtimes, `${o.tier ?? ""}/${o.threads ?? ""}`, () => this.#start(o, onProgress));
  }

  /** Returns the bytes in use on the heaps of all builds. */
  async liveBytes(): Promise<number> {
    const builds = await Promise.all(this.#builds.values());
    return builds.reduce((sum, { wasm }) => sum + wasm.liveBytes(), 0);
  }

  /** Starts the chosen tier. Where it does not load, the next one is taken, unless the caller chose the tier. */
  async #start(o: OpenOptions, onProgress?: OnProgress): Promise<Runtime> {
    const choice = await chooseTier(o.tier, o.threads);
    try {
      return await this.#load(choice, o.wasmUrl, onProgress);
    } catch (error) {
      if (o.tier !== undefined) throw error;
      return this.#loadNext(choice, error, o.wasmUrl, onProgress);
    }
  }

  /** Starts the best tier below `failed` that loads. Where none does, the error is the one of the best tier. */
  async #loadNext(failed: TierChoice, error: unknown, wasmUrl?: string, onProgress?: OnProgress): Promise<Runtime> {
    const reason = failed.tier === "threads" ? `starting ${failed.threads} failed` : `${failed.tier} did not load`;
    for (const tier of TIERS.slice(0, TIERS.indexOf(failed.tier)).reverse()) {
      const why = `one thread, because ${reason}: ${message(error)}`;
      const runtime = await this.#load({ tier, why, threads: 1 }, wasmUrl, onProgress).catch(() => undefined);
      if (runtime) return runtime;
    }
    throw error;
  }

  async #load(choice: TierChoice, wasmUrl: string | undefined, onProgress?: OnProgress): Promise<Runtime> {
    const build = await this.#build(choice.tier, wasmUrl, onProgress);
    const pool =
      choice.tier === "threads"
        ? await startThreads(build as Build & { wasm: ThreadedWasm }, choice.threads, this.#files.startThread)
        : build.wasm.Pool.single();
    return { ...build, ...choice, pool, wasmUrl };
  }

  #build(tier: Tier, wasmUrl?: string, onProgress?: OnProgress): Promise<Build> {
    return remembered(this.#builds, tier, () => loadBuild(this.#files, tier, wasmUrl, onProgress));
  }
}

/** Returns the promise under `key`, made by `make` the first time; a promise that fails is forgotten. */
function remembered<K, T>(promises: Map<K, Promise<T>>, key: K, make: () => Promise<T>): Promise<T> {
  const known = promises.get(key);
  if (known) return known;
  const made = make();
  promises.set(key, made);
  made.catch(() => promises.delete(key));
  return made;
}
