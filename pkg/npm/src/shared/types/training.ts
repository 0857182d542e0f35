// Options and reports of training.
import type { Backend } from "./loading.js";
import type { LossOptions, OptimizerOptions, ScheduleOptions } from "./optimization.js";

/** Layers that learn at a rate of their own, or not at all. */
export interface LayerGroup {
  /**
   * A layer's name, in which each `*` stands for any characters.
   *
   * @example { layers: "layer4.*", rate: 1 }
   */
  layers: string;
  /**
   * The factor on the learning rate, at least 0. 0 freezes; a frozen batch normalization uses its running statistics.
   *
   * @example { layers: "*", rate: 0 }
   */
  rate: number;
}

/** Random variations of training images. Each image is varied anew in every epoch. */
export interface AugmentOptions {
  /**
   * Moves by up to this many pixels in each direction, 0 to 1000, fractions included.
   *
   * @defaultValue `0`
   * @example { shift: 2 }
   */
  shift?: number;
  /**
   * Turns by up to this many degrees either way, 0 to 180.
   *
   * @defaultValue `0`
   * @example { rotate: 10 }
   */
  rotate?: number;
  /**
   * Enlarges or shrinks by up to this fraction, 0 to 0.9.
   *
   * @defaultValue `0`
   * @example { scale: 0.1 }
   */
  scale?: number;
  /**
   * Mirrors every other image left to right, at random.
   *
   * @defaultValue `false`
   * @example { flip: true }
   */
  flip?: boolean;
  /**
   * Moves by up to this many whole pixels in each direction, 0 to 1000, with zeros around the image.
   *
   * @defaultValue `0`
   * @example { crop: 4, flip: true }
   */
  crop?: number;
  /**
   * The side of a square that is hidden, anywhere in the image, in pixels: 0 to 1000.
   *
   * @defaultValue `0`
   * @example { cutout: 8 }
   */
  cutout?: number;
  /**
   * Changes brightness, contrast and saturation by up to this fraction, 0 to 1. For images of bytes.
   *
   * @defaultValue `0`
   * @example { jitter: 0.4 }
   */
  jitter?: number;
  /**
   * Mixes each image and its label with another's in shares from Beta(mixup, mixup), 0 to 1; 0 mixes none.
   *
   * @defaultValue `0`
   * @example { mixup: 0.2 }
   */
  mixup?: number;
}

/** Options of `net.trainer`. Where a run is resumed from a checkpoint, its options are the defaults. */
export interface TrainerOptions {
  /**
   * The formula by which gradients become new weights.
   *
   * @defaultValue `{ kind: "sgd", learningRate: 0.01, momentum: 0.9 }`
   * @example { optimizer: { kind: "adam", learningRate: 0.001 } }
   */
  optimizer?: OptimizerOptions;
  /**
   * The function that training minimizes.
   *
   * @defaultValue `{ kind: "softmax-cross-entropy" }`
   * @example { loss: { kind: "softmax-cross-entropy", labelSmoothing: 0.1 } }
   */
  loss?: LossOptions;
  /**
   * Samples in a step, 1 to 65536. A smaller data set is one batch.
   *
   * @defaultValue `64`
   * @example { batchSize: 32 }
   */
  batchSize?: number;
  /**
   * Batches whose gradients are averaged for one step, 1 to 65536: the step of one large batch in the memory of a small
   * one. Batch normalization sees each batch alone.
   *
   * @defaultValue `1`
   * @example { batchSize: 16, accumulate: 4 }
   */
  accumulate?: number;

  /**
   * Whether the images at the end of an epoch that do not fill a batch are left out. By default a smaller batch trains on
   * them, as in PyTorch and Keras.
   * @defaultValue `false`
   * @example { batchSize: 64, dropLast: true }
   */
  dropLast?: boolean;
  /**
   * Whether activations are computed again in the backward pass rather than kept: equal results in less memory, with
   * about a third more work.
   *
   * @defaultValue `true` only where a step would not fit the memory otherwise
   * @example { recompute: true }
   */
  recompute?: boolean;
  /**
   * Decides shuffling, augmentation and dropout, a whole number below 2^32. Equal data, options and seed give equal
   * runs; `trainer.seed` is the number.
   *
   * @defaultValue a number drawn at random
   * @example { seed: 7 }
   */
  seed?: number;
  /**
   * Random variations of the images.
   *
   * @defaultValue none
   * @example { augment: { crop: 4, flip: true } }
   */
  augment?: AugmentOptions;
  /**
   * The course of the learning rate over the run.
   *
   * @defaultValue `{ kind: "constant" }`
   * @example { schedule: { kind: "step", every: 30, gamma: 0.1 } }
   */
  schedule?: ScheduleOptions;
  /**
   * Epochs over which the learning rate first rises from 0, 0 to 1000000. The schedule has the rest of the run.
   *
   * @defaultValue `0`
   * @example { warmup: 2, schedule: { kind: "cosine" } }
   */
  warmup?: number;
  /**
   * The largest norm of all gradients together, at least 0: larger ones are scaled down to it. 0 is no limit.
   *
   * @defaultValue `0`
   * @example { clipNorm: 1 }
   */
  clipNorm?: number;
  /**
   * Layers that learn at a rate of their own, or not at all. The last group that names a layer counts for it.
   *
   * @defaultValue `[]`: every layer learns
   * @example { groups: [{ layers: "*", rate: 0 }, { layers: "fc3", rate: 1 }] }
   */
  groups?: LayerGroup[];
  /**
   * The backend that trains.
   *
   * @defaultValue the network's own
   * @example { backend: "webgpu" }
   */
  backend?: Backend;
}

/** The options of the run that a checkpoint resumes, with the changes made while it ran. */
export interface InterruptedRun extends Required<Omit<TrainerOptions, "backend">> {
  /** The length of the whole run. */
  epochs: number;
}

/** Labelled images. Floats are taken as they are; bytes are scaled to 0 to 1 and padded to the network's size. */
export interface TrainingData {
  /**
   * The pixels of all images, `[N, C, H, W]`, row-major.
   *
   * @example { images: new Uint8Array(2 * 784), labels: [3, 7], shape: [2, 1, 28, 28] }
   */
  images: Float32Array | Uint8Array;
  /**
   * The class of each image, from 0.
   *
   * @example { images: new Uint8Array(2 * 784), labels: [3, 7], shape: [2, 1, 28, 28] }
   */
  labels: ArrayLike<number>;
  /**
   * The shape of `images`, `[N, C, H, W]`. Images of bytes have 1 or 3 channels.
   *
   * @example { images: new Float32Array(2 * 3072), labels: [0, 1], shape: [2, 3, 32, 32] }
   */
  shape: readonly [number, number, number, number];
  /**
   * Subtracted from bytes after their scaling to 0 to 1: one number, or one for each channel. `classify` then does so
   * too. Not for floats.
   *
   * @defaultValue `[]`: nothing is subtracted
   * @example { images: new Uint8Array(784), labels: [3], shape: [1, 1, 28, 28], mean: [0.13], std: [0.31] }
   */
  mean?: number[];
  /**
   * Divides bytes after `mean` was subtracted: one number, or one for each channel. Not for floats.
   *
   * @defaultValue `[]`: nothing is divided
   * @example { images: new Uint8Array(784), labels: [3], shape: [1, 1, 28, 28], mean: [0.13], std: [0.31] }
   */
  std?: number[];
}

/** The memory of a training step in bytes: on the CPU, and about as much on a GPU. */
export interface TrainingMemory {
  /** The weights. */
  weights: number;
  /** The gradients of the weights. */
  gradients: number;
  /** The optimizer's state. */
  optimizer: number;
  /** Activations and their gradients for a batch. */
  activations: number;
  /** Whether activations are computed again rather than kept. */
  recompute: boolean;
}

/** Options of `trainer.fit`. */
export interface FitOptions {
  /**
   * Epochs to train for, at least 1. In a run that was loaded from a checkpoint they count from its beginning.
   *
   * @example { epochs: 10 }
   */
  epochs: number;
  /**
   * Images that are evaluated at the end of every epoch, and never trained on.
   *
   * @defaultValue no validation
   * @example { epochs: 10, validation: heldOut }
   */
  validation?: TrainingData;
  /**
   * Ends the run after the present step. `fit` then throws the signal's reason; the weights stay.
   *
   * @defaultValue no signal
   * @example { epochs: 10, signal: AbortSignal.timeout(60_000) }
   */
  signal?: AbortSignal;
  /**
   * Epochs without a lower loss on `validation`, at least 1, after which the run ends. The network then has the weights
   * of the best epoch.
   *
   * @defaultValue no early end
   * @example { epochs: 100, validation: heldOut, patience: 5 }
   */
  patience?: number;
  /**
   * Steps from one checkpoint to the next, at least 1. A run that was lost resumes from the latest checkpoint.
   *
   * @defaultValue `100`
   * @example { epochs: 10, checkpointEvery: 500 }
   */
  checkpointEvery?: number;
}

/** The report of one training step. */
export interface StepReport {
  /** The number of the step, from 1, over the trainer's life. */
  step: number;
  /** The number of the epoch, from 1. */
  epoch: number;
  /** The mean loss of the batch, before the update. */
  loss: number;
  /** The share of the batch that was classified correctly, 0 to 1. */
  accuracy: number;
  /** The step size, after the schedule. */
  learningRate: number;
  /** Samples trained in a second. */
  samplesPerSecond: number;
  /** The evaluation of the validation data, in the last report of an epoch: shares from 0 to 1. */
  validation?: { loss: number; top1: number; top5: number };
  /** In the first report after a lost GPU: the reason, and the step from which the run was resumed. */
  resumed?: { reason: string; from: number };
}
