// Which build of the engine runs here, and loading it. Decided by probes, never by the browser's name.
import { relaxedSimd, threads as sharedMemory, simd } from "wasm-feature-detect";
import { refuseHtml, request } from "./download.js";
import { environment } from "./environment.js";
import { ConvokeError, message, wrongArgument } from "./errors.js";
import type { Progress, Tier } from "./types.js";

export const TIERS: readonly Tier[] = ["simd128", "relaxed", "threads"];

// The builds differ in the names of their raw exports, which nobody calls.
type Glue = Omit<typeof import("../wasm/simd128/convoke.js"), "default" | "initSync">;
type Init = (from: { module_or_path: WebAssembly.Module }) => Promise<{ readonly memory: WebAssembly.Memory }>;
export type Wasm = Glue & { default: Init };
export type ThreadedWasm = typeof import("../wasm/threads/convoke.js");
export type Pool = import("../wasm/simd128/convoke.js").Pool;

// Bundlers find each import and each file by reading these lines: nothing here may be computed.
const builds = {
  simd128: {
    glue: (): Promise<Wasm> => import("../wasm/simd128/convoke.js"),
    wasm: () => new URL("../wasm/simd128/convoke_bg.wasm", import.meta.url),
  },
  relaxed: {
    glue: (): Promise<Wasm> => import("../wasm/relaxed/convoke.js"),
    wasm: () => new URL("../wasm/relaxed/convoke_bg.wasm", import.meta.url),
  },
  threads: {
    glue: (): Promise<Wasm> => import("../wasm/threads/convoke.js"),
    wasm: () => new URL("../wasm/threads/convoke_bg.wasm", import.meta.url),
  },
};

export interface Choice {
  tier: Tier;
  /** A sentence. */
  why: string;
  threads: number;
}

/** The most threads taken without being asked: more cost more in waiting than they bring. */
const MOST_THREADS = 8;

/** The best tier that runs here, or the forced one. */
export async function chooseTier(forced?: Tier, threads?: number): Promise<Choice> {
  if (forced !== undefined && !TIERS.includes(forced)) throw wrongArgument("tier", TIERS.join(", "), forced);
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 64)) {
    throw wrongArgument("threads", "a whole number from 1 to 64", threads);
  }
  if (!(await simd())) throw unsupported("simd128", "this browser has no WebAssembly SIMD");
  const processors = globalThis.navigator?.hardwareConcurrency ?? 1;
  const count = threads ?? Math.min(processors, MOST_THREADS);
  const lacking = { simd128: undefined, relaxed: await lackingRelaxed(), threads: await lackingThreads() };
  if (forced !== undefined) {
    const reason = lacking[forced];
    if (reason) throw unsupported(forced, reason);
    return { tier: forced, why: "chosen by the caller", threads: forced === "threads" ? count : 1 };
  }
  if (lacking.relaxed) return { tier: "simd128", why: lacking.relaxed, threads: 1 };
  if (lacking.threads) return { tier: "relaxed", why: `one thread, because ${lacking.threads}`, threads: 1 };
  if (count === 1) {
    const why = threads === 1 ? "one thread was asked for" : "there is one processor";
    return { tier: "relaxed", why, threads: 1 };
  }
  return { tier: "threads", why: `shared memory is available, ${count} threads`, threads: count };
}

async function lackingRelaxed(): Promise<string | undefined> {
  return (await relaxedSimd()) ? undefined : "there is no relaxed SIMD";
}

async function lackingThreads(): Promise<string | undefined> {
  const relaxed = await lackingRelaxed();
  if (relaxed) return relaxed;
  if (typeof Worker !== "function") return "there are no workers inside workers";
  if (typeof document !== "undefined") return "the engine runs on the page's thread, which must not wait";
  if (!globalThis.crossOriginIsolated) return "the page is not cross-origin isolated (COOP and COEP headers)";
  if (!(await sharedMemory())) return "WebAssembly has no threads here";
  // Without it wasm-bindgen would start a worker from a data: URL, which content security policies forbid.
  if (!("waitAsync" in Atomics)) return "there is no Atomics.waitAsync";
  return undefined;
}

function unsupported(tier: Tier, reason: string): ConvokeError {
  return new ConvokeError("unsupported", `the tier ${tier} does not run here: ${reason}`, { tier, reason });
}

export interface Build {
  wasm: Wasm;
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
}

/** Downloads, compiles and starts one build. */
export async function loadBuild(tier: Tier, wasmUrl?: string, onProgress?: (p: Progress) => void): Promise<Build> {
  const isFile = wasmUrl !== undefined && !environment.resolve(wasmUrl).pathname.endsWith("/");
  const url = isFile ? environment.resolve(wasmUrl) : located(tier, builds[tier].wasm(), wasmUrl);
  onProgress?.({ phase: "compile", loaded: 0, total: 1 });
  const [wasm, module] = await Promise.all([builds[tier].glue(), compile(url)]);
  const { memory } = await wasm.default({ module_or_path: module });
  onProgress?.({ phase: "compile", loaded: 1, total: 1 });
  return { wasm, module, memory };
}

/** Where the caller has put the wasm file `name`: in its own folder below `wasmUrl`, if that is a folder. */
export function located(name: Tier | "onnx", usual: URL, wasmUrl?: string): URL {
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
