import { ConvokeError, wrongArgument } from "./errors.js";
import type { Network } from "./network.js";
import type { ImageSource, LearnOptions, StepReport, TrainingData } from "./types.js";

/** The most that the embeddings of all images may take. */
const MAX_BYTES = 64 * 2 ** 20;

interface Parts {
  /** The whole network, whose head is to be replaced. */
  base: Network;
  /** From an image to its embedding. */
  body: Network;
  /** From embeddings to classes. */
  head: Network;
}

/** Learns classes from few images. Of each image only its embedding is kept: what the network makes of it. */
export class Learner implements Disposable {
  /** The names, in the order of the new network's outputs. */
  readonly classes: readonly string[];
  #seed: number;
  #parts: Parts;
  #embeddings: Map<string, Float32Array[]>;

  private constructor(classes: string[], seed: number, parts: Parts) {
    this.classes = classes;
    this.#seed = seed;
    this.#parts = parts;
    this.#embeddings = new Map(classes.map((name) => [name, []]));
  }

  /** @internal */
  static of(classes: string[], seed: number, parts: Parts): Learner {
    return new Learner(classes, seed, parts);
  }

  /** How many images each class has. */
  get counts(): Record<string, number> {
    return Object.fromEntries([...this.#embeddings].map(([name, of]) => [name, of.length]));
  }

  /** What the embeddings take, at most 64 MiB. */
  get bytes(): number {
    return [...this.#embeddings.values()].flat().reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  /**
   * Adds an image of a class.
   *
   * @throws ConvokeError `argument` for a class that was not named, `too-large` beyond 64 MiB of embeddings.
   */
  async add(name: string, image: ImageSource): Promise<void> {
    const of = this.#of(name);
    const { data } = await this.#parts.body.run(image);
    const length = this.#parts.head.input.reduce((n, d) => n * d);
    if (data.length !== length) throw wrongArgument("image", "a batch of one", `${data.length / length}`);
    const [actual, limit] = [this.bytes + data.byteLength, MAX_BYTES];
    if (actual > limit) {
      const text = `embeddings: ${actual} bytes exceed the limit of ${limit}`;
      throw new ConvokeError("too-large", text, { what: "embeddings", actual, limit });
    }
    of.push(data);
  }

  /** Takes a class's image away, by its place among those of the class; the latest by default. */
  remove(name: string, index = -1): void {
    const of = this.#of(name);
    if (of.at(index) === undefined || !Number.isInteger(index)) {
      throw wrongArgument("index", `that of one of the ${of.length} images of \`${name}\``, index);
    }
    of.splice(index, 1);
  }

  /**
   * Trains the head on the embeddings, from where it is, and reports every step.
   *
   * @throws ConvokeError `empty-dataset` for a class without images.
   */
  async *fit(o: LearnOptions = {}): AsyncGenerator<StepReport, void, void> {
    const { epochs = 30, learningRate = 0.01, batchSize = 16, validation = 0, signal } = o;
    if (!(validation >= 0 && validation < 1)) throw wrongArgument("validation", "at least 0 and below 1", validation);
    for (const [name, { length }] of this.#embeddings) {
      if (length > 0) continue;
      const text = `class \`${name}\` has no images: expected at least one`;
      throw new ConvokeError("empty-dataset", text, { name });
    }
    const held = (of: Float32Array[]) => of.length - Math.floor(validation * of.length);
    const { head } = this.#parts;
    const seed = this.#seed;
    const [train, rest] = [this.#data((of) => of.slice(0, held(of))), this.#data((of) => of.slice(held(of)))];
    const trainer = await head.trainer({ optimizer: { kind: "adam", learningRate }, batchSize, seed });
    try {
      yield* trainer.fit(train, {
        epochs,
        ...(signal && { signal }),
        ...(rest.labels.length > 0 && { validation: rest }),
      });
    } finally {
      trainer.dispose();
    }
  }

  /** A new network with the head as it is now; it lives until disposed of, without the learner. */
  async network(): Promise<Network> {
    return this.#parts.base.withHead(this.#parts.head);
  }

  /** Frees the learner's memory; the network that it was made from stays. */
  dispose(): void {
    const { base, body, head } = this.#parts;
    for (const part of [base, body, head]) part.dispose();
    for (const of of this.#embeddings.values()) of.length = 0;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #of(name: string): Float32Array[] {
    const of = this.#embeddings.get(name);
    if (!of) throw wrongArgument("class", `one of ${this.classes.join(", ")}`, name);
    return of;
  }

  /** These of each class's embeddings, one after the other. */
  #data(chosen: (of: Float32Array[]) => Float32Array[]): TrainingData {
    const classes = [...this.#embeddings.values()].map(chosen);
    const labels = classes.flatMap((of, label) => of.map(() => label));
    const [c, h, w] = this.#parts.head.input as [number, number, number];
    const images = new Float32Array(labels.length * c * h * w);
    classes.flat().forEach((embedding, i) => void images.set(embedding, i * c * h * w));
    return { images, labels, shape: [labels.length, c, h, w] };
  }
}
