// Networks and trainers by number, over one wasm instance. Runs in the worker, or on the caller's own thread.
import { digest } from "./download.js";
import { ConvokeError, fromEngine, message, wrongArgument } from "./errors.js";
import { modelToOnnx, onnxToModel } from "./onnx.js";
import { type Pixels, pixelsOf } from "./pixels.js";
import { transfer } from "./rpc.js";
import { startThreads } from "./threads.js";
import { type Build, chooseTier, loadBuild, type Pool, type ThreadedWasm, type Wasm } from "./tiers.js";
import type {
  Backend,
  BackendCheck,
  Capabilities,
  Classification,
  EngineOptions,
  FileFormat,
  InterruptedRun,
  LayerError,
  LayerTime,
  NetworkInfo,
  Progress,
  SelfTestOptions,
  SelfTestReport,
  StepReport,
  TensorData,
  Tier,
  TrainerOptions,
  TrainingMemory,
} from "./types.js";

type Bytes = Uint8Array<ArrayBuffer>;
type WasmNetwork = import("../wasm/simd128/convoke.js").Network;
type WasmTrainer = import("../wasm/simd128/convoke.js").Trainer;

/** The options as the engine knows them: the learning rate beside the optimizer. */
type EngineConfig = InterruptedRun & { learningRate: number };

/** What a network is made from. */
export type Origin =
  | { kind: "file"; bytes: Bytes }
  | { kind: "create"; name: string; classes: number | undefined; labels: string[] | undefined; seed: number };

/** `LoadOptions` as far as they can cross to the worker. */
export interface OpenOptions extends Omit<EngineOptions, "worker" | "onProgress" | "signal" | "wasmUrl"> {
  arch?: string;
  format?: FileFormat;
  wasmUrl?: string;
}

/** What may change from one training step to the next. */
export interface StepControls {
  learningRate: number;
  batchSize: number;
}

/** `TrainingData`, checked. */
export interface FitData {
  images: Float32Array | Uint8Array;
  labels: Uint32Array;
  shape: number[];
  mean: number[];
  std: number[];
}

/** A network by its number, with what is known of it. */
export interface Opened {
  id: number;
  info: NetworkInfo;
}

/** The parts from which a learner is made. */
export interface Transfer {
  base: Opened;
  head: Opened;
  body: Opened;
}

/** A trainer as the page needs to know it. */
export interface TrainerState extends StepControls {
  id: number;
  memory: TrainingMemory;
  backend: Backend;
}

interface Runtime extends Build {
  tier: Tier;
  why: string;
  threads: number;
  pool: Pool;
  wasmUrl: string | undefined;
  warm?: boolean;
}

interface Entry {
  runtime: Runtime;
  network: WasmNetwork;
  why: string;
  /** The trainer that has the latest weights, if there is one. */
  training: Training | undefined;
  /** Calls of one network run one after the other: the engine is borrowed until a call is done. */
  tail: Promise<unknown>;
}

interface Training {
  trainer: WasmTrainer;
  backend: Backend;
  hasValidation: boolean;
  /** The epochs of its run. */
  end: number;
  patience: number;
  /** The lowest validation loss, and the epochs since. */
  best: { loss: number; since: number };
  /** Whether it has made a step since the network got its weights. */
  ahead: boolean;
  /** How it was lost with its GPU: every later call fails so too. */
  lost?: unknown;
}

/** A run that takes less than this is never moved to a GPU: reading back a result takes about as long. */
const FAST_ENOUGH_MS = 3;

/** A file that takes longer than this to come is waited for with a warm-up, which goes on for so long at most. */
const WAIT_MS = 500;
const WARM_MS = 1000;

/** Errors of layers below this are taken for rounding. */
const ROUNDING = 1e-3;

export class Engine {
  #runtimes = new Map<string, Promise<Runtime>>();
  #opening = new Map<number, AbortController>();
  #entries = new Map<number, Entry>();
  /** Trainers, and the networks they train. */
  #trainers = new Map<number, { network: number; training: Training }>();
  #last = 0;

  /** Starts while a file is on its way, and warms up until `open` or `abort` comes with this ticket. */
  async prepare(ticket: number, o: OpenOptions, onProgress?: (p: Progress) => void): Promise<void> {
    const control = new AbortController();
    this.#opening.set(ticket, control);
    await warmUp(await this.#runtime(o, onProgress), control.signal);
  }

  /** Loads or creates a network; `ticket` is what `abort` knows it by. */
  async open(ticket: number, origin: Origin, o: OpenOptions, onProgress?: (p: Progress) => void): Promise<Opened> {
    this.abort(ticket);
    const control = new AbortController();
    this.#opening.set(ticket, control);
    try {
      const runtime = await this.#runtime(o, onProgress);
      control.signal.throwIfAborted();
      const network = await guarded(runtime.wasm, async () =>
        origin.kind === "create"
          ? createModel(runtime, origin)
          : loadModel(runtime, await modelOf(origin.bytes, o, onProgress), o.arch),
      );
      onProgress?.({ phase: "plan", loaded: 0, total: 1 });
      const entry = await this.#planned(runtime, network, o.backend ?? "auto");
      if (control.signal.aborted) network.free();
      control.signal.throwIfAborted();
      onProgress?.({ phase: "plan", loaded: 1, total: 1 });
      return this.#register(entry);
    } finally {
      this.#opening.delete(ticket);
    }
  }

  abort(ticket: number): void {
    this.#opening.get(ticket)?.abort();
    this.#opening.delete(ticket);
  }

  /** For pages that the browser refuses it to. */
  async sha256(bytes: Bytes, o: OpenOptions): Promise<string> {
    return (await this.#runtime(o)).wasm.sha256(bytes);
  }

  /** The same weights in a new network on another backend. */
  async move(id: number, backend: "auto" | Backend): Promise<Opened> {
    const entry = await this.#with(id, (e) => this.#planned(e.runtime, e.network.copy(), backend));
    return this.#register(entry);
  }

  /** A copy of the network as it is now, what comes before its head, and a new head, each as a network of its own. */
  async transfer(id: number, classes: string[], seed: number, from: string | undefined): Promise<Transfer> {
    const entries = await this.#with(id, async ({ runtime, network }) => {
      const backend = network.backend as Backend;
      const base = from === undefined ? network.copy() : network.cut(from);
      const made: Entry[] = [{ runtime, network: base, why: "", training: undefined, tail: Promise.resolve() }];
      try {
        made.push(await this.#planned(runtime, base.newHead(classes, seed), backend));
        made.push(await this.#planned(runtime, base.body(), backend));
      } catch (error) {
        for (const entry of made) entry.network.free();
        throw error;
      }
      return made;
    });
    const [base, head, body] = entries.map((entry) => this.#register(entry));
    return { base: base!, head: head!, body: body! };
  }

  /** The network with a head that `transfer` made, as a new network. */
  async withHead(id: number, head: number): Promise<Opened> {
    const entry = await this.#with(id, (base) =>
      this.#with(head, ({ runtime, network }) =>
        this.#planned(runtime, base.network.withHead(network), network.backend as Backend),
      ),
    );
    return this.#register(entry);
  }

  async run(id: number, input: Pixels | TensorData): Promise<TensorData> {
    const pixels = "shape" in input ? undefined : await pixelsOf(input);
    const run = ({ network }: Entry) => {
      const x = inputOf(network, input, pixels);
      return network.run(x.data, Uint32Array.from(x.shape));
    };
    const { data, shape } = await this.#with(id, (entry) => recovering(entry, run));
    return transfer({ data, shape }, [data.buffer]);
  }

  async classify(id: number, image: Pixels | TensorData, top: number): Promise<Classification[]> {
    const pixels = "shape" in image ? undefined : await pixelsOf(image);
    const classify = ({ network }: Entry) =>
      pixels
        ? network.classifyPixels(pixels.data, pixels.width, pixels.height, top)
        : network.classify((image as TensorData).data, Uint32Array.from((image as TensorData).shape), top);
    return this.#with(id, (entry) => recovering(entry, classify));
  }

  /** The outputs of these layers, each from a run of the part of the network that ends in it. */
  async activations(id: number, image: Pixels | TensorData, layers: string[]): Promise<Record<string, TensorData>> {
    const pixels = "shape" in image ? undefined : await pixelsOf(image);
    const of = async ({ network }: Entry) => {
      const x = inputOf(network, image, pixels);
      const result: Record<string, TensorData> = {};
      for (const layer of layers) {
        const part = network.until(layer);
        try {
          await part.plan(network.backend);
          result[layer] = await part.run(x.data, Uint32Array.from(x.shape));
        } finally {
          part.free();
        }
      }
      return result;
    };
    return transferAll(await this.#with(id, (entry) => recovering(entry, of)));
  }

  weights(id: number, names: string[]): Promise<Record<string, TensorData>> {
    return this.#with(id, ({ network }) => {
      const result = Object.fromEntries(names.map((name) => [name, network.weight(name)]));
      return transferAll(result);
    });
  }

  async profile(id: number, image: Pixels | TensorData): Promise<LayerTime[]> {
    const pixels = "shape" in image ? undefined : await pixelsOf(image);
    return this.#with(id, ({ network }) => {
      const x = inputOf(network, image, pixels);
      return network.profile(x.data, Uint32Array.from(x.shape));
    });
  }

  async selfTest(id: number, onProgress?: SelfTestOptions["onProgress"]): Promise<SelfTestReport> {
    const available = await webgpu();
    const check = async ({ network }: Entry, backend: Backend): Promise<BackendCheck> => {
      const progress = (done: number, total: number) => onProgress?.({ backend, done, total });
      const layers: LayerError[] = await network.selfTest(backend, progress);
      const worst = layers.reduce((a, b) => (b.error > a.error ? b : a));
      return { backend, passed: worst.error < ROUNDING, worst, layers };
    };
    return this.#with(id, (entry) =>
      recovering(entry, async () => {
        const backends = [await check(entry, "cpu")];
        if (available !== true) return { backends, webgpu: available };
        try {
          backends.push(await check(entry, "webgpu"));
          return { backends, webgpu: true };
        } catch (error) {
          // A GPU that cannot run this network is part of the answer, unless the network runs there.
          if (entry.network.backend === "webgpu") throw error;
          return { backends, webgpu: message(error) };
        }
      }),
    );
  }

  async save(id: number, quantize?: "int8"): Promise<Bytes> {
    if (quantize !== undefined && quantize !== "int8") throw wrongArgument("quantize", "int8 or nothing", quantize);
    const bytes = await this.#with(id, ({ network }) => network.save(quantize));
    return transfer(bytes, [bytes.buffer]);
  }

  async toOnnx(id: number): Promise<Bytes> {
    const { wasmUrl, model } = await this.#with(id, ({ runtime: { wasmUrl }, network }) => ({
      wasmUrl,
      model: network.save(),
    }));
    const bytes = await modelToOnnx(model, wasmUrl);
    return transfer(bytes, [bytes.buffer]);
  }

  dispose(id: number): void {
    const entry = this.#entries.get(id);
    if (!entry) return;
    this.#entries.delete(id);
    // After what was asked for before.
    void entry.tail.then(() => {
      this.#freeTrainer(entry);
      entry.network.free();
    });
  }

  async startTrainer(id: number, o: TrainerOptions): Promise<TrainerState> {
    return this.#with(id, async (entry) => {
      const backend = o.backend ?? (entry.network.backend as Backend);
      if (backend === "webgpu") await requireWebgpu();
      const trainer = await entry.runtime.wasm.Trainer.start(entry.network, config(o), backend);
      this.#freeTrainer(entry);
      const best = { loss: Number.POSITIVE_INFINITY, since: 0 };
      entry.training = {
        trainer,
        backend,
        hasValidation: false,
        end: 0,
        patience: Number.POSITIVE_INFINITY,
        best,
        ahead: false,
      };
      const number = ++this.#last;
      this.#trainers.set(number, { network: id, training: entry.training });
      const { learningRate, batchSize, memory } = trainer;
      return { id: number, backend, learningRate, batchSize, memory };
    });
  }

  /** Gives a trainer its data and the length of the run; says what a step takes. */
  begin(
    id: number,
    data: FitData,
    validation: FitData | undefined,
    epochs: number,
    patience: number = Number.POSITIVE_INFINITY,
  ): Promise<TrainingMemory> {
    return this.#train(id, async (training, entry) => {
      training.patience = patience;
      await begin(training, entry, data, validation, epochs);
      return training.trainer.memory;
    });
  }

  /** Goes on from a checkpoint of the run, on a new device, after the GPU was lost. */
  async goOn(id: number, checkpoint: Bytes, data: FitData, validation: FitData | undefined): Promise<void> {
    const known = this.#trainers.get(id);
    if (!known) throw disposed("trainer");
    await this.#turn(known.network, async (entry) => {
      const { training } = known;
      const { wasm } = entry.runtime;
      await requireWebgpu();
      const source = await loadModel(entry.runtime, checkpoint, undefined);
      try {
        training.trainer = await wasm.Trainer.start(source, "{}", training.backend);
      } finally {
        source.free();
      }
      if (entry.network.backend === "webgpu") await entry.network.plan("webgpu");
      Object.assign(training, { lost: undefined, ahead: false });
      entry.training = training;
      await begin(training, entry, data, validation, training.end);
    });
  }

  /** One step; nothing when the run is over. */
  step(id: number, controls: StepControls): Promise<StepReport | undefined> {
    return this.#train(id, async (training, entry) => {
      const { trainer } = training;
      const start = performance.now();
      const over = training.best.since >= training.patience;
      const step = over ? undefined : await trainer.step(controls.learningRate, controls.batchSize);
      if (!step) return this.#end(entry, training);
      training.ahead = true;
      const seconds = Math.max(performance.now() - start, 0.01) / 1000;
      const { samples, epochDone, ...report } = step;
      if (!epochDone || !training.hasValidation) return { ...report, samplesPerSecond: samples / seconds };
      const validation = await trainer.evaluate();
      await judge(training, validation.loss);
      return { ...report, samplesPerSecond: samples / seconds, validation };
    });
  }

  /** The network gets the latest weights, or those that were best, if somebody looked for them. */
  async #end(entry: Entry, training: Training): Promise<undefined> {
    await this.#update(entry);
    await training.trainer.revert(entry.network);
  }

  async checkpoint(id: number): Promise<Bytes> {
    const bytes = await this.#train(id, async ({ trainer }, entry) => {
      await this.#update(entry); // What it falls back to when the GPU is lost.
      return trainer.checkpoint(entry.network);
    });
    return transfer(bytes, [bytes.buffer]);
  }

  /** The network gets the latest weights, then the trainer goes. */
  async endTrainer(id: number): Promise<void> {
    const known = this.#trainers.get(id);
    if (!known) return;
    this.#trainers.delete(id);
    await this.#turn(known.network, async (entry) => {
      if (entry.training !== known.training) return;
      try {
        await this.#update(entry);
      } finally {
        this.#freeTrainer(entry);
      }
    });
  }

  /** On the heaps of all builds, and on the GPU. */
  async liveBytes(): Promise<number> {
    const builds = await Promise.all(this.#builds.values());
    const onDevice = [...this.#entries.keys()].map((id) =>
      this.#turn(id, ({ network, training }) => network.deviceBytes() + (training?.trainer.deviceBytes() ?? 0)),
    );
    const heaps = builds.map(({ wasm }) => wasm.liveBytes());
    return [...heaps, ...(await Promise.all(onDevice))].reduce((sum, bytes) => sum + bytes, 0);
  }

  async capabilities(worker: boolean): Promise<Capabilities> {
    const { tier, why, threads } = await chooseTier();
    const isolated = globalThis.crossOriginIsolated ?? false;
    return { tier, why, threads, webgpu: await webgpu(), crossOriginIsolated: isolated, worker };
  }

  async networks(): Promise<string[]> {
    const { wasm } = await this.#runtime({});
    return wasm.networks();
  }

  // --- inside ---

  #freeTrainer(entry: Entry): void {
    const { training } = entry;
    if (!training) return;
    entry.training = undefined;
    for (const [id, known] of this.#trainers)
      if (known.training === training && !training.lost) this.#trainers.delete(id);
    training.trainer.free();
  }

  /** In the turn of the trainer's network, whose weights may stay behind. */
  #train<T>(id: number, work: (training: Training, entry: Entry) => T | Promise<T>): Promise<T> {
    const known = this.#trainers.get(id);
    if (!known) return Promise.reject(disposed("trainer"));
    return this.#turn(known.network, (entry) => {
      if (entry.training !== known.training) throw known.training.lost ?? disposed("trainer");
      return work(known.training, entry);
    });
  }

  #register(entry: Entry): Opened {
    const id = ++this.#last;
    const { tier, threads } = entry.runtime;
    const { interrupted, ...known } = entry.network.info();
    const info: NetworkInfo = { ...known, tier, threads, why: entry.why };
    if (interrupted) info.interrupted = optionsOf(interrupted);
    this.#entries.set(id, entry);
    return { id, info };
  }

  /** In the network's turn, with the weights of the latest training step. */
  #with<T>(id: number, work: (entry: Entry) => T | Promise<T>): Promise<T> {
    return this.#turn(id, async (entry) => {
      await this.#update(entry);
      return work(entry);
    });
  }

  /** Gives the network the weights of the latest training step. */
  async #update({ training, network }: Entry): Promise<undefined> {
    if (!training?.ahead) return;
    try {
      await training.trainer.update(network);
    } catch (error) {
      // The network lost its GPU. It has its new weights nevertheless, unless they were on a GPU too.
      if (!isLost(error) || training.backend === "webgpu") throw error;
      await network.plan("webgpu");
    }
    training.ahead = false;
  }

  /** Waits for the network's earlier calls, then does `work` with it. */
  #turn<T>(id: number, work: (entry: Entry) => T | Promise<T>): Promise<T> {
    const entry = this.#entries.get(id);
    if (!entry) return Promise.reject(disposed("network"));
    const turn = entry.tail
      .then(() => guarded(entry.runtime.wasm, () => work(entry)))
      .catch((error) => {
        // The trainer's weights went with its GPU: the network has those of the last checkpoint, at least.
        if (isLost(error) && entry.training?.backend === "webgpu") {
          entry.training.lost = error;
          this.#freeTrainer(entry);
        }
        throw error;
      });
    entry.tail = turn.catch(() => {});
    return turn;
  }

  /** One wasm instance for each tier, one pool for each number of threads. */
  #runtime(o: OpenOptions, onProgress?: (p: Progress) => void): Promise<Runtime> {
    const key = `${o.tier ?? ""}/${o.threads ?? ""}`;
    let runtime = this.#runtimes.get(key);
    if (!runtime) {
      runtime = this.#start(o, onProgress);
      this.#runtimes.set(key, runtime);
      // The next load may try again, for example with another `wasmUrl`.
      runtime.catch(() => this.#runtimes.delete(key));
    }
    return runtime;
  }

  #builds = new Map<Tier, Promise<Build>>();

  #build(tier: Tier, wasmUrl?: string, onProgress?: (p: Progress) => void): Promise<Build> {
    let build = this.#builds.get(tier);
    if (!build) {
      build = loadBuild(tier, wasmUrl, onProgress);
      this.#builds.set(tier, build);
      build.catch(() => this.#builds.delete(tier));
    }
    return build;
  }

  async #start(o: OpenOptions, onProgress?: (p: Progress) => void): Promise<Runtime> {
    const choice = await chooseTier(o.tier, o.threads);
    if (choice.tier === "threads") {
      try {
        const build = await this.#build("threads", o.wasmUrl, onProgress);
        const pool = await startThreads(build as Build & { wasm: ThreadedWasm }, choice.threads);
        return { ...build, ...choice, pool, wasmUrl: o.wasmUrl };
      } catch (error) {
        if (o.tier === "threads") throw error;
        choice.why = `one thread, because starting ${choice.threads} failed: ${message(error)}`;
        choice.tier = "relaxed";
        choice.threads = 1;
      }
    }
    const build = await this.#build(choice.tier, o.wasmUrl, onProgress);
    return { ...build, ...choice, pool: build.wasm.Pool.single(), wasmUrl: o.wasmUrl };
  }

  async #planned(runtime: Runtime, network: WasmNetwork, backend: "auto" | Backend): Promise<Entry> {
    try {
      const why = await guarded(runtime.wasm, () => choose(runtime, network, backend));
      return { runtime, network, why, training: undefined, tail: Promise.resolve() };
    } catch (error) {
      network.free();
      throw error;
    }
  }
}

function createModel(
  { wasm, pool }: Runtime,
  { name, classes, labels, seed }: Origin & { kind: "create" },
): WasmNetwork {
  const network = wasm.Network.create(name, classes, seed, pool);
  try {
    if (labels) network.label(labels);
    return network;
  } catch (error) {
    network.free();
    throw error;
  }
}

/** Gives a run its data, and its end. */
async function begin(
  training: Training,
  entry: Entry,
  data: FitData,
  validation: FitData | undefined,
  epochs: number,
): Promise<void> {
  const { trainer } = training;
  const pass = (d: FitData, role: string) => {
    const [shape, mean, std] = [Uint32Array.from(d.shape), Float32Array.from(d.mean), Float32Array.from(d.std)];
    if (d.images instanceof Uint8Array) trainer.setBytes(role, d.images, d.labels, shape, mean, std);
    else trainer.setFloats(role, d.images, d.labels, shape, mean.length + std.length > 0);
  };
  pass(data, "train");
  if (validation) pass(validation, "validation");
  await trainer.begin(entry.network, epochs);
  training.best = { loss: Number.POSITIVE_INFINITY, since: 0 };
  training.hasValidation = validation !== undefined;
  training.end = trainer.end;
}

/** The model in a file, whose tensors follow a header: the browser hashes them sooner than the engine would. */
async function loadModel({ wasm, pool }: Runtime, file: Bytes, arch: string | undefined): Promise<WasmNetwork> {
  const length = file.length < 8 ? 0n : new DataView(file.buffer, file.byteOffset).getBigUint64(0, true);
  const start = 8 + Math.min(Number(length), file.length);
  const hashed = new TextDecoder().decode(file.subarray(8, start)).includes('"sha256"');
  const sha256 = hashed ? await digest(async () => undefined)(file.subarray(start)) : undefined;
  return wasm.Network.load(file, sha256, arch, pool);
}

/** The file as the engine reads it: ONNX is converted. */
async function modelOf(file: Bytes, o: OpenOptions, onProgress?: (p: Progress) => void): Promise<Bytes> {
  if (o.format !== undefined && o.format !== "onnx" && o.format !== "safetensors") {
    throw wrongArgument("format", "onnx or safetensors", o.format);
  }
  // An ONNX file begins with the field of its IR version, safetensors with a length and a brace.
  const looksLikeOnnx = file[0] === 0x08 && file[8] !== 0x7b;
  if (o.format ? o.format !== "onnx" : !looksLikeOnnx) return file;
  if (o.arch !== undefined) throw wrongArgument("arch", "none, as an ONNX file holds its network", o.arch);
  onProgress?.({ phase: "convert", loaded: 0, total: 1 });
  const model = await onnxToModel(file, o.wasmUrl);
  onProgress?.({ phase: "convert", loaded: 1, total: 1 });
  return model;
}

/**
 * Runs a small network again and again until the file is here: a browser compiles a kernel well only after it has run
 * for a while, and without this that while is part of the first answer. Files that come at once do not wait for it, and
 * one thread is enough: the other processors have the file.
 */
async function warmUp(runtime: Runtime, come: AbortSignal): Promise<void> {
  const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
  await pause(WAIT_MS);
  if (runtime.warm || come.aborted) return;
  runtime.warm = true;
  const end = performance.now() + WARM_MS;
  await guarded(runtime.wasm, async () => {
    const network = runtime.wasm.Network.create("googlenet-cifar", 10, 1, runtime.wasm.Pool.single());
    try {
      await network.plan("cpu");
      const image = new Float32Array(3 * 32 * 32);
      while (!come.aborted && performance.now() < end) {
        await network.run(image, Uint32Array.of(1, 3, 32, 32));
        await pause(0); // The file may be here.
      }
    } finally {
      network.free();
    }
  });
}

/** Keeps the weights of an epoch that was better than those before. */
async function judge({ trainer, patience, best }: Training, loss: number): Promise<void> {
  if (!Number.isFinite(patience)) return;
  best.since += 1;
  if (loss < best.loss) {
    Object.assign(best, { loss, since: 0 });
    await trainer.keep();
  }
}

/** Puts the network on a backend and says why on that one. */
async function choose(runtime: Runtime, network: WasmNetwork, backend: "auto" | Backend): Promise<string> {
  const tier = `tier ${runtime.tier}: ${runtime.why}`;
  if (backend !== "auto" && backend !== "cpu" && backend !== "webgpu") {
    throw wrongArgument("backend", "auto, cpu or webgpu", backend);
  }
  if (backend === "webgpu") await requireWebgpu();
  if (backend !== "auto") {
    await network.plan(backend);
    return `${backend} was asked for; ${tier}`;
  }
  const asked = webgpu();
  await network.plan("cpu");
  const available = await asked;
  if (available !== true) return `cpu: no WebGPU (${available}); ${tier}`;
  const cpu = await milliseconds(network);
  if (cpu < FAST_ENOUGH_MS) return `cpu: a run takes ${cpu.toFixed(2)} ms, too short to gain from a GPU; ${tier}`;
  return measured(network, cpu, tier);
}

/** `auto`, where there is a GPU and enough work for it. */
async function measured(network: WasmNetwork, cpu: number, tier: string): Promise<string> {
  let gpu: number;
  try {
    await network.plan("webgpu");
    gpu = await milliseconds(network);
  } catch (error) {
    await network.plan("cpu");
    return `cpu: WebGPU failed (${message(error).split("\n")[0]}); ${tier}`;
  }
  const figures = `a run takes ${cpu.toFixed(1)} ms on the CPU and ${gpu.toFixed(1)} ms on WebGPU`;
  if (gpu < cpu) return `webgpu: ${figures}`;
  await network.plan("cpu");
  return `cpu: ${figures}; ${tier}`;
}

function isLost(error: unknown): boolean {
  return (error as { code?: unknown }).code === "device-lost";
}

/** A lost GPU is asked for anew, once: the weights are here. */
async function recovering<T>(entry: Entry, work: (entry: Entry) => Promise<T>): Promise<T> {
  try {
    return await work(entry);
  } catch (error) {
    if (!isLost(error)) throw error;
    await entry.network.plan("webgpu");
    return work(entry);
  }
}

/** Gives tensors away uncloned. */
function transferAll(tensors: Record<string, TensorData>): Record<string, TensorData> {
  const buffers = Object.values(tensors).map(({ data }) => data.buffer as ArrayBuffer);
  return transfer(tensors, buffers);
}

/** Returns the input tensor for an image; a tensor is returned as it is. */
function inputOf(
  network: WasmNetwork,
  image: Pixels | TensorData,
  pixels: Awaited<ReturnType<typeof pixelsOf>> | undefined,
): TensorData {
  return pixels ? network.tensor(pixels.data, pixels.width, pixels.height) : (image as TensorData);
}

/** The shorter of two runs on zeros, after one that warms up; one run if it is long. */
async function milliseconds(network: WasmNetwork): Promise<number> {
  const shape = [1, ...(network.info().input as number[])];
  const zeros = new Float32Array(shape.reduce((n, d) => n * d));
  const run = async () => {
    const start = performance.now();
    await network.run(zeros, Uint32Array.from(shape));
    return performance.now() - start;
  };
  await run();
  const first = await run();
  return first > 200 ? first : Math.min(first, await run());
}

async function requireWebgpu(): Promise<void> {
  const available = await webgpu();
  if (available === true) return;
  const details = { backend: "webgpu", reason: available };
  throw new ConvokeError("backend", `backend \`webgpu\` is not available: ${available}`, details);
}

/** Whether there is a WebGPU adapter, or why not. */
async function webgpu(): Promise<true | string> {
  const gpu = (globalThis.navigator as { gpu?: { requestAdapter(): Promise<unknown> } } | undefined)?.gpu;
  if (!gpu) {
    const insecure = globalThis.isSecureContext === false;
    return insecure ? "the page is not a secure context (https or localhost)" : "there is no navigator.gpu";
  }
  try {
    return (await gpu.requestAdapter()) ? true : "the browser offers no adapter";
  } catch (error) {
    return message(error);
  }
}

/** Errors of the engine become `ConvokeError`s. */
async function guarded<T>(wasm: Wasm, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fromEngine(error, wasm.panicMessage());
  }
}

function disposed(what: "network" | "trainer"): ConvokeError {
  return new ConvokeError("disposed", `the ${what} was disposed of`);
}

/** An `EngineConfig` in JSON, of what is given. */
function config({ optimizer, backend: _, ...o }: TrainerOptions): string {
  const { learningRate, ...rest } = optimizer ?? {};
  const usual = optimizer && optimizer.kind !== "sgd" ? 0.001 : undefined;
  const rate = learningRate ?? usual;
  // What is undefined is left out.
  return JSON.stringify({ ...o, optimizer: optimizer && rest, learningRate: rate });
}

/** The same way back. */
function optionsOf({ learningRate, optimizer, ...rest }: EngineConfig): InterruptedRun {
  return { ...rest, optimizer: { ...optimizer, learningRate } };
}
