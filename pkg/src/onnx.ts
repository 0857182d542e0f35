// ONNX files to model files and back. They have a wasm module of their own, which only those fetch who use it.
import { ConvokeError, fromEngine } from "./errors.js";
import { compile, located } from "./tiers.js";

type Bytes = Uint8Array<ArrayBuffer>;
type Converter = typeof import("../wasm/onnx/convoke.js");

let converter: Promise<Converter> | undefined;

/** The network in an ONNX file as a model file. */
export function onnxToModel(bytes: Bytes, wasmUrl?: string): Promise<Bytes> {
  return convert(wasmUrl, (wasm) => wasm.onnxToModel(bytes));
}

/** The network in a model file as an ONNX file. */
export function modelToOnnx(bytes: Bytes, wasmUrl?: string): Promise<Bytes> {
  return convert(wasmUrl, (wasm) => wasm.modelToOnnx(bytes));
}

async function convert(wasmUrl: string | undefined, work: (wasm: Converter) => Bytes): Promise<Bytes> {
  converter ??= load(wasmUrl);
  const wasm = await converter;
  try {
    return work(wasm);
  } catch (error) {
    throw conversionError(error, wasm.panicMessage());
  } finally {
    // A fresh memory: one that has grown for a large file never shrinks.
    wasm.__wbg_reset_state();
  }
}

/** A trap ends only the conversion: the module begins anew with the next file, and the engine never knew of this one. */
export function conversionError(error: unknown, panic?: string): Error {
  if (!(error instanceof WebAssembly.RuntimeError)) return fromEngine(error);
  const reason = panic ?? error.message;
  return new ConvokeError("unsupported", `the file could not be converted: ${reason}`, { reason }, { cause: error });
}

async function load(wasmUrl?: string): Promise<Converter> {
  try {
    const url = located("onnx", new URL("../wasm/onnx/convoke_bg.wasm", import.meta.url), wasmUrl);
    const [wasm, module] = await Promise.all([import("../wasm/onnx/convoke.js"), compile(url)]);
    await wasm.default({ module_or_path: module });
    return wasm;
  } catch (error) {
    converter = undefined; // The next conversion may try again.
    throw error;
  }
}
