import type { Gate } from "./gate.js";
import type { Handle } from "./handle.js";
import type { Bytes, CheckedData, RunLength, StepControls } from "./shared/engine-rpc.js";
import { ConvokeError } from "./shared/errors.js";
import type { FitOptions, StepReport, TrainingData, TrainingMemory } from "./shared/types.js";
import { buffersOf, takeData } from "./training-data.js";

const CHECKPOINT_EVERY = 100;

/** Errors that take the weights of the present run with them. */
const LOSSES: readonly string[] = ["worker-crashed", "device-lost"];

/** One call of `fit`: it steps a trainer in the engine, keeps the latest checkpoint, and resumes after a lost GPU. */
export class FitRun {
  #trainer: Handle;
  #gate: Gate;
  #controls: () => StepControls;
  #data: CheckedData | undefined;
  #validation: CheckedData | undefined;
  #length: RunLength;
  #checkpointEvery: number;
  #signal: AbortSignal | undefined;
  #checkpoint: Uint8Array | undefined;

  /** Takes the data as it is now. The run is held while `gate` is closed. `controls` is called before every step. */
  constructor(trainer: Handle, gate: Gate, controls: () => StepControls, data: TrainingData, o: FitOptions) {
    this.#trainer = trainer;
    this.#gate = gate;
    this.#controls = controls;
    this.#data = takeData(data);
    this.#validation = o.validation && takeData(o.validation);
    this.#length = { epochs: o.epochs, ...(o.patience !== undefined && { patience: o.patience }) };
    this.#checkpointEvery = o.checkpointEvery ?? CHECKPOINT_EVERY;
    this.#signal = o.signal;
  }

  /** Gives the trainer its data and keeps a first checkpoint. Returns the memory of a step. */
  async begin(): Promise<TrainingMemory> {
    const { connection } = this.#trainer;
    const [data, validation] = [this.#data, this.#validation].map((d) => d && connection.transfer(d, buffersOf(d)));
    // The engine has the data from here on.
    this.#data = undefined;
    this.#validation = undefined;
    const memory = await this.#trainer.call((engine, id) => engine.begin(id, data!, validation, this.#length));
    await this.#keepCheckpoint();
    return memory;
  }

  /** Yields the reports of the steps. An error that took the weights with it gets the latest checkpoint. */
  async *reports(): AsyncGenerator<StepReport, void, void> {
    try {
      yield* this.#resuming();
    } catch (error) {
      if (error instanceof ConvokeError && LOSSES.includes(error.code) && this.#checkpoint)
        error.checkpoint = this.#checkpoint;
      throw error;
    }
  }

  /** Yields the steps of a run. A lost GPU does not end it, once for each checkpoint. */
  async *#resuming(): AsyncGenerator<StepReport, void, void> {
    let tried: Uint8Array | undefined;
    let reason: string | undefined;
    for (;;) {
      try {
        for await (const report of this.#steps()) {
          if (report.step % this.#checkpointEvery === 0) await this.#keepCheckpoint();
          yield reason === undefined ? report : { ...report, resumed: { reason, from: report.step - 1 } };
          reason = undefined;
        }
        return;
      } catch (error) {
        const checkpoint = this.#checkpoint;
        if (!(error instanceof ConvokeError && error.code === "device-lost")) throw error;
        if (!checkpoint || checkpoint === tried) throw error;
        tried = checkpoint;
        await this.#resume(checkpoint).catch(() => {
          throw error; // The cause of the loss says more than the lack of another device.
        });
        reason = error.message;
      }
    }
  }

  /** Yields steps. One step is always on its way, except while paused. */
  async *#steps(): AsyncGenerator<StepReport, void, void> {
    const signal = this.#signal;
    let running = this.#step();
    try {
      for (;;) {
        const report = await running;
        signal?.throwIfAborted();
        if (!report) return;
        if (this.#gate.closed) {
          yield report;
          await this.#opened();
          this.#trainer.check();
          running = this.#step();
        } else {
          running = this.#step();
          yield report;
          signal?.throwIfAborted();
          if (this.#gate.closed) await this.#opened();
        }
      }
    } finally {
      await running.catch(() => {});
    }
  }

  #step(): Promise<StepReport | undefined> {
    const controls = this.#controls();
    const step = this.#trainer.call((engine, id) => engine.step(id, controls));
    step.catch(() => {}); // The next round of the loop handles its error.
    return step;
  }

  async #keepCheckpoint(): Promise<void> {
    this.#checkpoint = await this.#trainer.call((engine, id) => engine.checkpoint(id));
  }

  /** Continues the engine's run from a checkpoint, on a new device. */
  async #resume(checkpoint: Uint8Array): Promise<void> {
    await this.#trainer.call((engine, id) => engine.resume(id, checkpoint as Bytes));
  }

  /** Waits while paused. Fails like a call to the engine when the worker crashes meanwhile. */
  #opened(): Promise<void> {
    return this.#trainer.connection.call(() => this.#gate.opened(this.#signal));
  }
}
