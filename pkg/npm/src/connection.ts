// The way to the engine: in one worker for the whole page, or on the caller's own thread.
import { copyFloats } from "./arguments.js";
import type { EngineRpc } from "./shared/engine-rpc.js";
import { environment } from "./shared/environment.js";
import { ConvokeError, wrongArgument } from "./shared/errors.js";
import { proxy, transfer, wrap } from "./shared/rpc.js";

export abstract class Connection {
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
  #engine: Promise<EngineRpc> | undefined;

  override async call<T>(work: (engine: EngineRpc) => Promise<T>): Promise<T> {
    this.#engine ??= import("./own-engine.js").then(({ engine }) => engine);
    return work(await this.#engine);
  }
}

class InWorker extends Connection {
  /** Worker name; also the BroadcastChannel on which its threads report crashes. */
  #name = `convoke-${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
  #worker = startWorker(this.#name);
  #alarm = new BroadcastChannel(this.#name);
  // Comlink's proxy has the engine's methods, all of which return promises already.
  #engine = wrap(this.#worker) as unknown as EngineRpc;
  #waiting = new Set<(error: Error) => void>();
  #crashed: ConvokeError | undefined;
  /** Shared memory for the next call of `share`, when no call uses it. */
  #free: SharedArrayBuffer | undefined;

  constructor(private readonly onCrash: () => void) {
    super();
    // A message that cannot be read is an answer that never comes.
    for (const type of ["error", "messageerror"] as const) {
      this.#worker.addEventListener(type, (event) => {
        event.preventDefault?.();
        this.#crash(reason(event));
      });
    }
    this.#alarm.onmessage = ({ data }) => this.#crash(stopped(`a thread stopped: ${data}`));
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
    this.#worker.terminate();
    this.#alarm.close();
    this.onCrash();
    for (const reject of this.#waiting) reject(error);
    this.#waiting.clear();
  }
}

function startWorker(name: string): Worker {
  try {
    return new Worker(new URL("./worker.js", import.meta.url), { type: "module", name });
  } catch (cause) {
    // A worker's script must come from the page's own origin.
    const hint = "serve the package from the page's origin, or pass worker: false";
    throw new ConvokeError("unsupported", `the engine's worker could not be started: ${cause}; ${hint}`, {}, { cause });
  }
}

/** Types the error of a message that the browser refused to send. */
function unsendable(error: unknown): unknown {
  if (!(error instanceof DOMException && error.name === "DataCloneError")) return error;
  return wrongArgument("arguments", "values that can be sent to the engine's worker", error.message);
}

function reason(event: Event): ConvokeError {
  const said = event instanceof ErrorEvent && event.message ? event.message : undefined;
  const text = said ?? "its script did not load, or the content security policy has no worker-src for it";
  return stopped(text);
}

function stopped(reason: string): ConvokeError {
  return new ConvokeError("worker-crashed", `the engine's worker stopped: ${reason}`, { reason });
}

const ownThread = new OwnThread();
let inWorker: InWorker | undefined;

/** Returns the page's engine. After a crash the next call starts a new worker. */
export function connect(worker: boolean = environment.worker): Connection {
  if (!worker) return ownThread;
  inWorker ??= new InWorker(() => {
    inWorker = undefined;
  });
  return inWorker;
}

/** Returns the engines that may have networks. */
export function connections(): Connection[] {
  return inWorker ? [ownThread, inWorker] : [ownThread];
}
