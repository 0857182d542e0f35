import { checkCallback, checkDownload, checkNames, checkSeed, checkText, checkWhole, kindOf } from "./arguments.js";
import { type Connection, connect } from "./connection.js";
import { Handle } from "./handle.js";
import { checkTensor, takeImage } from "./image-input.js";
import { BaseLearner, type LearnerParts, type LearnerSettings } from "./learner.js";
import { openNetwork } from "./open.js";
import type { EngineRpc, OpenedNetwork } from "./shared/engine-rpc.js";
import { wrongArgument } from "./shared/errors.js";
import { isTensor, type Pixels } from "./shared/pixels.js";
import type {
  Backend,
  Classification,
  ClassifyOptions,
  CreateOptions,
  EngineOptions,
  ImageSource,
  InterruptedRun,
  LayerInfo,
  LayerTime,
  LoadOptions,
  NetworkInfo,
  SaveOptions,
  SelfTestOptions,
  SelfTestReport,
  Source,
  TensorData,
  Tier,
  TrainerOptions,
  TransferOptions,
} from "./shared/types.js";
import { takeSource } from "./source.js";
import { BaseTrainer, type StartedTrainer, startTrainer } from "./trainer.js";

type ImageCall<T> = (engine: EngineRpc, id: number, image: Pixels | TensorData) => Promise<T>;

/** Trains a network, step by step, and can be steered while it does. Made by `net.trainer()`. */
export class Trainer extends BaseTrainer<Network> {
  /** @internal */
  static start(network: Network, started: StartedTrainer): Trainer {
    return new Trainer(network, started);
  }
}

/** Learns classes from few images, of which it keeps only embeddings. Made by `net.transfer()`. */
export class Learner extends BaseLearner<Network> {
  /** @internal */
  static start(settings: LearnerSettings, parts: LearnerParts<Network>): Learner {
    return new Learner(settings, parts);
  }
}

/**
 * A convolutional network, ready to run. Made by `Network.load` and `Network.create`.
 *
 * @example
 * using net = await Network.load("models/lenet5-mnist.safetensors");
 * const [best] = await net.classify(image);
 */
export class Network implements Disposable {
  #handle: Handle;
  #info: NetworkInfo;

  private constructor(connection: Connection, { id, info }: OpenedNetwork) {
    const text = `the network \`${info.name}\` was disposed of: load it again`;
    this.#handle = new Handle(connection, id, text, (engine, id) => engine.dispose(id));
    this.#info = info;
  }

  /**
   * Loads a model file: a Convoke model or checkpoint, ONNX, or plain safetensors with `arch`.
   *
   * @throws ConvokeError by the README's table: when the file does not arrive, is no model, or asks for something that
   * Convoke or this machine does not have.
   *
   * @example
   * const net = await Network.load("models/resnet18.onnx", { backend: "webgpu" });
   */
  static async load(source: Source, options: LoadOptions = {}): Promise<Network> {
    checkDownload(options);
    checkText("arch", options.arch);
    checkText("format", options.format);
    const { connection, opened } = await openNetwork(options, takeSource(source));
    return new Network(connection, opened);
  }

  /**
   * Creates a network with fresh weights.
   *
   * @throws ConvokeError `unknown-network` for a name that there is not, `argument` for wrong options.
   *
   * @example
   * const net = await Network.create("resnet20", { classes: ["cat", "dog"], seed: 7 });
   */
  static async create(name: string, options: CreateOptions = {}): Promise<Network> {
    const { classes: given, seed } = options;
    if (typeof name !== "string") throw wrongArgument("name", "one of `Network.networks()`", kindOf(name));
    const labels = Array.isArray(given) ? checkNames("classes", given) : undefined;
    const classes = labels?.length ?? (given as number | undefined);
    if (seed !== undefined) checkSeed(seed);
    if (classes !== undefined) checkWhole("classes", classes, "a whole number from 1", 1, 2 ** 31 - 1);
    const { connection, opened } = await openNetwork(options, async () => ({
      origin: { kind: "create", name, classes, labels, ...(seed !== undefined && { seed }) },
    }));
    return new Network(connection, opened);
  }

  /**
   * Returns the names that `create` and the option `arch` know.
   *
   * @example
   * console.log(await Network.networks()); // ["alexnet", …]
   */
  static networks(options: Pick<EngineOptions, "worker"> = {}): Promise<string[]> {
    return connect(options.worker).call((engine) => engine.networks());
  }

  /**
   * The network's name.
   *
   * @example
   * console.log(net.name); // "lenet5"
   */
  get name(): string {
    return this.#info.name;
  }

  /**
   * The seed of the weights that `Network.create` drew: the option `seed`, or a number that was drawn itself. It is also in
   * `provenance`, and so in saved files.
   *
   * @defaultValue `undefined` for a network that was loaded
   * @example
   * const twin = await Network.create(net.name, { seed: net.seed! });
   */
  get seed(): number | undefined {
    return this.#info.seed;
  }

  /**
   * The backend that runs the network.
   *
   * @example
   * console.log(net.backend); // "cpu" or "webgpu"
   */
  get backend(): Backend {
    return this.#info.backend;
  }

  /**
   * The build of the CPU engine.
   *
   * @example
   * console.log(net.tier); // "simd128", "relaxed" or "threads"
   */
  get tier(): Tier {
    return this.#info.tier;
  }

  /**
   * The reason for this backend and this tier, in a sentence.
   *
   * @example
   * console.log(net.why); // "cpu was asked for; tier relaxed: one thread, because …"
   */
  get why(): string {
    return this.#info.why;
  }

  /**
   * The threads of the CPU engine.
   *
   * @example
   * console.log(net.threads);
   */
  get threads(): number {
    return this.#info.threads;
  }

  /**
   * The names of the classes, or their indices as text where the model has no names.
   *
   * @example
   * console.log(net.labels[7]);
   */
  get labels(): string[] {
    return this.#info.labels;
  }

  /**
   * The meaning of the main output: `"logits"`, `"probabilities"` where the network ends in a softmax, or
   * `"independent-probabilities"` where it ends in a sigmoid. `classify` takes it into account.
   *
   * @example
   * if (net.output === "logits") console.log("run() returns numbers before the softmax");
   */
  get output(): NetworkInfo["output"] {
    return this.#info.output;
  }

  /**
   * The shape of one input sample, `[C, H, W]`.
   *
   * @example
   * const [channels, height, width] = net.input;
   */
  get input(): number[] {
    return this.#info.input;
  }

  /**
   * The number of parameters.
   *
   * @example
   * console.log(`${net.parameters / 1e6} million`);
   */
  get parameters(): number {
    return this.#info.parameters;
  }

  /**
   * The multiply-accumulates of a run for one sample.
   *
   * @example
   * console.log(`${net.macs / 1e9} billion`);
   */
  get macs(): number {
    return this.#info.macs;
  }

  /**
   * The network's layers.
   *
   * @example
   * for (const { name, kind, shape } of net.layers) console.log(name, kind, shape);
   */
  get layers(): LayerInfo[] {
    return this.#info.layers;
  }

  /**
   * The file's notes about its training.
   *
   * @example
   * console.log(net.provenance.command);
   */
  get provenance(): Record<string, unknown> {
    return this.#info.provenance;
  }

  /**
   * The run that the first trainer of this network resumes; `undefined` unless it was loaded from a checkpoint.
   *
   * @example
   * if (net.interrupted) console.log(net.interrupted.epochs, net.interrupted.batchSize);
   */
  get interrupted(): InterruptedRun | undefined {
    return this.#info.interrupted;
  }

  /**
   * Returns the logits `[N, classes]` of a batch `[N, C, H, W]`, or of one image. Floats must be normalized as the network
   * wants them; an image is scaled and normalized as the model says.
   *
   * @throws ConvokeError `shape` or `not-finite` for a tensor that does not fit, `argument` for no image.
   *
   * @example
   * const { data, shape } = await net.run({ data: new Float32Array(2 * 1024), shape: [2, 1, 32, 32] });
   */
  async run(input: ImageSource): Promise<TensorData> {
    if (input === null || typeof input !== "object" || !isTensor(input)) {
      return this.#withImage(input, (engine, id, image) => engine.run(id, image));
    }
    this.#handle.check();
    checkTensor(input);
    const shape = [...input.shape];
    const { connection } = this.#handle;
    return connection.share(input.data, (data) => {
      const moved = data.buffer instanceof ArrayBuffer ? [data.buffer] : [];
      const tensor = connection.transfer({ data, shape }, moved);
      return this.#handle.call((engine, id) => engine.run(id, tensor));
    });
  }

  /**
   * Returns the likeliest classes of one image, which is scaled, padded and normalized as the model says.
   *
   * @throws ConvokeError `argument` for no image and for a batch of several, `shape` for a tensor that does not fit.
   *
   * @example
   * const [best] = await net.classify(document.querySelector("img")!, { top: 1 });
   * console.log(best?.label, best?.probability);
   */
  async classify(image: ImageSource, { top = 5 }: ClassifyOptions = {}): Promise<Classification[]> {
    checkWhole("top", top, "a whole number from 1");
    return this.#withImage(image, (engine, id, prepared) => engine.classify(id, prepared, top));
  }

  /**
   * Returns the feature maps of the named layers for one image or a batch, each `[N, C, H, W]`. Each is computed by itself
   * on the network's backend, so a layer costs about as much as the network up to it.
   *
   * @throws ConvokeError `argument` for a layer that there is not.
   *
   * @example
   * const { conv1 } = await net.activations(image, ["conv1"]);
   */
  async activations(image: ImageSource, layers: string[]): Promise<Record<string, TensorData>> {
    const names = checkNames("layers", layers);
    return this.#withImage(image, (engine, id, prepared) => engine.activations(id, prepared, names));
  }

  /**
   * Returns the named weights as they are now. The weight of a convolution is its filters, `[out, in, height, width]`.
   *
   * @throws ConvokeError `argument` for a weight that there is not.
   *
   * @example
   * const { "conv1.weight": filters } = await net.weights(["conv1.weight"]);
   */
  async weights(names: string[]): Promise<Record<string, TensorData>> {
    const copied = checkNames("names", names);
    return this.#handle.call((engine, id) => engine.weights(id, copied));
  }

  /**
   * Returns the time of each step of one run on the CPU.
   *
   * @throws ConvokeError `argument` on WebGPU, whose steps cannot be timed.
   *
   * @example
   * for (const { name, algorithm, milliseconds } of await net.profile(image)) console.log(name, algorithm, milliseconds);
   */
  async profile(image: ImageSource): Promise<LayerTime[]> {
    return this.#withImage(image, (engine, id, prepared) => engine.profile(id, prepared));
  }

  /**
   * Runs one random input on the CPU and, where there is one, on WebGPU, and compares every step with an exact one, which
   * the CPU computes by sums of products alone. Takes as long as a few runs.
   *
   * @example
   * const { backends } = await net.selfTest();
   * for (const { backend, passed, worst } of backends) console.log(backend, passed, worst.name, worst.error);
   */
  async selfTest({ onProgress }: SelfTestOptions = {}): Promise<SelfTestReport> {
    checkCallback("onProgress", onProgress);
    const progress = onProgress && this.#handle.connection.callback(onProgress);
    return this.#handle.call((engine, id) => engine.selfTest(id, progress));
  }

  /**
   * Makes a trainer of these weights: `trainer.network` is this network. The first trainer of a network that was loaded
   * from a checkpoint resumes the interrupted run, whose options are then the defaults.
   *
   * @throws ConvokeError `argument` for options out of their ranges. A resumed run also refuses options that differ from
   * its own, except the learning rate, the batch size and the backend.
   *
   * @example
   * const trainer = await net.trainer({ optimizer: { kind: "adam" }, batchSize: 32 });
   */
  async trainer(options: TrainerOptions = {}): Promise<Trainer> {
    return Trainer.start(this, await startTrainer(this.#handle, options));
  }

  /**
   * Makes a learner of other classes from few images. This network's features stay as they are now; only a new head is
   * trained on them.
   *
   * @throws ConvokeError `argument` for fewer than 2 or more than 1000 classes, for equal or empty names, for a layer that
   * there is not, and for a share out of its range.
   *
   * @example
   * const learner = await net.transfer({ classes: ["cat", "dog"] });
   */
  async transfer({ classes, seed, from, validation = 0 }: TransferOptions): Promise<Learner> {
    const names = checkNames("classes", classes);
    checkText("from", from);
    if (!(validation >= 0 && validation < 1)) throw wrongArgument("validation", "at least 0 and below 1", validation);
    if (seed !== undefined) checkSeed(seed);
    const { connection } = this.#handle;
    const { base, head, body } = await this.#handle.call((engine, id) => engine.transfer(id, names, seed, from));
    const wrap = (opened: OpenedNetwork) => new Network(connection, opened);
    const parts: LearnerParts<Network> = {
      base: wrap(base).#handle,
      body: wrap(body).#handle,
      head: wrap(head).#handle,
      embedding: head.info.input as [number, number, number],
      wrap,
    };
    return Learner.start({ classes: names, seed: head.info.seed!, validation }, parts);
  }

  /**
   * Copies the network, with its present weights, to another backend. Both networks live until they are disposed of.
   *
   * @throws ConvokeError `backend` for `webgpu` where there is none.
   *
   * @example
   * const onGpu = await net.to("webgpu");
   */
  async to(backend: "auto" | Backend): Promise<Network> {
    checkText("backend", backend);
    return new Network(this.#handle.connection, await this.#handle.call((engine, id) => engine.move(id, backend)));
  }

  /**
   * Returns the network as a model file, which `load` reads.
   *
   * @example
   * const bytes = await net.save({ quantize: "int8" });
   */
  async save({ quantize, signal }: SaveOptions = {}): Promise<Uint8Array> {
    checkText("quantize", quantize);
    return this.#handle.abortable(signal, (engine, id) => engine.save(id, quantize));
  }

  /**
   * Returns the network as an ONNX file in 32 bits, with its labels and preprocessing as metadata.
   *
   * @example
   * const bytes = await net.toOnnx();
   */
  async toOnnx({ signal }: Pick<SaveOptions, "signal"> = {}): Promise<Uint8Array> {
    return this.#handle.abortable(signal, (engine, id) => engine.toOnnx(id));
  }

  /**
   * Frees the network's memory, GPU included, after the calls that were made before. Later calls fail with `disposed`.
   *
   * @example
   * net.dispose();
   */
  dispose(): void {
    this.#handle.dispose();
  }

  /**
   * Disposes of the network at the end of its block.
   *
   * @example
   * using temporary = await Network.create("lenet5");
   */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Calls the engine with an image. Its pixels are taken before this method returns. */
  #withImage<T>(image: ImageSource, work: ImageCall<T>): Promise<T> {
    this.#handle.check();
    const taken = takeImage(image, this.#handle.connection);
    const send = (ready: Awaited<typeof taken>) => this.#handle.call((engine, id) => work(engine, id, ready));
    return taken instanceof Promise ? taken.then(send) : send(taken);
  }
}
