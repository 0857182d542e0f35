/** Holds asynchronous functions while it is closed. */
export class Gate {
  #waiting: (() => void)[] | undefined;
  #ended = false;

  get closed(): boolean {
    return this.#waiting !== undefined;
  }

  close(): void {
    if (!this.#ended) this.#waiting ??= [];
  }

  open(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const resume of waiting) resume();
  }

  /** Opens the gate for good: later calls of `close` have no effect. */
  end(): void {
    this.#ended = true;
    this.open();
  }

  /** Resolves when the gate is open. Rejects with the signal's reason when the signal aborts before. */
  opened(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      if (!this.#waiting) return resolve();
      const abort = () => reject(signal?.reason);
      signal?.addEventListener("abort", abort, { once: true });
      this.#waiting.push(() => {
        signal?.removeEventListener("abort", abort);
        resolve();
      });
    });
  }
}
