import type { Connection } from "./connection.js";
import type { FitData, TrainerState } from "./engine.js";
import { ConvokeError, wrongArgument } from "./errors.js";
import type { Network } from "./network.js";
import type { Backend, FitOptions, StepReport, TrainingData, TrainingMemory } from "./types.js";

const CHECKPOINT_EVERY = 100;

/** What takes the weights of the running training with it. */
const LOSSES: readonly string[] = ["worker-crashed", "device-lost"];

/** The last checkpoint of a run. */
interface Kept {
  checkpoint?: Uint8Array;
}

/** Trains a network, step by step, and can be steered while it does. */
export class Trainer implements Disposable {
  /** The network being trained: it answers with the weights of the latest step. */
  readonly network: Network;
  /** Where it trains. */
  readonly backend: Backend;
  #connection: Connection;
  #id: number;
  #memory: TrainingMemory;
  #learningRate: number;
  #batchSize: number;
  #running = false;
  #disposed = false;
  #gate = new Gate();

  private constructor(network: Network, connection: Connection, state: TrainerState) {
    this.network = network;
    this.backend = state.backend;
    this.#memory = state.memory;
    this.#connection = connection;
    this.#id = state.id;
    this.#learningRate = state.learningRate;
    this.#batchSize = state.batchSize;
  }

  /** @internal */
  static of(network: Network, connection: Connection, state: TrainerState): Trainer {
    return new Trainer(network, connection, state);
  }

  /** What a step takes, with the batch size that it began with. What does not fit is refused by `fit`. */
  get memory(): TrainingMemory {
    return this.#memory;
  }

  /** The step size, before the schedule; a new one counts from the next step. */
  get learningRate(): number {
    return this.#learningRate;
  }
  set learningRate(rate: number) {
    if (!(Number.isFinite(rate) && rate >= 0))
      throw wrongArgument("learningRate", "a finite number of at least 0", rate);
    this.#learningRate = rate;
  }

  /** Samples in a step; a new size counts from the next step. */
  get batchSize(): number {
    return this.#batchSize;
  }
  set batchSize(size: number) {
    if (!(Number.isInteger(size) && size >= 1 && size <= 65536)) throw wrongArgument("batchSize", "1 to 65536", size);
    this.#batchSize = size;
  }

  get paused(): boolean {
    return this.#gate.closed;
  }

  /** Holds `fit` after the step that is running. */
  pause(): void {
    this.#gate.close();
  }

  resume(): void {
    this.#gate.open();
  }

  /**
   * Trains for `epochs` more epochs and reports every step. While one report is looked at the next step runs. Leaving
   * the loop, or an abort, stops after that step; its weights stay. A run that goes on from a checkpoint counts `epochs`
   * from its beginning, so the call that was interrupted comes to the same end.
   *
   * After a lost GPU the run resumes from its last checkpoint on a new device, and the next report says so. A second loss
   * before a further checkpoint ends it.
   *
   * @throws ConvokeError `format` when a checkpoint's run had other data: the checkpoint stays, `fit` it with its own.
   * @throws ConvokeError `worker-crashed` or `device-lost`, whose `checkpoint` `Network.load` continues from.
   */
  async *fit(data: TrainingData, o: FitOptions): AsyncGenerator<StepReport, void, void> {
    const { signal, checkpointEvery = CHECKPOINT_EVERY } = o;
    signal?.throwIfAborted();
    if (!(Number.isInteger(o.epochs) && o.epochs >= 1))
      throw wrongArgument("epochs", "a whole number from 1", o.epochs);
    if (!(Number.isInteger(checkpointEvery) && checkpointEvery >= 1)) {
      throw wrongArgument("checkpointEvery", "a whole number from 1", checkpointEvery);
    }
    const { patience } = o;
    if (patience !== undefined && !(Number.isInteger(patience) && patience >= 1)) {
      throw wrongArgument("patience", "a whole number from 1", patience);
    }
    if (patience !== undefined && !o.validation) throw wrongArgument("validation", "some, to be patient with", "none");
    if (this.#running) throw new ConvokeError("argument", "fit: expected one run at a time, got a second one");
    this.#check();
    this.#running = true;
    const kept: Kept = {};
    try {
      const validation = o.validation && portableData(o.validation);
      const { epochs } = o;
      this.#memory = await this.#call((engine, id) =>
        engine.begin(id, portableData(data), validation, epochs, patience),
      );
      kept.checkpoint = await this.checkpoint();
      const goOn = (checkpoint: Uint8Array) =>
        this.#call((engine, id) =>
          engine.goOn(id, checkpoint as Uint8Array<ArrayBuffer>, portableData(data), validation),
        );
      yield* this.#surviving(kept, checkpointEvery, goOn, signal);
    } catch (error) {
      if (error instanceof ConvokeError && LOSSES.includes(error.code) && kept.checkpoint)
        error.checkpoint = kept.checkpoint;
      throw error;
    } finally {
      this.#running = false;
    }
  }

  /** A model file that also holds the optimizer's state and where the run is. */
  async checkpoint(): Promise<Uint8Array> {
    return this.#call((engine, id) => engine.checkpoint(id));
  }

  /** Frees the trainer's memory; the network keeps the weights. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#gate.open();
    this.#connection.call((engine) => engine.endTrainer(this.#id)).catch(() => {});
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** The steps of a run that a lost GPU does not end, once for each checkpoint. */
  async *#surviving(
    kept: Kept,
    checkpointEvery: number,
    goOn: (checkpoint: Uint8Array) => Promise<void>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<StepReport, void, void> {
    let tried: Uint8Array | undefined;
    let reason: string | undefined;
    for (;;) {
      try {
        for await (const report of this.#steps(signal)) {
          if (report.step % checkpointEvery === 0) kept.checkpoint = await this.checkpoint();
          yield reason === undefined ? report : { ...report, resumed: { reason, from: report.step - 1 } };
          reason = undefined;
        }
        return;
      } catch (error) {
        const { checkpoint } = kept;
        if (!(error instanceof ConvokeError && error.code === "device-lost")) throw error;
        if (!checkpoint || checkpoint === tried) throw error;
        tried = checkpoint;
        await goOn(checkpoint).catch(() => {
          throw error; // How it was lost says more than that there is no other.
        });
        reason = error.message;
      }
    }
  }

  /** One step is always on its way, except while paused. */
  async *#steps(signal: AbortSignal | undefined): AsyncGenerator<StepReport, void, void> {
    const next = () => {
      const controls = { learningRate: this.#learningRate, batchSize: this.#batchSize };
      const step = this.#call((engine, id) => engine.step(id, controls));
      step.catch(() => {}); // It is looked at one round later.
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
          this.#check();
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

  /** Waits while paused; the engine's worker may crash meanwhile, and then this fails as a call to it would. */
  #opened(signal: AbortSignal | undefined): Promise<void> {
    return this.#connection.call(() => this.#gate.opened(signal));
  }

  #check(): void {
    if (this.#disposed) throw new ConvokeError("disposed", "the trainer was disposed of");
  }

  async #call<T>(
    work: (engine: Parameters<Parameters<Connection["call"]>[0]>[0], id: number) => Promise<T> | T,
  ): Promise<T> {
    this.#check();
    return this.#connection.call((engine) => work(engine, this.#id));
  }
}

/** Open or closed; waiting for it ends when it opens or the signal aborts. */
class Gate {
  #waiting: (() => void)[] | undefined;

  get closed(): boolean {
    return this.#waiting !== undefined;
  }

  close(): void {
    this.#waiting ??= [];
  }

  open(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const go of waiting) go();
  }

  opened(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      if (!this.#waiting) return resolve();
      const abort = () => reject(signal?.reason);
      signal?.addEventListener("abort", abort, { once: true });
      this.#waiting.push(() => {
        signal?.removeEventListener("abort", abort);
        resolve();
      });
    });
  }
}

function portableData({ images, labels, shape, mean = [], std = [] }: TrainingData): FitData {
  if (!(images instanceof Uint8Array || images instanceof Float32Array)) {
    throw wrongArgument("images", "a Uint8Array or Float32Array", typeof images);
  }
  const wanted = shape?.length === 4 && shape.every((d) => Number.isInteger(d) && d >= 0 && d < 2 ** 31);
  if (!wanted) throw wrongArgument("shape", "[N, C, H, W]", JSON.stringify(shape));
  if (labels.length !== shape[0]) throw wrongArgument("labels", `${shape[0]}, as many as images`, labels.length);
  const whole = new Uint32Array(labels.length);
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i]!;
    if (!Number.isInteger(label) || label < 0 || label >= 2 ** 32) {
      const text = `label ${label} of sample ${i}: expected a whole number from 0`;
      throw new ConvokeError("label", text, { index: i, label, expected: "a whole number from 0", actual: `${label}` });
    }
    whole[i] = label;
  }
  return { images, labels: whole, shape: [...shape], mean, std };
}
