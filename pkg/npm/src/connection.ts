// The way to the engine: in one worker for the whole page, or on the caller's own thread.
import { copyFloats } from "./arguments.js";
import type { EngineRpc } from "./shared/engine-rpc.js";
import { environment } from "./shared/environment.js";
import { ConvokeError, message, wrongArgument } from "./shared/errors.js";
import { proxy, transfer, wrap } from "./shared/rpc.js";

export abstract class Connection {
  /** Whether the engine runs in a worker. */
  abstract readonly worker: boolean;

  /** Calls the engine. Rejects when the engine dies before it answers. */
  abstract call<T>(work: (engine: EngineRpc) => Promise<T>): Promise<T>;

  /** Returns a function that the engine can call. */
  callback<F extends (...args: never[]) => void>(f: F): F {
    return f;
  }

  /** Marks buffers to be moved rather than copied when `value` is sent. */
  transfer<T>(value: T, _buffers: Transferable[]): T {
    return value;
  }

  /** Does `work` with a copy of these numbers in memory that the engine can read. */
  share<T>(numbers: Float32Array, work: (numbers: Float32Array) => Promise<T>): Promise<T> {
    return work(copyFloats("data", numbers));
  }
}

class OwnThread extends Connection {
  readonly worker = false;
  #engine: Promise<EngineRpc> | undefined;

  override async call<T>(work: (engine: EngineRpc) => Promise<T>): Promise<T> {
    this.#engine ??= import("./own-engine.js").then(({ engine }) => engine);
    return work(await this.#engine);
  }
}

class InWorker extends Connection {
  readonly worker = true;
  /** Worker name; also the BroadcastChannel on which its threads report crashes. */
  #name = `convoke-${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
  #process = startWorker(this.#name);
  #alarm = new BroadcastChannel(this.#name);
  // Comlink's proxy has the engine's methods, all of which return promises already.
  #engine = wrap(this.#process) as unknown as EngineRpc;
  #waiting = new Set<(error: Error) => void>();
  #crashed: ConvokeError | undefined;
  /** Whether the worker has given an answer, so that its script runs. */
  #started = false;
  /** Shared memory for the next call of `share`, when no call uses it. */
  #free: SharedArrayBuffer | undefined;

  constructor(private readonly onCrash: () => void) {
    super();
    // A message that cannot be read is an answer that never comes.
    for (const type of ["error", "messageerror"] as const) {
      this.#process.addEventListener(type, (event) => {
        event.preventDefault?.();
        const said = event instanceof ErrorEvent && event.message ? event.message : undefined;
        if (said !== undefined) this.#crash(stopped(said));
        else if (this.#started) this.#crash(stopped("it sent a message that cannot be read"));
        else void startFailure().then((error) => this.#crash(error));
      });
    }
    this.#watch().catch(() => {}); // Without locks, an end without an event is not heard.
    this.#alarm.onmessage = ({ data }) => this.#crash(stopped(`a thread stopped: ${data}`));
  }

  /** Hears of the end of the worker, which fires no event: a lock that the worker holds then comes to the page. */
  async #watch(): Promise<void> {
    const held = await this.#engine.hold(this.#name);
    this.#started = true;
    if (!held) return;
    await navigator.locks.request(this.#name, () => this.#crash(stopped("it ended, closed or killed by the browser")));
  }

  override call<T>(work: (engine: EngineRpc) => Promise<T>): Promise<T> {
    if (this.#crashed) return Promise.reject(this.#crashed);
    return new Promise<T>((resolve, reject) => {
      this.#waiting.add(reject);
      // An executor that throws rejects its promise, but would leave `reject` among the waiting ones.
      const answer = (async () => work(this.#engine))();
      answer
        .then(resolve, (error) => {
          reject(unsendable(error));
          // A trap leaves the engine's memory in an unknown state.
          if (error instanceof ConvokeError && error.code === "worker-crashed") this.#crash(error);
        })
        .finally(() => this.#waiting.delete(reject));
    });
  }

  override callback<F extends (...args: never[]) => void>(f: F): F {
    return proxy(f);
  }

  override transfer<T>(value: T, buffers: Transferable[]): T {
    return transfer(value, buffers);
  }

  /** Uses shared memory where the page may have it: cloning an image into a message takes as long as a small network. */
  override async share<T>(numbers: Float32Array, work: (numbers: Float32Array) => Promise<T>): Promise<T> {
    const memory = this.#sharedMemory(numbers.byteLength);
    if (!memory) return super.share(numbers, work);
    const shared = new Float32Array(memory, 0, numbers.length);
    shared.set(numbers);
    try {
      return await work(shared);
    } finally {
      this.#free = memory;
    }
  }

  /** Returns shared memory, where the browser has it and may send it. Isolation alone does not prove either. */
  #sharedMemory(bytes: number): SharedArrayBuffer | undefined {
    if (!globalThis.crossOriginIsolated || typeof SharedArrayBuffer !== "function") return undefined;
    const memory = this.#free;
    this.#free = undefined;
    if (memory && memory.byteLength >= bytes) return memory;
    try {
      return new SharedArrayBuffer(bytes);
    } catch {
      return undefined; // No room: a copy may still find some.
    }
  }

  #crash(error: ConvokeError): void {
    if (this.#crashed) return;
    this.#crashed = error;
    this.#process.terminate();
    this.#alarm.close();
    this.onCrash();
    for (const reject of this.#waiting) reject(error);
    this.#waiting.clear();
  }
}

function startWorker(name: string): Worker {
  try {
    return newWorker(name);
  } catch (cause) {
    // A worker's script must come from the page's own origin.
    const hint = "serve the package from the page's origin, or pass worker: false";
    throw new ConvokeError("unsupported", `the engine's worker could not be started: ${cause}; ${hint}`, {}, { cause });
  }
}

/** Bundlers find the worker by this expression, of which there may be one only. */
function newWorker(name: string): Worker {
  return new Worker(new URL("./worker.js", import.meta.url), { type: "module", name });
}

/** Returns the URL of the worker's script. A bundler has changed the expression that says it, so it is run once more. */
function workerUrl(): URL {
  const { Worker: original } = globalThis;
  let url: string | URL = "";
  globalThis.Worker = class {
    constructor(script: string | URL) {
      url = script;
    }
  } as unknown as typeof Worker;
  try {
    newWorker("");
  } finally {
    globalThis.Worker = original;
  }
  return new URL(url, globalThis.location.href);
}

/** Time for a look at the script of a worker that did not start. */
const LOOK_MS = 3000;

/** Returns the error of a worker whose script did not run, with the likely causes in order and the facts seen. */
async function startFailure(): Promise<ConvokeError> {
  const url = workerUrl();
  const { origin } = globalThis.location;
  const causes: string[] = [];
  const seen: Record<string, unknown> = { url: url.href, origin };
  if (url.origin !== origin) causes.push(`the script is of ${url.origin}, and must be of the page's origin, ${origin}`);
  try {
    const response = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(LOOK_MS) });
    const [type, policy] = ["Content-Type", "Cross-Origin-Embedder-Policy"].map((name) => response.headers.get(name));
    Object.assign(seen, { status: response.status, "Content-Type": type, "Cross-Origin-Embedder-Policy": policy });
    if (!response.ok) causes.push(`the server answers ${response.status}`);
    else if (!type?.includes("javascript"))
      causes.push(`its Content-Type is ${type ?? "missing"}, expected text/javascript`);
    if (globalThis.crossOriginIsolated && !policy) {
      causes.push("the page is isolated, and the script comes without Cross-Origin-Embedder-Policy");
    } else if (globalThis.crossOriginIsolated) {
      causes.push("an answer 304 came without Cross-Origin-Embedder-Policy, which belongs on every answer");
    }
  } catch (cause) {
    causes.push(`it cannot be fetched (${message(cause)})`);
  }
  causes.push(
    "the content security policy has no worker-src or script-src for it",
    "a module that it imports is missing",
  );
  const reason = `${url.href} did not load: ${causes.join("; or ")}. Pass worker: false to do without a worker`;
  const text = `the engine's worker did not start: ${reason}`;
  return new ConvokeError("worker-crashed", text, { ...seen, reason, causes });
}

/** Types the error of a message that the browser refused to send. */
function unsendable(error: unknown): unknown {
  if (!(error instanceof DOMException && error.name === "DataCloneError")) return error;
  return wrongArgument("arguments", "values that can be sent to the engine's worker", error.message);
}

function stopped(reason: string): ConvokeError {
  return new ConvokeError("worker-crashed", `the engine's worker stopped: ${reason}`, { reason });
}

const ownThread = new OwnThread();
let inWorker: InWorker | undefined;

/**
 * Returns the page's engine. After a crash the next call starts a new worker. Where no worker may be started, as in a
 * sandboxed frame, the engine runs on the caller's thread, unless the caller asked for a worker.
 */
export function connect(worker?: boolean): Connection {
  if (!(worker ?? environment.worker)) return ownThread;
  try {
    inWorker ??= new InWorker(() => {
      inWorker = undefined;
    });
    return inWorker;
  } catch (error) {
    if (worker) throw error;
    return ownThread;
  }
}

/** Returns the engines that may have networks. */
export function connections(): Connection[] {
  return inWorker ? [ownThread, inWorker] : [ownThread];
}
