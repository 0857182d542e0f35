// The training form: what can be set before, and what also while it runs.
import type { AugmentOptions, Backend, OptimizerOptions, ScheduleOptions } from "convoke";
import type { Kind } from "./collection.js";
import { byId, make } from "./dom.js";

/** Networks for pictures of about 32x32, from the quickest to the slowest. */
const NETWORKS = [
  ["lenet5", "LeNet-5"],
  ["alexnet-cifar", "AlexNet, scaled"],
  ["nin", "Network in Network"],
  ["vgg9", "VGG, scaled"],
  ["googlenet-cifar", "GoogLeNet, scaled"],
  ["plain20", "Plain, 20 layers"],
  ["resnet20", "ResNet-20"],
  ["densenet22", "DenseNet, 22 layers"],
] as const;

export interface Settings {
  network: string;
  data: Kind;
  /** Epochs without a lower held-out loss after which the run ends; 0 for never. */
  patience: number;
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

/** Augmentations that keep the class of an image; digits are not mirrored. */
const AUGMENT: Record<string, AugmentOptions> = {
  none: {},
  move: { shift: 2, rotate: 10, scale: 0.1 },
  crop: { crop: 4, flip: true },
  colour: { crop: 4, flip: true, jitter: 0.2 },
  cutout: { crop: 4, flip: true, cutout: 8 },
  mixup: { crop: 2, mixup: 0.2 },
};

export interface SettingsForm {
  form: HTMLFormElement;
  /** Nothing when a value is not valid; the browser then says which. */
  read(): Settings | undefined;
  /** Shows the settings of a run that goes on. */
  write(settings: Settings): void;
  /** While training only the learning rate and the batch size stay editable. */
  lock(locked: boolean): void;
  onLearningRate(listener: (value: number) => void): void;
  onBatchSize(listener: (value: number) => void): void;
}

export function createSettings(): SettingsForm {
  const form = byId("settings", HTMLFormElement);
  const backend = byId("train-backend", HTMLSelectElement);
  const network = byId("train-network", HTMLSelectElement);
  const data = byId("train-data", HTMLSelectElement);
  const patience = byId("patience", HTMLInputElement);
  const optimizer = byId("optimizer", HTMLSelectElement);
  const schedule = byId("schedule", HTMLSelectElement);
  const augment = byId("augment", HTMLSelectElement);
  const seed = byId("seed", HTMLInputElement);
  const learningRate = byId("learning-rate", HTMLInputElement);
  const batchSize = byId("batch-size", HTMLInputElement);
  const epochs = byId("epochs", HTMLInputElement);

  network.append(...NETWORKS.map(([value, textContent]) => make("option", { value, textContent })));
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
        network: network.value,
        data: data.value as Kind,
        patience: patience.valueAsNumber,
        backend: backend.value as Backend,
        optimizer: {
          kind: optimizer.value as OptimizerOptions["kind"],
          learningRate: rate,
          ...(optimizer.value === "sgd" && { momentum: 0.9 }),
        },
        schedule: { kind: schedule.value as "constant" | "cosine" | "one-cycle" },
        augment: AUGMENT[augment.value] ?? {},
        seed: seed.valueAsNumber,
        learningRate: rate,
        batchSize: batchSize.valueAsNumber,
        epochs: epochs.valueAsNumber,
      };
    },
    write(settings) {
      network.value = settings.network;
      data.value = settings.data;
      optimizer.value = settings.optimizer.kind;
      schedule.value = settings.schedule.kind;
      const same = JSON.stringify(settings.augment);
      augment.value = Object.keys(AUGMENT).find((name) => JSON.stringify(AUGMENT[name]) === same) ?? "none";
      for (const [field, value] of [
        [patience, settings.patience],
        [seed, settings.seed],
        [learningRate, settings.learningRate],
        [batchSize, settings.batchSize],
        [epochs, settings.epochs],
      ] as const) {
        field.value = `${value}`;
      }
    },
    lock(locked) {
      const fixed = [network, data, patience, backend, optimizer, schedule, augment, seed, epochs];
      for (const field of fixed) field.disabled = locked;
    },
    onLearningRate: (listener) => onValid(learningRate, listener),
    onBatchSize: (listener) => onValid(batchSize, listener),
  };
}
