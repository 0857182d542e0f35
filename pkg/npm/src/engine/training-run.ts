// One trainer of a network, with the run that it makes.
import type { Bytes, CheckedData, RunLength, StepControls } from "../shared/engine-rpc.js";
import { wrongArgument } from "../shared/errors.js";
import type { Backend, StepReport, TrainerOptions, TrainingMemory } from "../shared/types.js";
import { isDeviceLost } from "./backend.js";
import type { Wasm, WasmNetwork, WasmTrainer } from "./builds.js";
import { NO_OPTIONS, toEngine } from "./trainer-options.js";

/** A wasm trainer and the state of its run. The network that it trains is given to each method. */
export class TrainingRun {
  readonly backend: Backend;
  /** The error by which the GPU was lost: every later call fails with it, until the run is resumed. */
  lost: unknown;
  #trainer: WasmTrainer;
  /** The first epoch that is not part of the run. */
  #end = 0;
  #patience: number | undefined;
  /** The data of a run that may have to be resumed. */
  #kept: { data: CheckedData; validation: CheckedData | undefined } | undefined;
  /** Whether the trainer has newer weights than the network. */
  #dirty = false;

  private constructor(trainer: WasmTrainer, backend: Backend) {
    this.#trainer = trainer;
    this.backend = backend;
  }

  /** Makes a trainer of the network's weights. */
  static async start(wasm: Wasm, network: WasmNetwork, o: TrainerOptions, backend: Backend): Promise<TrainingRun> {
    return new TrainingRun(await wasm.Trainer.start(network, toEngine(o), backend), backend);
  }

  get memory(): TrainingMemory {
    return this.#trainer.memory;
  }

  /** The seed that decides shuffling, augmentation and dropout. */
  get seed(): number {
    return this.#trainer.seed;
  }

  get controls(): StepControls {
    const { learningRate, batchSize } = this.#trainer;
    return { learningRate, batchSize };
  }

  deviceBytes(): number {
    return this.#trainer.deviceBytes();
  }

  /** Gives the run its data, and its end. */
  async begin(
    network: WasmNetwork,
    data: CheckedData,
    validation: CheckedData | undefined,
    { epochs, patience }: RunLength,
  ): Promise<void> {
    this.#patience = patience;
    // Only a GPU is ever lost: on the CPU the copy in the engine is enough.
    this.#kept = this.backend === "webgpu" ? { data, validation } : undefined;
    this.#setData(data, "train");
    if (validation) this.#setData(validation, "validation");
    await this.#trainer.begin(network, epochs, patience);
    this.#end = this.#trainer.end;
  }

  /** Begins the run once more after `replace`, with its data and up to its end. */
  async beginAgain(network: WasmNetwork): Promise<void> {
    const { data, validation } = this.#kept!; // a run on a GPU that has begun
    const patience = this.#patience;
    await this.begin(network, data, validation, { epochs: this.#end, ...(patience !== undefined && { patience }) });
  }

  /** Replaces the lost trainer by one that goes on from `checkpoint`, once `begin` has given it the data. */
  async replace(wasm: Wasm, checkpoint: WasmNetwork, network: WasmNetwork): Promise<void> {
    this.#trainer = await wasm.Trainer.start(checkpoint, NO_OPTIONS, this.backend);
    if (network.backend === "webgpu") await network.plan("webgpu");
    this.lost = undefined;
    this.#dirty = false;
  }

  /** Makes one step. Returns nothing when the run is over: the network then has the weights of the best epoch. */
  async step(network: WasmNetwork, { learningRate, batchSize }: StepControls): Promise<StepReport | undefined> {
    const start = performance.now();
    const step = await this.#trainer.step(learningRate, batchSize);
    if (!step) {
      await this.update(network);
      await this.#trainer.restoreBest(network);
      return undefined;
    }
    this.#dirty = true;
    const seconds = Math.max(performance.now() - start, 0.01) / 1000;
    const { samples, epochDone, ...report } = step;
    const validation = epochDone ? await this.#trainer.endEpoch() : undefined;
    return { ...report, samplesPerSecond: samples / seconds, ...(validation && { validation }) };
  }

  /** Gives the network the weights of the latest step. */
  async update(network: WasmNetwork): Promise<void> {
    if (!this.#dirty) return;
    try {
      await this.#trainer.update(network);
    } catch (error) {
      // The network lost its GPU. It has its new weights nevertheless, unless they were on a GPU too.
      if (!isDeviceLost(error) || this.backend === "webgpu") throw error;
      await network.plan("webgpu");
    }
    this.#dirty = false;
  }

  /** Returns a checkpoint, and gives the network the weights in it: the fallback when the GPU is lost. */
  async checkpoint(network: WasmNetwork): Promise<Bytes> {
    await this.update(network);
    return this.#trainer.checkpoint(network);
  }

  free(): void {
    this.#trainer.free();
  }

  #setData({ images, labels, shape, mean, std }: CheckedData, role: "train" | "validation"): void {
    const dims = Uint32Array.from(shape);
    if (images instanceof Uint8Array) {
      this.#trainer.setBytes(role, images, labels, dims, Float32Array.from(mean), Float32Array.from(std));
    } else {
      if (mean.length + std.length > 0) throw wrongArgument("mean and std", "none for images of floats", "some");
      this.#trainer.setFloats(role, images, labels, dims);
    }
  }
}
