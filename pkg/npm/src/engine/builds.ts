// Loads the wasm builds of the engine.
import { environment } from "../shared/environment.js";
import { ConvokeError, fromEngine, message } from "../shared/errors.js";
import { refuseHtml, request } from "../shared/http.js";
import type { Progress, Tier } from "../shared/types.js";

// The builds export the same API; only the minified raw exports differ, and no code uses them directly.
type Glue = Omit<typeof import("../../wasm/simd128/convoke.js"), "default" | "initSync">;
type Init = (from: { module_or_path: WebAssembly.Module }) => Promise<{ readonly memory: WebAssembly.Memory }>;
export type Wasm = Glue & { default: Init };
export type ThreadedWasm = typeof import("../../wasm/threads/convoke.js");
export type WasmConverter = typeof import("../../wasm/onnx/convoke.js");
export type WasmNetwork = import("../../wasm/simd128/convoke.js").Network;
export type WasmTrainer = import("../../wasm/simd128/convoke.js").Trainer;
export type WasmPool = import("../../wasm/simd128/convoke.js").Pool;

/** One wasm module of the package: its JavaScript glue and its file. */
export interface WasmFile<Module> {
  glue(): Promise<Module>;
  url(): URL;
}

/** The files beside the package's code that the engine loads. */
export interface PackageFiles {
  tiers: Record<Tier, WasmFile<Wasm>>;
  onnx: WasmFile<WasmConverter>;
  /** Starts a worker that becomes a thread of the pool. */
  startThread(): Worker;
}

/** An instantiated build of the engine. */
export interface Build {
  wasm: Wasm;
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
}

/** Downloads, compiles and instantiates the build of a tier. `wasmUrl` is explained at `EngineOptions`. */
export async function loadBuild(
  files: PackageFiles,
  tier: Tier,
  wasmUrl?: string,
  onProgress?: (progress: Progress) => void,
): Promise<Build> {
  const isFile = wasmUrl !== undefined && !environment.resolve(wasmUrl).pathname.endsWith("/");
  const file = files.tiers[tier];
  const url = isFile ? environment.resolve(wasmUrl) : locate(tier, file.url(), wasmUrl);
  onProgress?.({ phase: "compile", loaded: 0, total: 1 });
  const [wasm, module] = await Promise.all([file.glue(), compile(url)]);
  const { memory } = await wasm.default({ module_or_path: module });
  onProgress?.({ phase: "compile", loaded: 1, total: 1 });
  return { wasm, module, memory };
}

/** Returns the URL of the wasm file `name`: below `wasmUrl` where that is a folder, else `usual`. */
export function locate(name: Tier | "onnx", usual: URL, wasmUrl?: string): URL {
  const url = wasmUrl === undefined ? undefined : environment.resolve(wasmUrl);
  return url?.pathname.endsWith("/") ? new URL(`${name}/convoke_bg.wasm`, url) : usual;
}

/** Downloads and compiles a wasm file. */
export async function compile(url: URL): Promise<WebAssembly.Module> {
  if (url.protocol === "file:" && environment.readFile) {
    return WebAssembly.compile(await environment.readFile(url));
  }
  const response = await request(url);
  const type = response.headers.get("Content-Type");
  try {
    // Streaming lets the browser keep the compiled code, but insists on the right type.
    if (type === "application/wasm") return await WebAssembly.compileStreaming(response);
    const bytes = new Uint8Array(await response.arrayBuffer());
    refuseHtml(bytes, type, url.href);
    return await WebAssembly.compile(bytes);
  } catch (cause) {
    if (cause instanceof ConvokeError) throw cause;
    if (!(cause instanceof WebAssembly.CompileError)) {
      throw new ConvokeError("network", `${url.href}: ${message(cause)}`, { url: url.href }, { cause });
    }
    const details = { url: url.href, expected: "a WebAssembly module", actual: type ?? "no Content-Type" };
    throw new ConvokeError("format", `${url.href} is not a WebAssembly module: ${cause.message}`, details, { cause });
  }
}

/** Does `work` with a build, whose errors become `ConvokeError`s. */
export async function guarded<T>(wasm: Wasm, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fromEngine(error, wasm.panicMessage());
  }
}
