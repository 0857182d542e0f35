// The network the page classifies with; it is owned here.
import type { Network } from "convoke";

/** A network of the engine's list with random weights. */
export interface Created {
  create: string;
}

export interface Current {
  network: Network;
  /** Where it comes from, as the page says it. */
  origin: string;
  /** The source of the network, from which it is loaded again when its worker has crashed. */
  source: string | Blob | Uint8Array | Created;
}

export class CurrentNetwork {
  #current: Current | undefined;
  #listeners: ((current: Current) => void)[] = [];

  get(): Current | undefined {
    return this.#current;
  }

  /** Takes a network over and lets the former one go. */
  replace(next: Current): void {
    const former = this.#current?.network;
    this.#current = next;
    for (const listener of this.#listeners) listener(next);
    if (former !== next.network) former?.dispose();
  }

  /** Returns what ends the listening. */
  onChange(listener: (current: Current) => void): () => void {
    this.#listeners.push(listener);
    return () => {
      this.#listeners = this.#listeners.filter((other) => other !== listener);
    };
  }
}
