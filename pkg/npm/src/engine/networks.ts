// The networks of the engine, by number, with a queue of calls for each.
import type { OpenedNetwork } from "../shared/engine-rpc.js";
import { ConvokeError } from "../shared/errors.js";
import type { Backend, NetworkInfo } from "../shared/types.js";
import { isDeviceLost, planOn } from "./backend.js";
import { guarded, type WasmNetwork } from "./builds.js";
import type { Runtime } from "./runtimes.js";
import { fromEngineConfig } from "./trainer-options.js";
import type { TrainingRun } from "./training-run.js";
import { yieldIfDue } from "./yielding.js";

export interface NetworkEntry {
  runtime: Runtime;
  network: WasmNetwork;
  /** The reason for the network's backend and tier. */
  why: string;
  /** The trainer that has the latest weights, if there is one. */
  training: TrainingRun | undefined;
  /** The end of the calls so far. Wasm borrows a network until a call is done, so calls run one after the other. */
  queue: Promise<unknown>;
}

export class Networks {
  #entries = new Map<number, NetworkEntry>();
  #last = 0;

  /** Gives an entry its number. */
  add(entry: NetworkEntry): OpenedNetwork {
    const id = ++this.#last;
    const { tier, threads } = entry.runtime;
    const { interrupted, ...known } = entry.network.info();
    const info: NetworkInfo = { ...known, tier, threads, why: entry.why };
    if (interrupted) info.interrupted = fromEngineConfig(interrupted);
    this.#entries.set(id, entry);
    return { id, info };
  }

  /** Does `work` after the network's earlier calls, with the weights of the latest training step. */
  withWeights<T>(id: number, work: (entry: NetworkEntry) => T | Promise<T>): Promise<T> {
    return this.inTurn(id, async (entry) => {
      await entry.training?.update(entry.network);
      return work(entry);
    });
  }

  /** Does `work` after the network's earlier calls. The network's weights may be older than its trainer's. */
  inTurn<T>(id: number, work: (entry: NetworkEntry) => T | Promise<T>): Promise<T> {
    const entry = this.#entries.get(id);
    if (!entry) return Promise.reject(disposed("network"));
    const turn = entry.queue
      .then(yieldIfDue)
      .then(() => guarded(entry.runtime.wasm, () => work(entry)))
      .catch((error) => {
        // The trainer's weights went with its GPU. The network has the weights of the last checkpoint, at least.
        if (isDeviceLost(error) && entry.training?.backend === "webgpu") {
          entry.training.lost = error;
          freeTraining(entry);
        }
        throw error;
      });
    entry.queue = turn.catch(() => {});
    return turn;
  }

  /** Frees a network and its trainer after the calls that were made before. */
  dispose(id: number): void {
    const entry = this.#entries.get(id);
    if (!entry) return;
    this.#entries.delete(id);
    void entry.queue.then(() => {
      freeTraining(entry);
      entry.network.free();
    });
  }

  /** Returns the bytes that all networks and trainers have on the GPU. */
  async deviceBytes(): Promise<number> {
    const each = [...this.#entries.keys()].map((id) =>
      this.inTurn(id, ({ network, training }) => network.deviceBytes() + (training?.deviceBytes() ?? 0)),
    );
    return (await Promise.all(each)).reduce((sum, bytes) => sum + bytes, 0);
  }
}

/** Wraps a network that is on its backend already, or that never runs. */
export function entryOf(runtime: Runtime, network: WasmNetwork, why: string): NetworkEntry {
  return { runtime, network, why, training: undefined, queue: Promise.resolve() };
}

/** Plans a network on a backend. Frees it when that fails. */
export async function planned(
  runtime: Runtime,
  network: WasmNetwork,
  backend: "auto" | Backend,
): Promise<NetworkEntry> {
  try {
    return entryOf(runtime, network, await guarded(runtime.wasm, () => planOn(network, backend, runtime)));
  } catch (error) {
    network.free();
    throw error;
  }
}

export function freeTraining(entry: NetworkEntry): void {
  const { training } = entry;
  entry.training = undefined;
  training?.free();
}

export function disposed(what: "network" | "trainer"): ConvokeError {
  return new ConvokeError("disposed", `the ${what} was disposed of`);
}
