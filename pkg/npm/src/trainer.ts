import { checkObject, checkSignal, checkWhole, copyOptions } from "./arguments.js";
import { FitRun } from "./fit-run.js";
import { Gate } from "./gate.js";
import { Handle } from "./handle.js";
import type { TrainerState } from "./shared/engine-rpc.js";
import { ConvokeError, wrongArgument } from "./shared/errors.js";
import type { Backend, FitOptions, StepReport, TrainerOptions, TrainingData, TrainingMemory } from "./shared/types.js";

/** A trainer's handle and its state in the engine. */
export interface StartedTrainer {
  handle: Handle;
  state: TrainerState;
}

/** Makes a trainer of a network in the engine. */
export async function startTrainer(network: Handle, options: TrainerOptions): Promise<StartedTrainer> {
  const copied = copyOptions("options", options);
  const state = await network.call((engine, id) => engine.startTrainer(id, copied));
  const text = "the trainer was disposed of";
  const handle = new Handle(network.connection, state.id, text, (engine, id) => engine.endTrainer(id));
  return { handle, state };
}

/**
 * Trains a network, step by step, and can be steered while it does.
 *
 * The type of the network is a parameter, because `network.ts` imports this file and not the reverse.
 */
export class BaseTrainer<N> implements Disposable {
  /**
   * The network being trained: it answers with the weights of the latest step.
   *
   * @example
   * const [best] = await trainer.network.classify(image, { top: 1 });
   */
  readonly network: N;
  /**
   * The backend that trains.
   *
   * @example
   * console.log(trainer.backend); // "cpu" or "webgpu"
   */
  readonly backend: Backend;
  /**
   * The seed that decides shuffling, augmentation and dropout: the option `seed`, or a number that was drawn where it was
   * not given. A trainer with this seed, and equal options and data, repeats the run.
   *
   * @example
   * const again = await trainer.network.trainer({ seed: trainer.seed });
   */
  readonly seed: number;
  #handle: Handle;
  #memory: TrainingMemory;
  #learningRate: number;
  #batchSize: number;
  #running = false;
  #gate = new Gate();

  protected constructor(network: N, { handle, state }: StartedTrainer) {
    this.network = network;
    this.backend = state.backend;
    this.seed = state.seed;
    this.#memory = state.memory;
    this.#handle = handle;
    this.#learningRate = state.learningRate;
    this.#batchSize = state.batchSize;
  }

  /** @internal */
  static of<N>(network: N, started: StartedTrainer): BaseTrainer<N> {
    return new BaseTrainer(network, started);
  }

  /**
   * The memory of a step with the batch size at the beginning of the run, in bytes. `fit` refuses a batch that does not
   * fit.
   *
   * @example
   * const { weights, gradients, optimizer, activations } = trainer.memory;
   * console.log(`${weights + gradients + optimizer + activations} bytes`);
   */
  get memory(): TrainingMemory {
    return this.#memory;
  }

  /**
   * The step size before the schedule, at least 0. A new one counts from the next step.
   *
   * @defaultValue `optimizer.learningRate` of the trainer's options
   * @example
   * for await (const { step } of trainer.fit(data, { epochs: 10 })) {
   *   if (step === 1000) trainer.learningRate /= 10;
   * }
   */
  get learningRate(): number {
    return this.#learningRate;
  }
  set learningRate(rate: number) {
    if (!(Number.isFinite(rate) && rate >= 0))
      throw wrongArgument("learningRate", "a finite number of at least 0", rate);
    this.#learningRate = rate;
  }

  /**
   * Samples in a step, 1 to 65536. A new size counts from the next step.
   *
   * @defaultValue `batchSize` of the trainer's options
   * @example
   * trainer.batchSize = 128;
   */
  get batchSize(): number {
    return this.#batchSize;
  }
  set batchSize(size: number) {
    checkWhole("batchSize", size, "1 to 65536", 1, 65536);
    this.#batchSize = size;
  }

  /**
   * Whether `fit` is held.
   *
   * @defaultValue `false`
   * @example
   * button.textContent = trainer.paused ? "Resume" : "Pause";
   */
  get paused(): boolean {
    return this.#gate.closed;
  }

  /**
   * Holds `fit` after the step that is running.
   *
   * @example
   * trainer.pause();
   * await net.classify(image); // with the weights of the latest step
   * trainer.resume();
   */
  pause(): void {
    this.#gate.close();
  }

  /**
   * Lets a paused `fit` go on.
   *
   * @example
   * if (trainer.paused) trainer.resume();
   */
  resume(): void {
    this.#gate.open();
  }

  /**
   * Trains for `epochs` more epochs and reports every step. The next step runs while the caller handles a report. Leaving
   * the loop, or an abort, stops after the running step, whose weights stay. In a run that was loaded from a checkpoint
   * `epochs` counts from the beginning of the run, so that the interrupted call can be repeated.
   *
   * After a lost GPU the run resumes from its last checkpoint on a new device, and the next report says so. A second loss
   * before a further checkpoint ends the run.
   *
   * @throws ConvokeError `format` when a loaded checkpoint's run had other data; the checkpoint can still be fitted with
   * its own data. `worker-crashed` or `device-lost`, with a `checkpoint` for `Network.load`. `argument`, `label`, `shape`
   * or `empty-dataset` for wrong options and data, `diverged` when a loss or weight is no finite number, `too-large` for a batch
   * that does not fit the memory.
   *
   * @example
   * for await (const { epoch, loss, validation } of trainer.fit(data, { epochs: 5, validation: heldOut })) {
   *   if (validation) console.log(epoch, loss, validation.top1);
   * }
   */
  fit(data: TrainingData, options: FitOptions): AsyncGenerator<StepReport, void, void> {
    // A generator's body runs at the first step only, when the caller may have changed the data.
    let begin: () => FitRun;
    try {
      const run = this.#run(data, options);
      begin = () => run;
    } catch (error) {
      begin = () => {
        throw error;
      };
    }
    return this.#reports(begin);
  }

  /** Checks the arguments of `fit` and takes the data. */
  #run(data: TrainingData, options: FitOptions): FitRun {
    checkFitOptions(options);
    options.signal?.throwIfAborted();
    this.#handle.check();
    const controls = () => ({ learningRate: this.#learningRate, batchSize: this.#batchSize });
    return new FitRun(this.#handle, this.#gate, controls, data, options);
  }

  async *#reports(begin: () => FitRun): AsyncGenerator<StepReport, void, void> {
    const run = begin();
    if (this.#running) throw new ConvokeError("argument", "fit: expected one run at a time, got a second one");
    this.#handle.check();
    this.#running = true;
    try {
      this.#memory = await run.begin();
      yield* run.reports();
    } finally {
      this.#running = false;
    }
  }

  /**
   * Returns a model file that also holds the optimizer's state and the position in the run.
   *
   * @example
   * const file = await trainer.checkpoint();
   * const resumed = await (await Network.load(file)).trainer();
   */
  async checkpoint(): Promise<Uint8Array> {
    return this.#handle.call((engine, id) => engine.checkpoint(id));
  }

  /**
   * Frees the trainer's memory. The network keeps the latest weights. Later calls fail with `disposed`.
   *
   * @example
   * trainer.dispose();
   */
  dispose(): void {
    this.#gate.end();
    this.#handle.dispose();
  }

  /**
   * Disposes of the trainer at the end of its block.
   *
   * @example
   * using temporary = await net.trainer();
   */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

function checkFitOptions(options: FitOptions): void {
  checkObject("options", options);
  const { epochs, checkpointEvery, patience, validation, signal } = options;
  checkSignal(signal);
  checkWhole("epochs", epochs, "a whole number from 1");
  if (checkpointEvery !== undefined) checkWhole("checkpointEvery", checkpointEvery, "a whole number from 1");
  if (patience === undefined) return;
  checkWhole("patience", patience, "a whole number from 1");
  if (!validation) throw wrongArgument("validation", "validation data, which patience needs", "none");
}
