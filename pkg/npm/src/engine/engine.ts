// The engine behind `EngineRpc`: networks and trainers by number, over wasm instances.
import type {
  Bytes,
  CheckedData,
  EngineRpc,
  NetworkOrigin,
  OpenedNetwork,
  OpenOptions,
  RunLength,
  StepControls,
  TrainerState,
  TransferParts,
} from "../shared/engine-rpc.js";
import { wrongArgument } from "../shared/errors.js";
import { isTensor, type Pixels } from "../shared/pixels.js";
import { transfer } from "../shared/rpc.js";
import type {
  Backend,
  Capabilities,
  Classification,
  LayerTime,
  Progress,
  SelfTestOptions,
  SelfTestReport,
  StepReport,
  TensorData,
  TrainerOptions,
  TrainingMemory,
} from "../shared/types.js";
import { retryOnNewDevice, webgpu } from "./backend.js";
import { guarded, type PackageFiles, type WasmNetwork } from "./builds.js";
import { decode } from "./decode.js";
import * as inference from "./inference.js";
import { createNetwork, loadModel, toModelFile } from "./model-file.js";
import { entryOf, type NetworkEntry, Networks, planned } from "./networks.js";
import { OnnxConverter } from "./onnx.js";
import { Runtimes } from "./runtimes.js";
import { chooseTier } from "./tiers.js";
import { Trainers } from "./trainers.js";
import { warmUp } from "./warm-up.js";
import { yieldNow } from "./yielding.js";

type OnProgress = (progress: Progress) => void;

/** The engine on the present thread. Its methods are documented at `EngineRpc`. */
export class LocalEngine implements EngineRpc {
  #runtimes: Runtimes;
  #converter: OnnxConverter;
  #networks = new Networks();
  #trainers = new Trainers(this.#networks);
  /** Loads that are not done, by ticket. */
  #opening = new Map<number, AbortController>();

  constructor(files: PackageFiles) {
    this.#runtimes = new Runtimes(files);
    this.#converter = new OnnxConverter(files.onnx);
  }

  hold(lock: string): Promise<boolean> {
    const locks = globalThis.navigator?.locks as LockManager | undefined; // in secure contexts only
    if (!locks) return Promise.resolve(false);
    return new Promise((resolve) => {
      const forever = () => {
        resolve(true);
        return new Promise(() => {});
      };
      locks.request(lock, forever).catch(() => resolve(false));
    });
  }

  async prepare(ticket: number, o: OpenOptions, onProgress?: OnProgress): Promise<void> {
    const control = new AbortController();
    this.#opening.set(ticket, control);
    await warmUp(await this.#runtimes.get(o, onProgress), control.signal);
  }

  async open(ticket: number, origin: NetworkOrigin, o: OpenOptions, onProgress?: OnProgress): Promise<OpenedNetwork> {
    this.#end(ticket);
    const control = new AbortController();
    this.#opening.set(ticket, control);
    try {
      const entry = await this.#load(origin, o, onProgress, control.signal);
      if (control.signal.aborted) entry.network.free();
      control.signal.throwIfAborted();
      onProgress?.({ phase: "plan", loaded: 1, total: 1 });
      return this.#networks.add(entry);
    } finally {
      this.#opening.delete(ticket);
    }
  }

  async abort(ticket: number): Promise<void> {
    this.#end(ticket);
  }

  async sha256(bytes: Bytes, o: OpenOptions): Promise<string> {
    return (await this.#runtimes.get(o)).wasm.sha256(bytes);
  }

  async move(id: number, backend: "auto" | Backend): Promise<OpenedNetwork> {
    const copied = ({ runtime, network }: NetworkEntry) => planned(runtime, network.copy(), backend);
    return this.#networks.add(await this.#networks.withWeights(id, copied));
  }

  async transfer(
    id: number,
    classes: string[],
    seed: number | undefined,
    from: string | undefined,
  ): Promise<TransferParts> {
    const entries = await this.#networks.withWeights(id, async ({ runtime, network }) => {
      const backend = network.backend as Backend;
      const base = from === undefined ? network.copy() : network.cut(from);
      const made = [entryOf(runtime, base, "")];
      try {
        made.push(await planned(runtime, base.newHead(classes, seed), backend));
        made.push(await planned(runtime, base.body(), backend));
      } catch (error) {
        for (const entry of made) entry.network.free();
        throw error;
      }
      return made;
    });
    const [base, head, body] = entries.map((entry) => this.#networks.add(entry));
    return { base: base!, head: head!, body: body! };
  }

  async withHead(id: number, head: number): Promise<OpenedNetwork> {
    const joined = (base: NetworkEntry) =>
      this.#networks.withWeights(head, ({ runtime, network }) =>
        planned(runtime, base.network.withHead(network), network.backend as Backend),
      );
    return this.#networks.add(await this.#networks.withWeights(id, joined));
  }

  async run(id: number, input: Pixels | TensorData): Promise<TensorData> {
    const image = isTensor(input) ? input : await decode(input);
    const { data, shape } = await this.#infer(id, (network) => inference.run(network, image));
    return transfer({ data, shape }, [data.buffer]);
  }

  async classify(id: number, input: Pixels | TensorData, top: number): Promise<Classification[]> {
    const image = isTensor(input) ? input : await decode(input);
    return this.#infer(id, (network) => inference.classify(network, image, top));
  }

  async activations(id: number, input: Pixels | TensorData, layers: string[]): Promise<Record<string, TensorData>> {
    const image = isTensor(input) ? input : await decode(input);
    return transferAll(await this.#infer(id, (network) => inference.activations(network, image, layers)));
  }

  weights(id: number, names: string[]): Promise<Record<string, TensorData>> {
    return this.#networks.withWeights(id, ({ network }) =>
      transferAll(Object.fromEntries(names.map((name) => [name, network.weight(name)]))),
    );
  }

  async profile(id: number, input: Pixels | TensorData): Promise<LayerTime[]> {
    const image = isTensor(input) ? input : await decode(input);
    return this.#networks.withWeights(id, ({ network }) => inference.profile(network, image));
  }

  selfTest(id: number, onProgress?: SelfTestOptions["onProgress"]): Promise<SelfTestReport> {
    return this.#infer(id, (network) => inference.selfTest(network, onProgress));
  }

  async save(id: number, quantize?: "int8"): Promise<Bytes> {
    if (quantize !== undefined && quantize !== "int8") throw wrongArgument("quantize", "int8 or nothing", quantize);
    const bytes = await this.#networks.withWeights(id, ({ network }) => network.save(quantize));
    return transfer(bytes, [bytes.buffer]);
  }

  async toOnnx(id: number): Promise<Bytes> {
    const { wasmUrl, model } = await this.#networks.withWeights(id, ({ runtime, network }) => ({
      wasmUrl: runtime.wasmUrl,
      model: network.save(),
    }));
    await yieldNow();
    const bytes = await this.#converter.fromModel(model, wasmUrl);
    return transfer(bytes, [bytes.buffer]);
  }

  async dispose(id: number): Promise<void> {
    this.#networks.dispose(id);
  }

  startTrainer(id: number, o: TrainerOptions): Promise<TrainerState> {
    return this.#trainers.start(id, o);
  }

  begin(
    id: number,
    data: CheckedData,
    validation: CheckedData | undefined,
    length: RunLength,
  ): Promise<TrainingMemory> {
    return this.#trainers.begin(id, data, validation, length);
  }

  resume(id: number, checkpoint: Bytes): Promise<void> {
    return this.#trainers.resume(id, checkpoint);
  }

  step(id: number, controls: StepControls): Promise<StepReport | undefined> {
    return this.#trainers.step(id, controls);
  }

  async checkpoint(id: number): Promise<Bytes> {
    const bytes = await this.#trainers.checkpoint(id);
    return transfer(bytes, [bytes.buffer]);
  }

  endTrainer(id: number): Promise<void> {
    return this.#trainers.end(id);
  }

  async liveBytes(): Promise<number> {
    const heaps = await this.#runtimes.liveBytes();
    return heaps + (await this.#networks.deviceBytes());
  }

  async capabilities(worker: boolean): Promise<Capabilities> {
    const { tier, why, threads } = await chooseTier();
    const crossOriginIsolated = globalThis.crossOriginIsolated ?? false;
    return { tier, why, threads, webgpu: await webgpu(), crossOriginIsolated, worker };
  }

  async networks(): Promise<string[]> {
    const { wasm } = await this.#runtimes.get({});
    return wasm.networks();
  }

  #end(ticket: number): void {
    this.#opening.get(ticket)?.abort();
    this.#opening.delete(ticket);
  }

  async #load(
    origin: NetworkOrigin,
    o: OpenOptions,
    onProgress: OnProgress | undefined,
    signal: AbortSignal,
  ): Promise<NetworkEntry> {
    const runtime = await this.#runtimes.get(o, onProgress);
    const network = await guarded(runtime.wasm, async () => {
      // An abort is a message, or comes from a timer: it is heard between the parts, none of which can be interrupted.
      if (origin.kind === "create") {
        await yieldNow();
        signal.throwIfAborted();
        return createNetwork(runtime, origin);
      }
      const file = await toModelFile(origin.bytes, o, this.#converter, onProgress);
      await yieldNow();
      signal.throwIfAborted();
      return loadModel(runtime, file, o.arch);
    });
    await yieldNow();
    if (signal.aborted) network.free();
    signal.throwIfAborted();
    onProgress?.({ phase: "plan", loaded: 0, total: 1 });
    return planned(runtime, network, o.backend ?? "auto");
  }

  /** Does `work` in the network's turn, a second time on a new device if the GPU is lost. */
  #infer<T>(id: number, work: (network: WasmNetwork) => Promise<T>): Promise<T> {
    return this.#networks.withWeights(id, ({ network }) => retryOnNewDevice(network, () => work(network)));
  }
}

/** Marks the tensors' memory as given away, so that it is not cloned. */
function transferAll(tensors: Record<string, TensorData>): Record<string, TensorData> {
  const buffers = Object.values(tensors).map(({ data }) => data.buffer as ArrayBuffer);
  return transfer(tensors, buffers);
}
