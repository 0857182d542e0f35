// Networks and trainers of the engine, as the page holds them.
import { checkSignal } from "./arguments.js";
import type { Connection } from "./connection.js";
import type { EngineRpc } from "./shared/engine-rpc.js";
import { ConvokeError } from "./shared/errors.js";

// A safety net for handles that were never disposed of: it frees memory some time after they were collected.
const forgotten = new FinalizationRegistry((release: () => void) => release());

/** Rejects when the signal aborts before `until` has settled. */
export function aborted(signal: AbortSignal, until: Promise<unknown>): Promise<never> {
  return new Promise((_, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    const settled = () => signal.removeEventListener("abort", abort);
    until.then(settled, settled);
  });
}

/** An object in the engine, by its number there. */
export class Handle {
  readonly connection: Connection;
  readonly id: number;
  /** The message of the error of calls after `dispose`. */
  #afterwards: string;
  #release: () => void;
  #disposed = false;

  /** `free` is the call that frees the object in the engine. */
  constructor(
    connection: Connection,
    id: number,
    afterwards: string,
    free: (engine: EngineRpc, id: number) => Promise<void>,
  ) {
    this.connection = connection;
    this.id = id;
    this.#afterwards = afterwards;
    // The closure must not hold this handle, or the registry would keep it alive.
    this.#release = () => void connection.call((engine) => free(engine, id)).catch(() => {});
    forgotten.register(this, this.#release, this);
  }

  /** Throws `disposed` after `dispose`. */
  check(): void {
    if (this.#disposed) throw new ConvokeError("disposed", this.#afterwards);
  }

  /** Calls the engine with the object's number. */
  async call<T>(work: (engine: EngineRpc, id: number) => Promise<T>): Promise<T> {
    this.check();
    return this.connection.call((engine) => work(engine, this.id));
  }

  /** Calls the engine. An abort rejects at once with the signal's reason, and the answer is dropped. */
  async abortable<T>(signal: AbortSignal | undefined, work: (engine: EngineRpc, id: number) => Promise<T>): Promise<T> {
    checkSignal(signal);
    signal?.throwIfAborted();
    const answer = this.call(work);
    return signal ? Promise.race([answer, aborted(signal, answer)]) : answer;
  }

  /** Frees the object; without effect the second time. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    forgotten.unregister(this);
    this.#release();
  }
}
