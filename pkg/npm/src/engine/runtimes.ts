// Wasm instances with their thread pools: one for each tier and number of threads.
import type { OpenOptions } from "../shared/engine-rpc.js";
import { message } from "../shared/errors.js";
import type { Progress, Tier } from "../shared/types.js";
import { type Build, loadBuild, type PackageFiles, type ThreadedWasm, type WasmPool } from "./builds.js";
import { startThreads } from "./threads.js";
import { chooseTier, type TierChoice } from "./tiers.js";

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

  async #start(o: OpenOptions, onProgress?: OnProgress): Promise<Runtime> {
    const { wasmUrl } = o;
    const choice = await chooseTier(o.tier, o.threads);
    if (choice.tier === "threads") {
      try {
        const build = (await this.#build("threads", wasmUrl, onProgress)) as Build & { wasm: ThreadedWasm };
        const pool = await startThreads(build, choice.threads, this.#files.startThread);
        return { ...build, ...choice, pool, wasmUrl };
      } catch (error) {
        if (o.tier === "threads") throw error;
        choice.why = `one thread, because starting ${choice.threads} failed: ${message(error)}`;
        choice.tier = "relaxed";
        choice.threads = 1;
      }
    }
    const build = await this.#build(choice.tier, wasmUrl, onProgress);
    return { ...build, ...choice, pool: build.wasm.Pool.single(), wasmUrl };
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
