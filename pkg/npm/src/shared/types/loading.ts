// Options for files, networks and the engine.

/** Where a network computes. */
export type Backend = "cpu" | "webgpu";

/** The builds of the CPU engine, from the most portable to the fastest. */
export type Tier = "simd128" | "relaxed" | "threads";

/** The progress of a load: bytes in the phases `network` and `cache`, parts of 1 in the others. */
export interface Progress {
  /** The present phase. `convert` occurs with ONNX files only. */
  phase: "network" | "cache" | "compile" | "convert" | "plan";
  /** The part that is done. */
  loaded: number;
  /** The whole. Absent when the server does not announce a length. */
  total?: number;
}

/** Options that choose and start an engine. */
export interface EngineOptions {
  /**
   * The backend. `auto` stays on the CPU unless a short measurement finds WebGPU faster; `webgpu` fails where there is
   * none.
   *
   * @defaultValue `"auto"`
   * @example { backend: "webgpu" }
   */
  backend?: "auto" | Backend;
  /**
   * The build of the CPU engine. A build that does not run here is refused.
   *
   * @defaultValue the best build that runs here
   * @example { tier: "simd128" }
   */
  tier?: Tier;
  /**
   * Threads of the tier `threads`, 1 to 64.
   *
   * @defaultValue the number of processors, at most 8
   * @example { tier: "threads", threads: 4 }
   */
  threads?: number;
  /**
   * Whether the engine runs in a worker rather than on the caller's thread. By default it does where one may be started.
   *
   * @defaultValue `true` on pages, `false` in Node and inside workers
   * @example { worker: false }
   */
  worker?: boolean;
  /**
   * Called as the load proceeds.
   *
   * @defaultValue no reports
   * @example { onProgress: ({ phase, loaded, total }) => console.log(phase, loaded, total) }
   */
  onProgress?: (progress: Progress) => void;
  /**
   * Aborts the call, which then rejects with the signal's reason.
   *
   * @defaultValue no signal
   * @example { signal: AbortSignal.timeout(10_000) }
   */
  signal?: AbortSignal;
  /**
   * The engine's wasm file; or, when it ends in `/`, the folder of `<tier>/convoke_bg.wasm` and `onnx/convoke_bg.wasm`.
   *
   * @defaultValue the files beside the package's code
   * @example { wasmUrl: "https://static.example.org/convoke/" }
   */
  wasmUrl?: string | URL;
}

/** The formats of model files. */
export type FileFormat = "safetensors" | "onnx";

/** Options of `download`, and of `Network.load` for a source that is a URL. */
export interface DownloadOptions extends Pick<EngineOptions, "onProgress" | "signal"> {
  /**
   * `sha256-` and the file's digest in base64 or hexadecimal. Any other file is refused.
   *
   * @defaultValue no check
   * @example { integrity: "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" }
   */
  integrity?: string;
  /**
   * Whether the file is kept in Cache Storage, or the name of the cache. A kept file is not requested again: change the
   * URL, the name or `integrity` when its content changes.
   *
   * @defaultValue `true`
   * @example { cache: "models-2" }
   */
  cache?: boolean | string;
}

/** Options of `Network.load`. */
export interface LoadOptions extends EngineOptions, DownloadOptions {
  /**
   * The network whose weights a plain safetensors file holds: a name of `Network.networks()`.
   *
   * @defaultValue the network that the file describes, or else the one that the names and shapes of its tensors fit
   * @example { arch: "resnet18" }
   */
  arch?: string;
  /**
   * The format of the file.
   *
   * @defaultValue recognized by the first bytes
   * @example { format: "onnx" }
   */
  format?: FileFormat;
}

/** Options of `Network.create`. */
export interface CreateOptions extends EngineOptions {
  /**
   * The number of classes, or their names.
   *
   * @defaultValue the number of classes of the data set that the network was published with
   * @example { classes: ["cat", "dog"] }
   */
  classes?: number | readonly string[];
  /**
   * Decides the weights, a whole number below 2^32. A seed gives equal weights every time; `net.seed` is the number.
   *
   * @defaultValue a number drawn at random
   * @example { seed: 7 }
   */
  seed?: number;
}

/** Options of `net.save`. */
export interface SaveOptions {
  /**
   * Stores weights as integers of 8 bits with a scale for each output channel: a quarter of the size.
   *
   * @defaultValue floats of 32 bits
   * @example { quantize: "int8" }
   */
  quantize?: "int8";
  /**
   * Aborts the call, which then rejects with the signal's reason.
   *
   * @defaultValue no signal
   * @example { signal: AbortSignal.timeout(10_000) }
   */
  signal?: AbortSignal;
}

/** The source of a model file. In Node, text is a path or a URL. */
export type Source = string | URL | Response | Blob | ArrayBuffer | Uint8Array;
