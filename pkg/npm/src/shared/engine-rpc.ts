// The contract between the page's classes and the engine, which runs in a worker or on the caller's own thread.
import type { Pixels } from "./pixels.js";
import type {
  Backend,
  Capabilities,
  Classification,
  EngineOptions,
  FileFormat,
  LayerTime,
  NetworkInfo,
  Progress,
  SelfTestOptions,
  SelfTestReport,
  StepReport,
  TensorData,
  TrainerOptions,
  TrainingMemory,
} from "./types.js";

export type Bytes = Uint8Array<ArrayBuffer>;

type OnProgress = (progress: Progress) => void;

/** The origin of a network: a file's bytes, or a name and a seed for fresh weights. */
export type NetworkOrigin =
  | { kind: "file"; bytes: Bytes }
  | { kind: "create"; name: string; classes: number | undefined; labels: string[] | undefined; seed?: number };

/** The part of `LoadOptions` that the engine needs, without functions and signals, which cannot be posted. */
export interface OpenOptions extends Omit<EngineOptions, "worker" | "onProgress" | "signal" | "wasmUrl"> {
  arch?: string;
  format?: FileFormat;
  wasmUrl?: string;
}

/** Settings that may change from one training step to the next. */
export interface StepControls {
  learningRate: number;
  batchSize: number;
}

/** `TrainingData` after its checks, with labels as whole numbers and no option left out. */
export interface CheckedData {
  images: Float32Array | Uint8Array;
  labels: Uint32Array;
  shape: number[];
  mean: number[];
  std: number[];
}

/** A network's number in the engine, and its description. */
export interface OpenedNetwork {
  id: number;
  info: NetworkInfo;
}

/** The three networks that a learner is made from. */
export interface TransferParts {
  /** A copy of the whole network, whose head is to be replaced. */
  base: OpenedNetwork;
  /** From an image to its embedding. */
  body: OpenedNetwork;
  /** From an embedding to classes. */
  head: OpenedNetwork;
}

/** A trainer's number in the engine, and its settings. */
export interface TrainerState extends StepControls {
  id: number;
  memory: TrainingMemory;
  backend: Backend;
  seed: number;
}

/**
 * The engine's methods, as the page calls them. Networks and trainers are named by numbers.
 *
 * Calls that concern one network run in the order in which they were made, each after the one before has ended. Every
 * method rejects with `ConvokeError`: `disposed` for a number that is not in use, `worker-crashed` after a trap.
 */
export interface EngineRpc {
  /** Holds the Web Lock `lock` for as long as the engine's thread lives. Returns false where there are no locks. */
  hold(lock: string): Promise<boolean>;

  /**
   * Starts the engine while a file is on its way, and warms it up until `open` or `abort` comes with this ticket. The
   * caller chooses the ticket, a number that no other load has.
   */
  prepare(ticket: number, options: OpenOptions, onProgress?: OnProgress): Promise<void>;

  /** Loads or creates a network. `abort` ends it by its ticket. */
  open(ticket: number, origin: NetworkOrigin, options: OpenOptions, onProgress?: OnProgress): Promise<OpenedNetwork>;

  /** Ends `prepare` or `open` with this ticket; without effect when both are done. */
  abort(ticket: number): Promise<void>;

  /** Returns the SHA-256 of `bytes` in hexadecimal, for pages whose browser does not hash (insecure contexts). */
  sha256(bytes: Bytes, options: OpenOptions): Promise<string>;

  /** Copies a network with its present weights to another backend. */
  move(id: number, backend: "auto" | Backend): Promise<OpenedNetwork>;

  /** Makes the parts of a learner. The head sees the features of layer `from`, by default the layer before the old head. */
  transfer(id: number, classes: string[], seed: number | undefined, from: string | undefined): Promise<TransferParts>;

  /** Joins the network `id` and the head of a learner into a new network. */
  withHead(id: number, head: number): Promise<OpenedNetwork>;

  /** Returns the logits `[N, classes]` for a batch `[N, C, H, W]` or for one image. */
  run(id: number, input: Pixels | TensorData): Promise<TensorData>;

  /** Returns the `top` likeliest classes of one image. */
  classify(id: number, image: Pixels | TensorData, top: number): Promise<Classification[]>;

  /** Returns the outputs of the named layers, each from a run of the part of the network that ends in it. */
  activations(id: number, image: Pixels | TensorData, layers: string[]): Promise<Record<string, TensorData>>;

  /** Returns the named weights. */
  weights(id: number, names: string[]): Promise<Record<string, TensorData>>;

  /** Returns the time of each step of one run on the CPU. */
  profile(id: number, image: Pixels | TensorData): Promise<LayerTime[]>;

  /** Compares each step with an exact one, on each backend of this machine. */
  selfTest(id: number, onProgress?: SelfTestOptions["onProgress"]): Promise<SelfTestReport>;

  /** Returns the network as a model file. */
  save(id: number, quantize?: "int8"): Promise<Bytes>;

  /** Returns the network as an ONNX file. */
  toOnnx(id: number): Promise<Bytes>;

  /** Frees a network and its trainer after the calls that were made before. */
  dispose(id: number): Promise<void>;

  /** Makes a trainer of a network's weights; an earlier trainer of that network is disposed of. */
  startTrainer(id: number, options: TrainerOptions): Promise<TrainerState>;

  /**
   * Gives trainer `id` its data and begins a run, or prolongs the present run if the data is equal. Returns the memory of
   * a step.
   */
  begin(id: number, data: CheckedData, validation: CheckedData | undefined, run: RunLength): Promise<TrainingMemory>;

  /** Resumes the run from its checkpoint, on a new device, after the GPU of trainer `id` was lost. */
  resume(id: number, checkpoint: Bytes): Promise<void>;

  /** Makes one training step. Returns nothing when the run is over; the network then has its final weights. */
  step(id: number, controls: StepControls): Promise<StepReport | undefined>;

  /** Returns a model file with the optimizer's state and the position in the run. */
  checkpoint(id: number): Promise<Bytes>;

  /** Gives the network its latest weights, then frees trainer `id`; without effect when it is freed already. */
  endTrainer(id: number): Promise<void>;

  /** Returns the bytes that are in use on the heaps of all builds and on the GPU. */
  liveBytes(): Promise<number>;

  /** Describes the machine; `worker` is where the engine runs, which only the page knows. */
  capabilities(worker: boolean): Promise<Capabilities>;

  /** Returns the names of the networks that `open` can create. */
  networks(): Promise<string[]>;
}

/** The end of a run. */
export interface RunLength {
  /** Epochs still to do; of a run that is resumed from a file, all its epochs. */
  epochs: number;
  /** Epochs without a lower validation loss after which the run ends; never by default. */
  patience?: number;
}
