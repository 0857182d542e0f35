// Uses every export of the package, under TypeScript's strictest options.
import {
  type AdamOptions,
  type AugmentOptions,
  type Backend,
  type BackendCheck,
  type BinaryCrossEntropyOptions,
  type Capabilities,
  type Classification,
  type ClassifyOptions,
  type CommonOptimizerOptions,
  type ConstantSchedule,
  ConvokeError,
  type CosineSchedule,
  type CreateOptions,
  capabilities,
  type DownloadOptions,
  download,
  type EngineOptions,
  type ErrorCode,
  type FileFormat,
  type FitOptions,
  type ImageSource,
  type InterruptedRun,
  type LayerError,
  type LayerGroup,
  type LayerInfo,
  type LayerTime,
  Learner,
  type LearnOptions,
  type LoadOptions,
  type LossOptions,
  liveBytes,
  Network,
  type NetworkInfo,
  type OneCycleSchedule,
  type OptimizerOptions,
  type PixelData,
  type Progress,
  type RmsPropOptions,
  type SaveOptions,
  type ScheduleOptions,
  type SelfTestOptions,
  type SelfTestReport,
  type SgdOptions,
  type SoftmaxCrossEntropyOptions,
  type Source,
  type StepReport,
  type StepSchedule,
  type TensorData,
  type Tier,
  Trainer,
  type TrainerOptions,
  type TrainingData,
  type TrainingMemory,
  type TransferOptions,
} from "convoke";

const onProgress = ({ phase, loaded, total }: Progress): string =>
  `${phase satisfies "network" | "cache" | "compile" | "convert" | "plan"} ${loaded} of ${total ?? "?"}`;
const engine: EngineOptions = { backend: "auto", tier: "simd128", threads: 1, worker: false, wasmUrl: "wasm/" };
const loading: LoadOptions = {
  ...engine,
  onProgress,
  signal: new AbortController().signal,
  arch: "lenet5",
  format: "safetensors" satisfies FileFormat,
  integrity: "sha256-",
  cache: "models-2",
};
const creating: CreateOptions = { ...engine, classes: 3, seed: 7 };

export async function load(sources: Source[]): Promise<Network[]> {
  const all: Source[] = [
    ...sources,
    "m",
    new URL("https://example.org/m"),
    new Response(),
    new Blob(),
    new ArrayBuffer(1),
  ];
  return Promise.all(all.map((source) => Network.load(source, loading)));
}

export async function fetchFile(): Promise<number> {
  const options: DownloadOptions = { integrity: "sha256-", cache: false, onProgress, signal: AbortSignal.timeout(1) };
  const bytes: Uint8Array = await download("digits.bin", options);
  return bytes.length + (await download(new URL("https://example.org/digits.bin"))).length;
}

export async function classify(net: Network, image: ImageSource): Promise<Classification | undefined> {
  const pixels: PixelData = { data: new Uint8ClampedArray(4), width: 1, height: 1 };
  const tensor: TensorData = { data: new Float32Array(1), shape: [1, 1, 1, 1] };
  const { data, shape } = await net.run(tensor);
  const first: number | undefined = data[shape[0] ?? 0];
  const images: ImageSource[] = [image, pixels, tensor];
  const maps: Record<string, TensorData> = await net.activations(image, ["conv1"]);
  const filters: Record<string, TensorData> = await net.weights(["conv1.weight"]);
  console.log(filters["conv1.weight"]?.shape);
  const times: LayerTime[] = await net.profile(maps.conv1 ?? tensor);
  const firstStep = times.map(({ name, kind, algorithm, milliseconds }) => ({
    name,
    kind,
    algorithm,
    milliseconds,
  }))[0];
  if (firstStep?.algorithm === "winograd") return undefined;
  const answers = await Promise.all(images.map((i) => net.classify(i, { top: 1 } satisfies ClassifyOptions)));
  const best = answers[0]?.[0];
  return best && { label: best.label, index: best.index, probability: best.probability + (first ?? 0) };
}

export async function selfTest(net: Network): Promise<string | undefined> {
  const options: SelfTestOptions = {
    onProgress: ({ backend, done, total }) => `${backend satisfies Backend} ${done + total}`,
  };
  const { backends, webgpu }: SelfTestReport = await net.selfTest(options);
  const said: true | string = webgpu;
  const { backend, passed, worst, layers }: BackendCheck = backends[0]!;
  if (passed) return `${backend satisfies Backend} ${layers.length} ${said}`;
  const { name, kind, algorithm, error }: LayerError = worst;
  return algorithm ?? `${name} ${kind} ${error.toFixed(3)}`;
}

export async function describe(net: Network): Promise<NetworkInfo> {
  const { name, backend, tier, why, threads, labels, input, output, parameters, macs, layers, provenance } = net;
  const interrupted: InterruptedRun | undefined = net.interrupted;
  const kinds = layers.map(({ kind, name, shape, parameters, macs }: LayerInfo) => ({
    kind,
    name,
    shape,
    parameters,
    macs,
  }));
  const moved: Network = await net.to("auto" satisfies "auto" | Backend);
  moved.dispose();
  const bytes: Uint8Array = await net.save({ quantize: "int8" } satisfies SaveOptions);
  const onnx: Uint8Array = await net.toOnnx();
  return {
    name,
    backend,
    tier,
    why,
    threads,
    labels,
    input,
    output,
    parameters,
    macs,
    layers: kinds,
    provenance: { ...provenance, bytes, onnx },
    ...(interrupted && { interrupted }),
  };
}

const common: CommonOptimizerOptions = { learningRate: 0.1, weightDecay: 0 };
const sgd: SgdOptions = { ...common, kind: "sgd", momentum: 0.9, nesterov: true };
const adam: AdamOptions = { ...common, kind: "adamw", beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
const rmsprop: RmsPropOptions = { ...common, kind: "rmsprop", alpha: 0.99, momentum: 0, epsilon: 1e-8 };
const optimizers: OptimizerOptions[] = [sgd, adam, rmsprop];
const softmax: SoftmaxCrossEntropyOptions = { kind: "softmax-cross-entropy", labelSmoothing: 0.1 };
const binary: BinaryCrossEntropyOptions = { kind: "binary-cross-entropy" };
const losses: LossOptions[] = [softmax, binary, { kind: "softmax-cross-entropy" }];
const constant: ConstantSchedule = { kind: "constant" };
const cosine: CosineSchedule = { kind: "cosine", floor: 0 };
const oneCycle: OneCycleSchedule = { kind: "one-cycle", rise: 0.3, start: 0.04, floor: 0 };
const steps: StepSchedule = { kind: "step", every: 10, gamma: 0.1 };
const schedules: ScheduleOptions[] = [constant, cosine, oneCycle, steps];
const groups: LayerGroup[] = [{ layers: "conv*", rate: 0.1 }];
const augment: AugmentOptions = {
  shift: 1,
  rotate: 5,
  scale: 0.1,
  flip: true,
  crop: 2,
  cutout: 4,
  jitter: 0.1,
  mixup: 0.2,
};
const named: CreateOptions = { ...engine, classes: ["cat", "dog"] };

export async function train(): Promise<Uint8Array> {
  using net = await Network.create((await Network.networks({ worker: false }))[0] ?? "lenet5", creating);
  (await Network.create("lenet5", named)).dispose();
  const options: TrainerOptions = {
    batchSize: 8,
    accumulate: 2,
    seed: 1,
    augment,
    backend: "cpu",
    groups,
    warmup: 1,
    clipNorm: 5,
  };
  for (const [i, optimizer] of optimizers.entries()) {
    const [loss, schedule] = [losses[i], schedules[i]];
    if (!loss || !schedule) throw new Error("one loss and one schedule for each optimizer");
    using trainer: Trainer = await net.trainer({ ...options, optimizer, loss, schedule });
    await use(trainer);
  }
  return net.save();
}

async function use(trainer: Trainer): Promise<StepReport | undefined> {
  const data: TrainingData = {
    images: new Uint8Array(4),
    labels: new Uint8Array(1),
    shape: [1, 1, 2, 2],
    mean: [0],
    std: [1],
  };
  const fitting: FitOptions = {
    epochs: 1,
    validation: data,
    signal: AbortSignal.timeout(1),
    patience: 3,
    checkpointEvery: 10,
  };
  const { weights, gradients, optimizer, activations, recompute }: TrainingMemory = trainer.memory;
  console.log(weights + gradients + optimizer + activations, recompute);
  let last: StepReport | undefined;
  trainer.learningRate /= 2;
  trainer.batchSize += 1;
  for await (const report of trainer.fit(data, fitting)) {
    last = report;
    const { step, epoch, loss, accuracy, learningRate, samplesPerSecond, validation } = report;
    console.log(step, epoch, loss, accuracy, learningRate, samplesPerSecond, validation?.top1, validation?.top5);
    if (trainer.paused) trainer.resume();
    else trainer.pause();
  }
  const checkpoint: Uint8Array = await trainer.checkpoint();
  console.log(checkpoint.length, trainer.backend satisfies Backend, trainer.network.name, trainer instanceof Trainer);
  return last;
}

export async function teach(net: Network, image: ImageSource): Promise<Network> {
  const teaching: TransferOptions = { classes: ["cat", "dog"], seed: 2, from: "conv1", validation: 0.5 };
  const learning: LearnOptions = { epochs: 1, learningRate: 0.01, batchSize: 4 };
  using learner: Learner = await net.transfer(teaching);
  for (const name of learner.classes) await learner.add(name, image);
  for await (const { loss } of learner.fit(learning)) console.log(loss, learner.counts.cat, learner.bytes);
  learner.remove("cat", 0);
  console.log(learner instanceof Learner, (await net.run(image)).shape);
  return learner.network();
}

export function tell(error: unknown): { code: ErrorCode; expected: unknown; checkpoint: number } | undefined {
  if (!(error instanceof ConvokeError)) return undefined;
  const { code, details, checkpoint } = error;
  return { code, expected: details.expected, checkpoint: checkpoint?.length ?? 0 };
}

export async function here(): Promise<string> {
  const { tier, why, threads, webgpu, crossOriginIsolated, worker }: Capabilities = await capabilities({
    worker: false,
  });
  const known: Tier = tier;
  const gpu = webgpu === true ? "WebGPU" : webgpu.toUpperCase();
  return `${known} ${why} ${threads} ${gpu} ${crossOriginIsolated} ${worker} ${await liveBytes()}`;
}

// Calls that must not compile.
export const wrong = [
  // @ts-expect-error: no such backend
  () => Network.load("m", { backend: "cuda" }),
  // @ts-expect-error: an option that is there must have a value
  () => Network.load("m", { backend: undefined }),
  // @ts-expect-error: a misspelt option
  () => Network.create("lenet5", { sead: 1 }),
  // @ts-expect-error: plain arrays are no tensors
  (net: Network) => net.run({ data: [1], shape: [1] }),
  // @ts-expect-error: only int8
  (net: Network) => net.save({ quantize: "int4" }),
  // @ts-expect-error: the length of the run has no default
  (trainer: Trainer, data: TrainingData) => trainer.fit(data, {}),
  // @ts-expect-error: four dimensions
  (data: TrainingData) => ({ ...data, shape: [1, 2] }) satisfies TrainingData,
  // @ts-expect-error: networks are loaded or created
  () => new Network({}),
  // @ts-expect-error: trainers are made by networks
  () => new Trainer(),
  // @ts-expect-error: learners are made by networks
  () => new Learner(),
  // @ts-expect-error: warm-up is an option of its own, beside the schedule
  () => ({ kind: "cosine", warmup: 2 }) satisfies ScheduleOptions,
];
