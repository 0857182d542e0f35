// The operations on one network that need an image: they run in the network's turn.
import { message } from "../shared/errors.js";
import { isTensor } from "../shared/pixels.js";
import type {
  BackendCheck,
  Classification,
  LayerError,
  LayerTime,
  SelfTestOptions,
  SelfTestReport,
  TensorData,
} from "../shared/types.js";
import { webgpu } from "./backend.js";
import type { WasmNetwork } from "./builds.js";
import type { Rgba } from "./decode.js";

/** The largest relative error of a layer that is taken for rounding. */
const ROUNDING = 1e-3;

/** Returns the logits of a batch or an image. */
export function run(network: WasmNetwork, image: Rgba | TensorData): Promise<TensorData> {
  const { data, shape } = inputTensor(network, image);
  return network.run(data, Uint32Array.from(shape));
}

/** Returns the `top` likeliest classes of one image. */
export function classify(network: WasmNetwork, image: Rgba | TensorData, top: number): Promise<Classification[]> {
  return isTensor(image)
    ? network.classify(image.data, Uint32Array.from(image.shape), top)
    : network.classifyPixels(image.data, image.width, image.height, top);
}

/** Returns the outputs of these layers, each from a run of the part of the network that ends in it. */
export async function activations(
  network: WasmNetwork,
  image: Rgba | TensorData,
  layers: string[],
): Promise<Record<string, TensorData>> {
  const { data, shape } = inputTensor(network, image);
  const result: Record<string, TensorData> = {};
  for (const layer of layers) {
    const part = network.until(layer);
    try {
      await part.plan(network.backend);
      result[layer] = await part.run(data, Uint32Array.from(shape));
    } finally {
      part.free();
    }
  }
  return result;
}

/** Returns the time of each step of one run on the CPU. */
export function profile(network: WasmNetwork, image: Rgba | TensorData): LayerTime[] {
  const { data, shape } = inputTensor(network, image);
  return network.profile(data, Uint32Array.from(shape));
}

/** Compares each step with an exact one, on the CPU and, where there is one, on the GPU. */
export async function selfTest(
  network: WasmNetwork,
  onProgress: SelfTestOptions["onProgress"],
): Promise<SelfTestReport> {
  const available = await webgpu();
  const backends = [await checkBackend(network, "cpu", onProgress)];
  if (available !== true) return { backends, webgpu: available };
  try {
    backends.push(await checkBackend(network, "webgpu", onProgress));
    return { backends, webgpu: true };
  } catch (error) {
    // A GPU that cannot run this network is part of the answer, unless the network runs there.
    if (network.backend === "webgpu") throw error;
    return { backends, webgpu: message(error) };
  }
}

async function checkBackend(
  network: WasmNetwork,
  backend: BackendCheck["backend"],
  onProgress: SelfTestOptions["onProgress"],
): Promise<BackendCheck> {
  const progress = (done: number, total: number) => onProgress?.({ backend, done, total });
  const layers: LayerError[] = await network.selfTest(backend, progress);
  const worst = layers.reduce((a, b) => (b.error > a.error ? b : a));
  return { backend, passed: worst.error < ROUNDING, worst, layers };
}

/** Returns the input tensor for an image. A tensor is returned as it is. */
function inputTensor(network: WasmNetwork, image: Rgba | TensorData): TensorData {
  return isTensor(image) ? image : network.tensor(image.data, image.width, image.height);
}
