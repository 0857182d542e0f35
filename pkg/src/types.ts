// The types of the package's surface.

/** Where a network computes. */
export type Backend = "cpu" | "webgpu";

/** The builds of the CPU engine, from the one that runs everywhere to the fastest. */
export type Tier = "simd128" | "relaxed" | "threads";

/** How far a load is: bytes for `network` and `cache`, steps for `compile`, `convert` (ONNX files) and `plan`. */
export interface Progress {
  phase: "network" | "cache" | "compile" | "convert" | "plan";
  loaded: number;
  /** Absent when the server does not say. */
  total?: number;
}

/** How an engine is chosen and started. */
export interface EngineOptions {
  /** `auto` stays on the CPU unless a short measurement finds WebGPU faster. */
  backend?: "auto" | Backend;
  /** Forces a build of the CPU engine; the best one that runs here otherwise. */
  tier?: Tier;
  /** Threads of the `threads` tier; the number of processors, at most 8, otherwise. */
  threads?: number;
  /** Whether the engine runs in a worker: by default on pages, not in Node or inside your own worker. */
  worker?: boolean;
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
  /** The engine's wasm file; or, when it ends in `/`, the folder that has `<tier>/convoke_bg.wasm` and `onnx/convoke_bg.wasm`. */
  wasmUrl?: string | URL;
}

export type FileFormat = "safetensors" | "onnx";

export interface LoadOptions extends EngineOptions {
  /** The network whose weights a plain safetensors file holds (a name of `Network.networks()`). */
  arch?: string;
  /** What the file is; told by its first bytes otherwise. */
  format?: FileFormat;
  /** `sha256-` and the file's digest in base64 or hexadecimal; anything else is refused. */
  integrity?: string;
  /**
   * Whether files fetched by URL are kept in Cache Storage (default) and under which name. A kept file is not asked
   * for again: change the URL, the name or `integrity` when its content changes.
   */
  cache?: boolean | string;
}

export interface CreateOptions extends EngineOptions {
  /** Outputs of the last layer, or the names of as many classes. */
  classes?: number | readonly string[];
  /** The same seed gives the same weights. */
  seed?: number;
}

export type Source = string | URL | Response | Blob | ArrayBuffer | Uint8Array;

/** Numbers with a shape, row-major; batches of images are `[N, C, H, W]`. */
export interface TensorData {
  data: Float32Array;
  shape: number[];
}

/** RGBA bytes; an `ImageData` is one. */
export interface PixelData {
  data: Uint8ClampedArray | Uint8Array;
  width: number;
  height: number;
}

export type ImageSource =
  | PixelData
  | ImageBitmap
  | HTMLImageElement
  | HTMLCanvasElement
  | HTMLVideoElement
  | OffscreenCanvas
  | VideoFrame
  | Blob
  | TensorData;

export interface Classification {
  /** The class's name, or its index as text when the model has no names. */
  label: string;
  index: number;
  probability: number;
}

export interface LayerInfo {
  name: string;
  kind: string;
  /** Of its output, for one sample. */
  shape: number[];
  parameters: number;
  /** Multiply-accumulates for one sample. */
  macs: number;
}

/** How long a step of a run took. */
export interface LayerTime {
  /** The layer that the step begins with; layers fused into it have no time of their own. */
  name: string;
  kind: string;
  /** The algorithm of a layer with weights: `direct`, `winograd`, `depthwise` or `int8`. */
  algorithm?: string;
  milliseconds: number;
}

/** How far the outputs of a step were from exact ones. */
export interface LayerError {
  /** The layer that the step begins with; layers fused into it have no outputs of their own. */
  name: string;
  kind: string;
  /** The algorithm of a layer with weights, on the CPU only: `direct`, `winograd`, `depthwise` or `int8`. */
  algorithm?: string;
  /** The largest difference, as a share of the layer's largest exact value. Errors add up from layer to layer. */
  error: number;
}

export interface BackendCheck {
  backend: Backend;
  /** Whether every error is as small as rounding makes it: below 0.001. A wrong value is off by far more. */
  passed: boolean;
  worst: LayerError;
  /** Every step of the run. */
  layers: LayerError[];
}

/** What `selfTest` found on this machine. */
export interface SelfTestReport {
  backends: BackendCheck[];
  /** Whether WebGPU was among them, or why not. */
  webgpu: true | string;
}

export interface SelfTestOptions {
  /** `done` of `total` steps on this backend. */
  onProgress?: (progress: { backend: Backend; done: number; total: number }) => void;
}

/** What is known of a network once it is loaded. */
export interface NetworkInfo {
  name: string;
  backend: Backend;
  tier: Tier;
  why: string;
  threads: number;
  labels: string[];
  /** The shape of one input sample, `[C, H, W]`. */
  input: number[];
  parameters: number;
  macs: number;
  layers: LayerInfo[];
  /** What the file says about its training. */
  provenance: Record<string, unknown>;
  /** Of the checkpoint that it was loaded from. */
  interrupted?: InterruptedRun;
}

export type OptimizerOptions =
  | { kind: "sgd"; learningRate?: number; momentum?: number; nesterov?: boolean; weightDecay?: number }
  | {
      /** In `adamw` weights decay apart from the gradient, by 0.01 times the learning rate unless told otherwise. */
      kind: "adam" | "adamw";
      learningRate?: number;
      beta1?: number;
      beta2?: number;
      epsilon?: number;
      weightDecay?: number;
    }
  | {
      kind: "rmsprop";
      learningRate?: number;
      /** How long squared gradients are remembered: 0.99. */
      alpha?: number;
      momentum?: number;
      epsilon?: number;
      weightDecay?: number;
    };

export type LossOptions = { kind: "softmax-cross-entropy"; labelSmoothing?: number } | { kind: "binary-cross-entropy" };

export interface TrainerOptions {
  optimizer?: OptimizerOptions;
  loss?: LossOptions;
  batchSize?: number;
  /** Batches whose gradients are averaged for one step: as if they were one batch, in the memory of one. 1 by default. */
  accumulate?: number;
  /**
   * Computes activations again in the backward half rather than keep them: the same results in less memory, with about a
   * third more work. By default only where a step would not fit otherwise.
   */
  recompute?: boolean;
  /** Decides shuffling, augmentation and dropout: the same seed gives the same run. */
  seed?: number;
  augment?: AugmentOptions;
  schedule?: ScheduleOptions;
  /** Epochs over which the learning rate first rises from 0; the schedule has the rest of the run. */
  warmup?: number;
  /** When the norm of all gradients together is larger, they are scaled down to it. 0, no limit, by default. */
  clipNorm?: number;
  /** Layers that learn at another rate, or not at all; of several that name a layer the last counts. */
  groups?: LayerGroup[];
  /** The network's own otherwise. */
  backend?: Backend;
}

/** The run that a checkpoint goes on with: its options, with what was changed while it ran. */
export interface InterruptedRun extends Required<Omit<TrainerOptions, "backend">> {
  /** Its length. */
  epochs: number;
}

/** For the head alone: `[{ layers: "*", rate: 0 }, { layers: "fc", rate: 1 }]`. */
export interface LayerGroup {
  /** A layer's name, in which each `*` stands for any characters: `layer4.*`. */
  layers: string;
  /** The factor on the learning rate; 0 freezes. A frozen batch normalisation uses its running statistics. */
  rate: number;
}

/** How training images are varied at random. */
export interface AugmentOptions {
  /** Up to this many pixels in each direction. */
  shift?: number;
  /** Up to this many degrees either way. */
  rotate?: number;
  /** Larger or smaller by up to this fraction. */
  scale?: number;
  /** Mirrored left to right, every other time. */
  flip?: boolean;
  /** Moved by whole pixels, up to this many in each direction, with zeros around. */
  crop?: number;
  /** The side of a square, anywhere, that is hidden. */
  cutout?: number;
  /** Brightness, contrast and saturation times up to this fraction more or less; for images of bytes. */
  jitter?: number;
  /** Each image mixed with another, and their labels likewise, in shares from Beta(mixup, mixup): 0 to 1. */
  mixup?: number;
}

/** A factor on the learning rate, as a function of the epochs done; a rate set while running is scaled as well. */
export type ScheduleOptions =
  | { kind: "constant" }
  /** Half a cosine from 1 down to `floor` at the end of the run. */
  | { kind: "cosine"; floor?: number }
  /** Times `gamma` after every `every` epochs. */
  | { kind: "step"; every: number; gamma: number }
  /** Half a cosine from `start` (1/25) up to 1 over `rise` (0.3) of the run, then another down to `floor`. */
  | { kind: "one-cycle"; rise?: number; start?: number; floor?: number };

/** Labelled images. Floats are taken as the network wants them, bytes as 0 to 1 and padded to the network's size. */
export interface TrainingData {
  images: Float32Array | Uint8Array;
  labels: ArrayLike<number>;
  /** `[N, C, H, W]` */
  shape: readonly [number, number, number, number];
  /** Of bytes: subtracted from 0 to 1, for all channels or for each. `classify` then does the same. */
  mean?: number[];
  /** Of bytes: then divides. */
  std?: number[];
}

/** Bytes that a step takes: on the CPU, and about as many on a GPU. */
export interface TrainingMemory {
  weights: number;
  gradients: number;
  /** What the optimizer remembers. */
  optimizer: number;
  /** Activations and their gradients for a batch. */
  activations: number;
  /** Whether activations are computed again rather than kept. */
  recompute: boolean;
}

export interface FitOptions {
  /** So many more; of a run that goes on from a checkpoint, counted from its beginning. */
  epochs: number;
  /** Evaluated at the end of every epoch. */
  validation?: TrainingData;
  signal?: AbortSignal;
  /**
   * Epochs without a lower loss on `validation`, which it needs, after which the run ends. The network then has the
   * weights of the best epoch.
   */
  patience?: number;
  /** Steps between the checkpoints from which a crashed run can be continued; 100 by default. */
  checkpointEvery?: number;
}

export interface TransferOptions {
  /** Names of the new classes, 2 to 1000. */
  classes: string[];
  /** Decides the new head's first weights and the order of its training; 1 by default. */
  seed?: number;
  /**
   * The layer whose features the new head sees, averaged over a grid of 4x4; those before the old head by default. What
   * follows the layer is left out of the new network.
   */
  from?: string;
  /** The share of each class's images that is held out to tell how well the head does: 0 by default. */
  validation?: number;
}

export interface LearnOptions extends Pick<FitOptions, "signal"> {
  /** 30 by default. */
  epochs?: number;
  /** 0.01 by default. */
  learningRate?: number;
  /** Images in a step; 16 by default. */
  batchSize?: number;
}

export interface StepReport {
  /** Counts from 1 over the trainer's life. */
  step: number;
  /** Counts from 1. */
  epoch: number;
  /** The mean loss of the batch, before its update. */
  loss: number;
  /** The share of the batch that was classified rightly. */
  accuracy: number;
  learningRate: number;
  samplesPerSecond: number;
  /** In the last report of an epoch, when `validation` was given. */
  validation?: { loss: number; top1: number; top5: number };
  /** In the first report after the GPU was lost: how, and the step from which the run went on, on a new device. */
  resumed?: { reason: string; from: number };
}

export interface Capabilities {
  tier: Tier;
  why: string;
  threads: number;
  /** Whether WebGPU can be used, or why not. */
  webgpu: true | string;
  crossOriginIsolated: boolean;
  worker: boolean;
}
