import { checkWhole } from "./arguments.js";
import { Gate } from "./gate.js";
import { Handle } from "./handle.js";
import type { Bytes, RunLength, TrainerState } from "./shared/engine-rpc.js";
import { ConvokeError, wrongArgument } from "./shared/errors.js";
import type { Backend, FitOptions, StepReport, TrainerOptions, TrainingData, TrainingMemory } from "./shared/types.js";
import { checkData } from "./training-data.js";

const CHECKPOINT_EVERY = 100;

/** Errors that take the weights of the present run with them. */
const LOSSES: readonly string[] = ["worker-crashed", "device-lost"];

/** One run of `fit`: its data is checked, and its latest checkpoint is kept. */
interface Run {
  begin(): Promise<void>;
  /** Continues the engine's run from a checkpoint, on a new device. */
  resume(checkpoint: Uint8Array): Promise<void>;
  checkpoint?: Uint8Array;
  checkpointEvery: number;
  signal: AbortSignal | undefined;
}

/** A trainer's handle and its state in the engine. */
export interface StartedTrainer {
  handle: Handle;
  state: TrainerState;
}

/** Makes a trainer of a network in the engine. */
export async function startTrainer(network: Handle, options: TrainerOptions): Promise<StartedTrainer> {
  const state = await network.call((engine, id) => engine.startTrainer(id, options));
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
  #handle: Handle;
  #memory: TrainingMemory;
  #learningRate: number;
  #batchSize: number;
  #running = false;
  #gate = new Gate();

  protected constructor(network: N, { handle, state }: StartedTrainer) {
    this.network = network;
    this.backend = state.backend;
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
   * or `empty-dataset` for wrong options and data, `diverged` when the loss is no finite number, `too-large` for a batch
   * that does not fit the memory.
   *
   * @example
   * for await (const { epoch, loss, validation } of trainer.fit(data, { epochs: 5, validation: heldOut })) {
   *   if (validation) console.log(epoch, loss, validation.top1);
   * }
   */
  async *fit(data: TrainingData, options: FitOptions): AsyncGenerator<StepReport, void, void> {
    options.signal?.throwIfAborted();
    checkFitOptions(options);
    if (this.#running) throw new ConvokeError("argument", "fit: expected one run at a time, got a second one");
    this.#handle.check();
    this.#running = true;
    let run: Run | undefined;
    try {
      run = this.#run(data, options);
      await run.begin();
      run.checkpoint = await this.checkpoint();
      yield* this.#resuming(run);
    } catch (error) {
      if (error instanceof ConvokeError && LOSSES.includes(error.code) && run?.checkpoint)
        error.checkpoint = run.checkpoint;
      throw error;
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
    this.#gate.open();
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

  #run(data: TrainingData, o: FitOptions): Run {
    const validation = o.validation && checkData(o.validation);
    const length: RunLength = { epochs: o.epochs, ...(o.patience !== undefined && { patience: o.patience }) };
    return {
      begin: async () => {
        this.#memory = await this.#handle.call((engine, id) => engine.begin(id, checkData(data), validation, length));
      },
      resume: (checkpoint) =>
        this.#handle.call((engine, id) => engine.resume(id, checkpoint as Bytes, checkData(data), validation)),
      checkpointEvery: o.checkpointEvery ?? CHECKPOINT_EVERY,
      signal: o.signal,
    };
  }

  /** Yields the steps of a run. A lost GPU does not end it, once for each checkpoint. */
  async *#resuming(run: Run): AsyncGenerator<StepReport, void, void> {
    let tried: Uint8Array | undefined;
    let reason: string | undefined;
    for (;;) {
      try {
        for await (const report of this.#steps(run.signal)) {
          if (report.step % run.checkpointEvery === 0) run.checkpoint = await this.checkpoint();
          yield reason === undefined ? report : { ...report, resumed: { reason, from: report.step - 1 } };
          reason = undefined;
        }
        return;
      } catch (error) {
        const { checkpoint } = run;
        if (!(error instanceof ConvokeError && error.code === "device-lost")) throw error;
        if (!checkpoint || checkpoint === tried) throw error;
        tried = checkpoint;
        await run.resume(checkpoint).catch(() => {
          throw error; // The cause of the loss says more than the lack of another device.
        });
        reason = error.message;
      }
    }
  }

  /** Yields steps. One step is always on its way, except while paused. */
  async *#steps(signal: AbortSignal | undefined): AsyncGenerator<StepReport, void, void> {
    const next = () => {
      const controls = { learningRate: this.#learningRate, batchSize: this.#batchSize };
      const step = this.#handle.call((engine, id) => engine.step(id, controls));
      step.catch(() => {}); // The next round of the loop handles its error.
      return step;
    };
    let running = next();
    try {
      for (;;) {
        const report = await running;
        signal?.throwIfAborted();
        if (!report) return;
        if (this.#gate.closed) {
          yield report;
          await this.#opened(signal);
          this.#handle.check();
          running = next();
        } else {
          running = next();
          yield report;
          signal?.throwIfAborted();
          if (this.#gate.closed) await this.#opened(signal);
        }
      }
    } finally {
      await running.catch(() => {});
    }
  }

  /** Waits while paused. Fails like a call to the engine when the worker crashes meanwhile. */
  #opened(signal: AbortSignal | undefined): Promise<void> {
    return this.#handle.connection.call(() => this.#gate.opened(signal));
  }
}

function checkFitOptions({ epochs, checkpointEvery, patience, validation }: FitOptions): void {
  checkWhole("epochs", epochs, "a whole number from 1");
  if (checkpointEvery !== undefined) checkWhole("checkpointEvery", checkpointEvery, "a whole number from 1");
  if (patience === undefined) return;
  checkWhole("patience", patience, "a whole number from 1");
  if (!validation) throw wrongArgument("validation", "some, to be patient with", "none");
}
