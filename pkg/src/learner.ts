import { ConvokeError, wrongArgument } from "./errors.js";
import type { Network } from "./network.js";
import type { ImageSource, LearnOptions, StepReport, TrainingData, TransferOptions } from "./types.js";

/** The most that the embeddings of all images may take. */
const MAX_BYTES = 64 * 2 ** 20;

type Chosen = Required<Omit<TransferOptions, "from">>;

interface Parts {
  /** The whole network, whose head is to be replaced. */
  base: Network;
  /** From an image to its embedding. */
  body: Network;
  /** From embeddings to classes. */
  head: Network;
}

/** What is kept of an image. */
interface Kept {
  embedding: Float32Array;
  /** Whether it judges what was learnt from the others, for as long as it is here. */
  heldOut: boolean;
}

/** A class's images, and how many were added over its life. */
interface Kind {
  images: Kept[];
  added: number;
}

/** Learns classes from few images. Of each image only its embedding is kept: what the network makes of it. */
export class Learner implements Disposable {
  /** The names, in the order of the new network's outputs. */
  readonly classes: readonly string[];
  #seed: number;
  #validation: number;
  #parts: Parts;
  #kinds: Map<string, Kind>;

  private constructor({ classes, seed, validation }: Chosen, parts: Parts) {
    this.classes = classes;
    this.#seed = seed;
    this.#validation = validation;
    this.#parts = parts;
    this.#kinds = new Map(classes.map((name) => [name, { images: [], added: 0 }]));
  }

  /** @internal */
  static of(chosen: Chosen, parts: Parts): Learner {
    return new Learner(chosen, parts);
  }

  /** How many images each class has. */
  get counts(): Record<string, number> {
    return Object.fromEntries([...this.#kinds].map(([name, { images }]) => [name, images.length]));
  }

  /** What the embeddings take, at most 64 MiB. */
  get bytes(): number {
    return this.#all().reduce((sum, { embedding }) => sum + embedding.byteLength, 0);
  }

  /**
   * Adds an image of a class. Where `transfer` was given a share for validation, it is decided here and for good whether
   * the image is among those: with 0.2 every fifth is.
   *
   * @throws ConvokeError `argument` for a class that was not named, `too-large` beyond 64 MiB of embeddings.
   */
  async add(name: string, image: ImageSource): Promise<void> {
    const kind = this.#kind(name);
    const { data } = await this.#parts.body.run(image);
    const length = this.#parts.head.input.reduce((n, d) => n * d);
    if (data.length !== length) throw wrongArgument("image", "a batch of one", `${data.length / length}`);
    const [actual, limit] = [this.bytes + data.byteLength, MAX_BYTES];
    if (actual > limit) {
      const text = `embeddings: ${actual} bytes exceed the limit of ${limit}`;
      throw new ConvokeError("too-large", text, { what: "embeddings", actual, limit });
    }
    const share = this.#validation;
    const heldOut = Math.floor((kind.added + 1) * share) > Math.floor(kind.added * share);
    kind.added++;
    kind.images.push({ embedding: data, heldOut });
  }

  /** Takes a class's image away, by its place among those of the class; the latest by default. */
  remove(name: string, index = -1): void {
    const { images } = this.#kind(name);
    if (images.at(index) === undefined || !Number.isInteger(index)) {
      throw wrongArgument("index", `that of one of the ${images.length} images of \`${name}\``, index);
    }
    images.splice(index, 1);
  }

  /**
   * Trains the head on the embeddings, from where it is, and reports every step.
   *
   * @throws ConvokeError `empty-dataset` for a class without images to learn from.
   */
  async *fit(o: LearnOptions = {}): AsyncGenerator<StepReport, void, void> {
    const { epochs = 30, learningRate = 0.01, batchSize = 16, signal } = o;
    for (const [name, { images }] of this.#kinds) {
      if (images.some(({ heldOut }) => !heldOut)) continue;
      const text = `class \`${name}\` has no images to learn from: expected at least one`;
      throw new ConvokeError("empty-dataset", text, { name });
    }
    const { head } = this.#parts;
    const seed = this.#seed;
    const [train, validation] = [this.#data(false), this.#data(true)];
    const trainer = await head.trainer({ optimizer: { kind: "adam", learningRate }, batchSize, seed });
    try {
      yield* trainer.fit(train, {
        epochs,
        ...(signal && { signal }),
        ...(validation.labels.length > 0 && { validation }),
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
    for (const { images } of this.#kinds.values()) images.length = 0;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #kind(name: string): Kind {
    const kind = this.#kinds.get(name);
    if (!kind) throw wrongArgument("class", `one of ${this.classes.join(", ")}`, name);
    return kind;
  }

  /** All images with their classes. */
  #all(): (Kept & { label: number })[] {
    return [...this.#kinds.values()].flatMap(({ images }, label) => images.map((image) => ({ ...image, label })));
  }

  /** The embeddings to learn from, or those held out. */
  #data(heldOut: boolean): TrainingData {
    const chosen = this.#all().filter((image) => image.heldOut === heldOut);
    const [c, h, w] = this.#parts.head.input as [number, number, number];
    const images = new Float32Array(chosen.length * c * h * w);
    chosen.forEach(({ embedding }, i) => void images.set(embedding, i * c * h * w));
    return { images, labels: chosen.map(({ label }) => label), shape: [chosen.length, c, h, w] };
  }
}
