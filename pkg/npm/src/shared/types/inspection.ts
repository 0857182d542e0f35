// Descriptions and measurements of networks and of the machine.
import type { Backend, Tier } from "./loading.js";
import type { InterruptedRun } from "./training.js";

/** A layer of a network. */
export interface LayerInfo {
  /** The layer's name, unique in its network. */
  name: string;
  /** The layer's type: `conv2d`, `linear`, `relu`, … */
  kind: string;
  /** The shape of the layer's output for one sample, without the batch. */
  shape: number[];
  /** Number of parameters. */
  parameters: number;
  /** Multiply-accumulates for one sample. */
  macs: number;
}

/** The time of one step of a run. */
export interface LayerTime {
  /** The layer that the step begins with. Layers fused into the step have no time of their own. */
  name: string;
  /** The layer's type. */
  kind: string;
  /** The algorithm of a layer with weights: `direct`, `winograd`, `depthwise` or `int8`. */
  algorithm?: string;
  /** The duration, in milliseconds. */
  milliseconds: number;
}

/** The distance of one step's outputs from exact ones. */
export interface LayerError {
  /** The layer that the step begins with. Layers fused into the step have no outputs of their own. */
  name: string;
  /** The layer's type. */
  kind: string;
  /** The algorithm of a layer with weights, on the CPU only: `direct`, `winograd`, `depthwise` or `int8`. */
  algorithm?: string;
  /** The largest difference, as a share of the layer's largest exact value. Errors add up from layer to layer. */
  error: number;
}

/** The self-test of one backend. */
export interface BackendCheck {
  /** The tested backend. */
  backend: Backend;
  /** Whether every error is as small as rounding makes it, below 0.001. A wrong value is off by far more. */
  passed: boolean;
  /** The step with the largest error. */
  worst: LayerError;
  /** Every step of the run. */
  layers: LayerError[];
}

/** The self-test of this machine. */
export interface SelfTestReport {
  /** The CPU, then WebGPU where there is one. */
  backends: BackendCheck[];
  /** `true` if WebGPU was tested, else the reason why not. */
  webgpu: true | string;
}

/** Options of `selfTest`. */
export interface SelfTestOptions {
  /**
   * Called after each step: `done` of `total` steps on this backend.
   *
   * @defaultValue no reports
   * @example { onProgress: ({ backend, done, total }) => console.log(backend, done / total) }
   */
  onProgress?: (progress: { backend: Backend; done: number; total: number }) => void;
}

/** The description of a loaded network. */
export interface NetworkInfo {
  /** The network's name. */
  name: string;
  /** The backend that runs the network. */
  backend: Backend;
  /** The build of the CPU engine. */
  tier: Tier;
  /** The reason for this backend and this tier, in a sentence. */
  why: string;
  /** The threads of the CPU engine. */
  threads: number;
  /** The names of the classes, or their indices as text. */
  labels: string[];
  /** The shape of one input sample, `[C, H, W]`. */
  input: number[];
  /**
   * The meaning of the main output: numbers whose softmax are probabilities, probabilities with sum 1 (the network ends
   * in a softmax), or a probability for each class by itself (it ends in a sigmoid).
   */
  output: "logits" | "probabilities" | "independent-probabilities";
  /** Number of parameters. */
  parameters: number;
  /** Multiply-accumulates for one sample. */
  macs: number;
  /** The network's layers. */
  layers: LayerInfo[];
  /** The file's notes about its training. */
  provenance: Record<string, unknown>;
  /** The seed of the weights, where the network was created with fresh ones. */
  seed?: number;
  /** The interrupted run, where the network was loaded from a checkpoint. */
  interrupted?: InterruptedRun;
}

/** The abilities of this machine. */
export interface Capabilities {
  /** The best tier that runs here. */
  tier: Tier;
  /** The reason for this tier, in a sentence. */
  why: string;
  /** The threads that a network gets by default. */
  threads: number;
  /** `true` if WebGPU can be used, else the reason why not. */
  webgpu: true | string;
  /** Whether the page is cross-origin isolated, which threads need. */
  crossOriginIsolated: boolean;
  /** Whether the engine runs in a worker. */
  worker: boolean;
}
