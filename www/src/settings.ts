// The training form: what can be set before, and what also while it runs.
import type { AugmentOptions, Backend, OptimizerOptions, ScheduleOptions } from "convoke";
import { byId } from "./dom.js";

export interface Settings {
  backend: Backend;
  optimizer: OptimizerOptions;
  schedule: ScheduleOptions;
  augment: AugmentOptions;
  seed: number;
  learningRate: number;
  batchSize: number;
  epochs: number;
}

/** Fitting learning rates to start from. */
const RATES = { sgd: "0.005", adam: "0.001", adamw: "0.001", rmsprop: "0.001" };

/** How digits may be moved and still be the same digits. */
const MOVED: AugmentOptions = { shift: 2, rotate: 10, scale: 0.1 };

export interface SettingsForm {
  form: HTMLFormElement;
  /** Nothing when a value is not valid; the browser then says which. */
  read(): Settings | undefined;
  /** While training only the learning rate and the batch size stay editable. */
  lock(locked: boolean): void;
  onLearningRate(listener: (value: number) => void): void;
  onBatchSize(listener: (value: number) => void): void;
}

export function createSettings(): SettingsForm {
  const form = byId("settings", HTMLFormElement);
  const backend = byId("train-backend", HTMLSelectElement);
  const optimizer = byId("optimizer", HTMLSelectElement);
  const schedule = byId("schedule", HTMLSelectElement);
  const augment = byId("augment", HTMLSelectElement);
  const seed = byId("seed", HTMLInputElement);
  const learningRate = byId("learning-rate", HTMLInputElement);
  const batchSize = byId("batch-size", HTMLInputElement);
  const epochs = byId("epochs", HTMLInputElement);

  optimizer.addEventListener("change", () => {
    learningRate.value = RATES[optimizer.value as keyof typeof RATES];
  });

  const onValid = (input: HTMLInputElement, listener: (value: number) => void) =>
    input.addEventListener("change", () => {
      if (input.reportValidity()) listener(input.valueAsNumber);
    });

  return {
    form,
    read() {
      if (!form.reportValidity()) return undefined;
      const rate = learningRate.valueAsNumber;
      return {
        backend: backend.value as Backend,
        optimizer: {
          kind: optimizer.value as OptimizerOptions["kind"],
          learningRate: rate,
          ...(optimizer.value === "sgd" && { momentum: 0.9 }),
        },
        schedule: { kind: schedule.value as "constant" | "cosine" | "one-cycle" },
        augment: augment.value === "move" ? MOVED : {},
        seed: seed.valueAsNumber,
        learningRate: rate,
        batchSize: batchSize.valueAsNumber,
        epochs: epochs.valueAsNumber,
      };
    },
    lock(locked) {
      for (const field of [backend, optimizer, schedule, augment, seed, epochs]) field.disabled = locked;
    },
    onLearningRate: (listener) => onValid(learningRate, listener),
    onBatchSize: (listener) => onValid(batchSize, listener),
  };
}
