// Converts ONNX files to model files and back. A wasm module of its own does it, which is fetched when it is needed.
import { ConvokeError, fromEngine } from "../shared/errors.js";
import { compile, locate, type WasmConverter, type WasmFile } from "./builds.js";

type Bytes = Uint8Array<ArrayBuffer>;

export class OnnxConverter {
  #file: WasmFile<WasmConverter>;
  #loading: Promise<WasmConverter> | undefined;

  constructor(file: WasmFile<WasmConverter>) {
    this.#file = file;
  }

  /** Converts an ONNX file to a model file. */
  toModel(bytes: Bytes, wasmUrl?: string): Promise<Bytes> {
    return this.#convert(wasmUrl, (wasm) => wasm.onnxToModel(bytes));
  }

  /** Converts a model file to an ONNX file. */
  fromModel(bytes: Bytes, wasmUrl?: string): Promise<Bytes> {
    return this.#convert(wasmUrl, (wasm) => wasm.modelToOnnx(bytes));
  }

  async #convert(wasmUrl: string | undefined, work: (wasm: WasmConverter) => Bytes): Promise<Bytes> {
    this.#loading ??= this.#load(wasmUrl);
    const wasm = await this.#loading;
    try {
      return work(wasm);
    } catch (error) {
      throw conversionError(error, wasm.panicMessage());
    } finally {
      // A fresh memory: one that has grown for a large file never shrinks.
      wasm.__wbg_reset_state();
    }
  }

  async #load(wasmUrl?: string): Promise<WasmConverter> {
    try {
      const url = locate("onnx", this.#file.url(), wasmUrl);
      const [wasm, module] = await Promise.all([this.#file.glue(), compile(url)]);
      await wasm.default({ module_or_path: module });
      return wasm;
    } catch (error) {
      this.#loading = undefined; // The next conversion may try again.
      throw error;
    }
  }
}

/** Types an error of the converter. A trap ends only the conversion: the engine has a module of its own. */
export function conversionError(error: unknown, panic?: string): Error {
  if (!(error instanceof WebAssembly.RuntimeError)) return fromEngine(error);
  const reason = panic ?? error.message;
  return new ConvokeError("unsupported", `the file could not be converted: ${reason}`, { reason }, { cause: error });
}
