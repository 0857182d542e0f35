// The training form: what can be set before, and what also while it runs.
import type { Backend, OptimizerOptions } from "convoke";
import { byId } from "./dom.js";

export interface Settings {
  backend: Backend;
  optimizer: OptimizerOptions;
  seed: number;
  learningRate: number;
  batchSize: number;
  epochs: number;
}

/** Fitting learning rates to start from. */
const RATES = { sgd: "0.005", adam: "0.001" };

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
        optimizer:
          optimizer.value === "adam"
            ? { kind: "adam", learningRate: rate }
            : { kind: "sgd", learningRate: rate, momentum: 0.9 },
        seed: seed.valueAsNumber,
        learningRate: rate,
        batchSize: batchSize.valueAsNumber,
        epochs: epochs.valueAsNumber,
      };
    },
    lock(locked) {
      for (const field of [backend, optimizer, seed, epochs]) field.disabled = locked;
    },
    onLearningRate: (listener) => onValid(learningRate, listener),
    onBatchSize: (listener) => onValid(batchSize, listener),
  };
}
