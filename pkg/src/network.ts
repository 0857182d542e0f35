import { type Connection, connect, connections } from "./connection.js";
import { digest, download, forget, parseIntegrity, readResponse, refuseHtml, verify } from "./download.js";
import type { Opened, OpenOptions, Origin } from "./engine.js";
import { environment } from "./environment.js";
import { ConvokeError, wrongArgument } from "./errors.js";
import { Learner } from "./learner.js";
import { isTensor, type Pixels, portable } from "./pixels.js";
import { Trainer } from "./trainer.js";
import type {
  Backend,
  Capabilities,
  Classification,
  CreateOptions,
  EngineOptions,
  ImageSource,
  InterruptedRun,
  LayerInfo,
  LayerTime,
  LoadOptions,
  NetworkInfo,
  SelfTestOptions,
  SelfTestReport,
  Source,
  TensorData,
  Tier,
  TrainerOptions,
  TransferOptions,
} from "./types.js";

/** A network in the engine, by its number there. */
export interface Handle {
  connection: Connection;
  id: number;
  info: NetworkInfo;
}

let tickets = 0;

// A safety net: `dispose` frees memory now, this some time after a network was forgotten.
const forgotten = new FinalizationRegistry(({ connection, id }: Pick<Handle, "connection" | "id">) => {
  connection.call((engine) => engine.dispose(id)).catch(() => {});
});

/** A convolutional network, ready to run. */
export class Network implements Disposable {
  #handle: Handle;
  #disposed = false;

  /** Made by `Network.load`, `Network.create` and trainers. */
  private constructor(handle: Handle) {
    this.#handle = handle;
    forgotten.register(this, { connection: handle.connection, id: handle.id }, this);
  }

  /** @internal */
  static of(handle: Handle): Network {
    return new Network(handle);
  }

  /** Loads a model file: a Convoke model or checkpoint, ONNX, or plain safetensors with `arch`. */
  static async load(source: Source, options: LoadOptions = {}): Promise<Network> {
    checkSource(source);
    return open(options, (o, sha256) => read(source, o, sha256));
  }

  /** A network with fresh weights. */
  static async create(name: string, options: CreateOptions = {}): Promise<Network> {
    const { classes: given, seed = 0 } = options;
    const labels = Array.isArray(given) ? given.map(String) : undefined;
    const classes = labels?.length ?? given;
    checkSeed(seed);
    if (
      classes !== undefined &&
      !(typeof classes === "number" && classes % 1 === 0 && classes > 0 && classes < 2 ** 31)
    ) {
      throw wrongArgument("classes", "a whole number from 1", classes);
    }
    return open(options, async () => ({ origin: { kind: "create", name, classes, labels, seed } }));
  }

  /** The names that `create` and `arch` know. */
  static networks(options: Pick<EngineOptions, "worker"> = {}): Promise<string[]> {
    return connect(options.worker).call((engine) => engine.networks());
  }

  get name(): string {
    return this.#handle.info.name;
  }
  get backend(): Backend {
    return this.#handle.info.backend;
  }
  get tier(): Tier {
    return this.#handle.info.tier;
  }
  /** Why this backend and this tier, in a sentence. */
  get why(): string {
    return this.#handle.info.why;
  }
  get threads(): number {
    return this.#handle.info.threads;
  }
  get labels(): string[] {
    return this.#handle.info.labels;
  }
  /** The shape of one input sample, `[C, H, W]`. */
  get input(): number[] {
    return this.#handle.info.input;
  }
  get parameters(): number {
    return this.#handle.info.parameters;
  }
  /** Multiply-accumulates for one sample. */
  get macs(): number {
    return this.#handle.info.macs;
  }
  get layers(): LayerInfo[] {
    return this.#handle.info.layers;
  }
  /** What the file says about its training. */
  get provenance(): Record<string, unknown> {
    return this.#handle.info.provenance;
  }
  /** The run that the first trainer of this network goes on with, if it was loaded from a checkpoint. */
  get interrupted(): InterruptedRun | undefined {
    return this.#handle.info.interrupted;
  }

  /** The outputs (logits) for a batch of inputs, `[N, C, H, W]`, or for one image. */
  async run(input: ImageSource): Promise<TensorData> {
    if (!isTensor(input)) {
      this.#check();
      const given = await this.#given(input);
      return this.#call((engine, id) => engine.run(id, given));
    }
    // Asked for before `run` returns: the caller may dispose of the network next.
    checkTensor(input);
    const { data, shape } = input;
    return this.#handle.connection.lend(data, (data) => this.#call((engine, id) => engine.run(id, { data, shape })));
  }

  /** The likeliest classes of one image, which is scaled and normalised as the model says. */
  async classify(image: ImageSource, { top = 5 }: { top?: number } = {}): Promise<Classification[]> {
    if (!Number.isInteger(top) || top < 1) throw wrongArgument("top", "a whole number from 1", top);
    this.#check();
    const given = await this.#given(image);
    return this.#call((engine, id) => engine.classify(id, given, top));
  }

  /**
   * What the named layers give out for one image (or a batch `{ data, shape }`), `[N, C, H, W]`: the feature maps. Each is
   * computed by itself, on the network's backend, so a layer costs about as much as the network up to it.
   */
  async activations(image: ImageSource, layers: string[]): Promise<Record<string, TensorData>> {
    if (!Array.isArray(layers)) throw wrongArgument("layers", "an array of names", typeof layers);
    this.#check();
    const given = await this.#given(image);
    return this.#call((engine, id) => engine.activations(id, given, layers));
  }

  /** The named weights, `conv1.weight`, as they are now: those of a convolution are its filters, `[out, in, height, width]`. */
  async weights(names: string[]): Promise<Record<string, TensorData>> {
    if (!Array.isArray(names)) throw wrongArgument("names", "an array of names", typeof names);
    return this.#call((engine, id) => engine.weights(id, names));
  }

  /** How long each step of one run takes. Only on the CPU: a GPU's steps cannot be told apart. */
  async profile(image: ImageSource): Promise<LayerTime[]> {
    this.#check();
    const given = await this.#given(image);
    return this.#call((engine, id) => engine.profile(id, given));
  }

  /**
   * Runs one random input on the CPU and, where there is one, on WebGPU, and compares every step with the same step
   * computed on the CPU by sums of products alone. Takes as long as a few runs.
   */
  async selfTest({ onProgress }: SelfTestOptions = {}): Promise<SelfTestReport> {
    const progress = onProgress && this.#handle.connection.callback(onProgress);
    return this.#call((engine, id) => engine.selfTest(id, progress));
  }

  /**
   * A trainer of these weights: `trainer.network` is this network. If that was loaded from a checkpoint, the trainer goes
   * on with the interrupted run, whose options hold where none is given.
   *
   * @throws ConvokeError `argument` for options out of their ranges, and for others than those of the interrupted run,
   * except the learning rate, the batch size and the backend.
   */
  async trainer(options: TrainerOptions = {}): Promise<Trainer> {
    const { connection } = this.#handle;
    const state = await this.#call((engine, id) => engine.startTrainer(id, options));
    return Trainer.of(this, connection, state);
  }

  /**
   * Learns classes of one's own from few images: this network's features stay as they are now, and only a new head is
   * trained on them.
   *
   * @throws ConvokeError `argument` for fewer than 2 or more than 1000 classes, for names that are equal or empty, for a
   * layer that there is not, and for a share that is none.
   */
  async transfer({ classes, seed = 1, from, validation = 0 }: TransferOptions): Promise<Learner> {
    if (!Array.isArray(classes) || !classes.every((name) => typeof name === "string")) {
      throw wrongArgument("classes", "an array of names", typeof classes);
    }
    if (from !== undefined && typeof from !== "string") throw wrongArgument("from", "the name of a layer", typeof from);
    if (!(validation >= 0 && validation < 1)) throw wrongArgument("validation", "at least 0 and below 1", validation);
    checkSeed(seed);
    const { connection } = this.#handle;
    const { base, head, body } = await this.#call((engine, id) => engine.transfer(id, classes, seed, from));
    const of = (opened: Opened) => new Network({ connection, ...opened });
    const parts = { base: of(base), head: of(head), body: of(body) };
    return Learner.of({ classes: [...classes], seed, validation }, parts);
  }

  /** @internal This network with the head of a learner. */
  async withHead(head: Network): Promise<Network> {
    const { connection, id: other } = head.#handle;
    return new Network({ connection, ...(await this.#call((engine, id) => engine.withHead(id, other))) });
  }

  /** The same weights, as they are now, in a new network on another backend. Both live until disposed of. */
  async to(backend: "auto" | Backend): Promise<Network> {
    const { connection } = this.#handle;
    return new Network({ connection, ...(await this.#call((engine, id) => engine.move(id, backend))) });
  }

  /** The network as a model file. */
  async save({ quantize }: { quantize?: "int8" } = {}): Promise<Uint8Array> {
    return this.#call((engine, id) => engine.save(id, quantize));
  }

  /** The network as an ONNX file, in 32 bits, with its labels and preprocessing as metadata. */
  async toOnnx(): Promise<Uint8Array> {
    return this.#call((engine, id) => engine.toOnnx(id));
  }

  /** Frees the engine's memory; every later call fails with `disposed`. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    forgotten.unregister(this);
    const { connection, id } = this.#handle;
    connection.call((engine) => engine.dispose(id)).catch(() => {});
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** The image as it crosses to the engine. A bitmap that was made for it is given away, one of the caller's is copied. */
  async #given(image: ImageSource): Promise<Pixels | TensorData> {
    const pixels = await portable(image);
    if ("shape" in pixels) checkTensor(pixels);
    return this.#handle.connection.give(pixels, pixels !== image && "close" in pixels ? [pixels] : []);
  }

  #check(): void {
    if (this.#disposed)
      throw new ConvokeError("disposed", `the network \`${this.name}\` was disposed of: load it again`);
  }

  async #call<T>(
    work: (engine: Parameters<Parameters<Connection["call"]>[0]>[0], id: number) => Promise<T> | T,
  ): Promise<T> {
    this.#check();
    const { connection, id } = this.#handle;
    return connection.call((engine) => work(engine, id));
  }
}

/** Memory of all live networks and trainers, in bytes: 0 when none was made. */
export async function liveBytes(): Promise<number> {
  const each = await Promise.all(connections().map((c) => c.call((engine) => engine.liveBytes())));
  return each.reduce((sum, bytes) => sum + bytes, 0);
}

/** What runs here, and why nothing better. */
export function capabilities(options: Pick<EngineOptions, "worker"> = {}): Promise<Capabilities> {
  const worker = options.worker ?? environment.worker;
  return connect(worker).call((engine) => engine.capabilities(worker));
}

type Options = LoadOptions & CreateOptions;

/** What a network is made from, and what to do when the engine refuses it. */
interface Given {
  origin: Origin;
  /** Nobody else has it. */
  buffer?: ArrayBuffer;
  refused?: () => Promise<void>;
}

type Hash = (bytes: Uint8Array<ArrayBuffer>) => Promise<string>;

/** The engine starts while its file is on its way; when one fails or is aborted, the other stops too. */
async function open(options: Options, given: (o: Options, sha256: Hash) => Promise<Given>): Promise<Network> {
  options.signal?.throwIfAborted();
  const connection = connect(options.worker);
  const ticket = ++tickets;
  const control = new AbortController();
  const stop = (reason: unknown) => {
    control.abort(reason);
    connection.call((engine) => engine.abort(ticket)).catch(() => {});
  };
  const abort = () => stop(options.signal?.reason);
  options.signal?.addEventListener("abort", abort, { once: true });
  const progress = options.onProgress && connection.callback(options.onProgress);
  const o = portableOptions(options);
  const opened = async () => {
    connection.call((engine) => engine.prepare(ticket, o, progress)).catch(stop);
    const sha256 = digest((bytes) => connection.call((engine) => engine.sha256(bytes, o)));
    const { origin, buffer, refused } = await given({ ...options, signal: control.signal }, sha256);
    const sent = connection.give(origin, buffer ? [buffer] : []);
    const opening = connection.call((engine) => engine.open(ticket, sent, o, progress));
    const handle = await opening.catch(async (error) => {
      await refused?.();
      throw error;
    });
    const network = Network.of({ connection, ...handle });
    // The abort may have come too late for the engine, not for the caller.
    if (control.signal.aborted) network.dispose();
    return network;
  };
  try {
    return await Promise.race([opened(), aborted(control.signal)]);
  } catch (error) {
    stop(error);
    throw error;
  } finally {
    options.signal?.removeEventListener("abort", abort);
  }
}

/** Rejects when the signal aborts. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
}

function portableOptions(o: Options): OpenOptions {
  const { backend, tier, threads, arch, format, wasmUrl } = o;
  const resolved = wasmUrl && environment.resolve(`${wasmUrl}`).href;
  const given = { backend, tier, threads, arch, format, wasmUrl: resolved };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as OpenOptions;
}

/** The bytes of a file, checked. */
async function read(source: Source, o: LoadOptions, sha256: Hash): Promise<Given> {
  const { signal, onProgress, integrity, cache = true } = o;
  if (typeof source === "string" || source instanceof URL) {
    const url = resolved(`${source}`);
    const bytes = await download(url, { cache, integrity, signal, onProgress, sha256 });
    return { origin: { kind: "file", bytes }, buffer: bytes.buffer, refused: () => forget(url, cache) };
  }
  const streamed = source instanceof Response || source instanceof Blob;
  const what = source instanceof Response ? source.url || "response" : source instanceof Blob ? "blob" : "bytes";
  const whole = () => (source instanceof ArrayBuffer ? new Uint8Array(source) : (source as Uint8Array<ArrayBuffer>));
  const response = source instanceof Blob ? new Response(source) : (source as Response);
  const bytes = streamed ? await readResponse(response, { what, phase: "network", signal, onProgress }) : whole();
  refuseHtml(bytes, null, what);
  if (integrity !== undefined) await verify(bytes, parseIntegrity(integrity), what, sha256);
  return { origin: { kind: "file", bytes }, ...(streamed && { buffer: bytes.buffer }) };
}

function checkSource(source: unknown): void {
  if (typeof source === "string") return;
  if ([URL, Response, Blob, ArrayBuffer, Uint8Array].some((kind) => source instanceof kind)) return;
  throw wrongArgument("source", "a URL, Response, Blob, ArrayBuffer or Uint8Array", typeof source);
}

function resolved(source: string): URL {
  try {
    return environment.resolve(source);
  } catch {
    throw wrongArgument("source", "a URL", source);
  }
}

function checkSeed(seed: number): void {
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
    throw wrongArgument("seed", "a whole number below 2^32", seed);
  }
}

function checkTensor({ data, shape }: TensorData): void {
  if (!(data instanceof Float32Array)) throw wrongArgument("data", "a Float32Array", typeof data);
  if (!Array.isArray(shape) || !shape.every((d) => Number.isInteger(d) && d > 0 && d < 2 ** 31)) {
    throw wrongArgument("shape", "an array of whole numbers from 1, batch first", JSON.stringify(shape));
  }
}
