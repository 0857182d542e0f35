// Turns files and names into networks.
import type { Bytes, NetworkOrigin, OpenOptions } from "../shared/engine-rpc.js";
import { wrongArgument } from "../shared/errors.js";
import { digest } from "../shared/integrity.js";
import type { Progress } from "../shared/types.js";
import type { WasmNetwork } from "./builds.js";
import type { OnnxConverter } from "./onnx.js";
import type { Runtime } from "./runtimes.js";

/** Makes a network with fresh weights. */
export function createNetwork({ wasm, pool }: Runtime, origin: NetworkOrigin & { kind: "create" }): WasmNetwork {
  const { name, classes, labels, seed } = origin;
  const network = wasm.Network.create(name, classes, seed, pool);
  try {
    if (labels) network.setLabels(labels);
    return network;
  } catch (error) {
    network.free();
    throw error;
  }
}

/** Reads a model file. The tensors after its header are hashed by the browser, which is faster than the engine. */
export async function loadModel({ wasm, pool }: Runtime, file: Bytes, arch: string | undefined): Promise<WasmNetwork> {
  const length = file.length < 8 ? 0n : new DataView(file.buffer, file.byteOffset).getBigUint64(0, true);
  const start = 8 + Math.min(Number(length), file.length);
  const hashed = new TextDecoder().decode(file.subarray(8, start)).includes('"sha256"');
  const sha256 = hashed ? await digest(async () => undefined)(file.subarray(start)) : undefined;
  return wasm.Network.load(file, sha256, arch, pool);
}

/** Returns the model file in `file`: an ONNX file is converted, any other is returned as it is. */
export async function toModelFile(
  file: Bytes,
  o: OpenOptions,
  converter: OnnxConverter,
  onProgress?: (progress: Progress) => void,
): Promise<Bytes> {
  if (o.format !== undefined && o.format !== "onnx" && o.format !== "safetensors") {
    throw wrongArgument("format", "onnx or safetensors", o.format);
  }
  if (o.format ? o.format !== "onnx" : !looksLikeOnnx(file)) return file;
  if (o.arch !== undefined) throw wrongArgument("arch", "none, as an ONNX file holds its network", o.arch);
  onProgress?.({ phase: "convert", loaded: 0, total: 1 });
  const model = await converter.toModel(file, o.wasmUrl);
  onProgress?.({ phase: "convert", loaded: 1, total: 1 });
  return model;
}

/** An ONNX file begins with the field of its IR version, a safetensors file with a length and a brace. */
function looksLikeOnnx(file: Bytes): boolean {
  return file[0] === 0x08 && file[8] !== 0x7b;
}
