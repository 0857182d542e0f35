// The trainers of the engine, by number. Calls to a trainer wait in the queue of its network.
import type { Bytes, CheckedData, RunLength, StepControls, TrainerState } from "../shared/engine-rpc.js";
import type { Backend, StepReport, TrainerOptions, TrainingMemory } from "../shared/types.js";
import { requireWebgpu } from "./backend.js";
import { loadModel } from "./model-file.js";
import { disposed, freeTraining, type NetworkEntry, type Networks } from "./networks.js";
import { TrainingRun } from "./training-run.js";

/** A trainer, and the number of its network. */
interface TrainerEntry {
  network: number;
  training: TrainingRun;
}

export class Trainers {
  #networks: Networks;
  /** Entries stay until `end`, so that a call to a trainer that was replaced or lost says so. */
  #entries = new Map<number, TrainerEntry>();
  #last = 0;

  constructor(networks: Networks) {
    this.#networks = networks;
  }

  /** Makes a trainer of a network's weights, in place of an earlier one. */
  start(network: number, o: TrainerOptions): Promise<TrainerState> {
    return this.#networks.withWeights(network, async (entry) => {
      const backend = o.backend ?? (entry.network.backend as Backend);
      if (backend === "webgpu") await requireWebgpu();
      const training = await TrainingRun.start(entry.runtime.wasm, entry.network, o, backend);
      freeTraining(entry);
      entry.training = training;
      const id = ++this.#last;
      this.#entries.set(id, { network, training });
      return { id, backend, memory: training.memory, seed: training.seed, ...training.controls };
    });
  }

  /** Gives a trainer its data and the length of its run. Returns the memory of a step. */
  begin(
    id: number,
    data: CheckedData,
    validation: CheckedData | undefined,
    length: RunLength,
  ): Promise<TrainingMemory> {
    return this.#inTurn(id, async (training, { network }) => {
      await training.begin(network, data, validation, length);
      return training.memory;
    });
  }

  /** Resumes a run from its checkpoint, on a new device, after the GPU was lost. */
  async resume(id: number, checkpoint: Bytes): Promise<void> {
    const known = this.#entries.get(id);
    if (!known) throw disposed("trainer");
    const { training } = known;
    await this.#networks.inTurn(known.network, async (entry) => {
      await requireWebgpu();
      const source = await loadModel(entry.runtime, checkpoint, undefined);
      try {
        await training.replace(entry.runtime.wasm, source, entry.network);
      } finally {
        source.free();
      }
      entry.training = training;
      await training.beginAgain(entry.network);
    });
  }

  /** Makes one step. Returns nothing when the run is over. */
  step(id: number, controls: StepControls): Promise<StepReport | undefined> {
    return this.#inTurn(id, (training, { network }) => training.step(network, controls));
  }

  checkpoint(id: number): Promise<Bytes> {
    return this.#inTurn(id, (training, { network }) => training.checkpoint(network));
  }

  /** Gives the network its latest weights, then frees the trainer. */
  async end(id: number): Promise<void> {
    const known = this.#entries.get(id);
    if (!known) return;
    this.#entries.delete(id);
    await this.#networks.inTurn(known.network, async (entry) => {
      if (entry.training !== known.training) return;
      try {
        await known.training.update(entry.network);
      } finally {
        freeTraining(entry);
      }
    });
  }

  /** Does `work` in the turn of the trainer's network, unless another trainer has taken its place. */
  #inTurn<T>(id: number, work: (training: TrainingRun, entry: NetworkEntry) => T | Promise<T>): Promise<T> {
    const known = this.#entries.get(id);
    if (!known) return Promise.reject(disposed("trainer"));
    const { network, training } = known;
    return this.#networks.inTurn(network, (entry) => {
      if (entry.training !== training) throw training.lost ?? disposed("trainer");
      return work(training, entry);
    });
  }
}
