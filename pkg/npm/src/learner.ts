import type { Handle } from "./handle.js";
import { takeImage } from "./image-input.js";
import type { OpenedNetwork } from "./shared/engine-rpc.js";
import { ConvokeError, wrongArgument } from "./shared/errors.js";
import type { ImageSource, LearnOptions, StepReport, TrainingData, TransferOptions } from "./shared/types.js";
import { BaseTrainer, startTrainer } from "./trainer.js";

/** The most bytes of embeddings that a learner keeps. */
const MAX_BYTES = 64 * 2 ** 20;

type Shape = readonly [channels: number, height: number, width: number];

/** The networks that a learner works with. */
export interface LearnerParts<N> {
  /** The whole network, whose head is to be replaced. */
  base: Handle;
  /** From an image to its embedding. */
  body: Handle;
  /** From an embedding to classes. */
  head: Handle;
  /** The shape of one embedding. */
  embedding: Shape;
  /** Wraps a network that the engine made of the base and a head. */
  wrap(opened: OpenedNetwork): N;
}

/** The options of a learner, without the ones that the engine has used already. */
export type LearnerSettings = Required<Omit<TransferOptions, "from">>;

interface Embedding {
  values: Float32Array;
  /** Whether it is kept for validation, for as long as it is here. */
  heldOut: boolean;
}

interface LearnerClass {
  embeddings: Embedding[];
  /** Images that were added so far, removed ones included. */
  added: number;
}

/**
 * Learns classes from few images. Of each image only its embedding is kept, the output of the network before its head.
 *
 * The type of the network is a parameter, because `network.ts` imports this file and not the reverse.
 */
export class BaseLearner<N> implements Disposable {
  /**
   * The names of the classes, in the order of the new network's outputs.
   *
   * @example
   * for (const name of learner.classes) console.log(name);
   */
  readonly classes: readonly string[];
  /**
   * The seed of the head's first weights and of the order of its training: the option `seed`, or a number that was drawn
   * where it was not given.
   *
   * @example
   * const again = await net.transfer({ classes: ["cat", "dog"], seed: learner.seed });
   */
  readonly seed: number;
  #validation: number;
  #parts: LearnerParts<N>;
  #classes: Map<string, LearnerClass>;

  protected constructor({ classes, seed, validation }: LearnerSettings, parts: LearnerParts<N>) {
    this.classes = classes;
    this.seed = seed;
    this.#validation = validation;
    this.#parts = parts;
    this.#classes = new Map(classes.map((name) => [name, { embeddings: [], added: 0 }]));
  }

  /**
   * The number of images of each class.
   *
   * @example
   * console.log(learner.counts.cat);
   */
  get counts(): Record<string, number> {
    return Object.fromEntries([...this.#classes].map(([name, { embeddings }]) => [name, embeddings.length]));
  }

  /**
   * The memory of the embeddings, in bytes: at most 64 MiB.
   *
   * @example
   * console.log(`${learner.bytes} bytes`);
   */
  get bytes(): number {
    return this.#all().reduce((sum, { values }) => sum + values.byteLength, 0);
  }

  /**
   * Adds an image of a class. Where `transfer` was given a share for `validation`, that share of the images is held out
   * when they are added, and for good: with 0.2 every fifth.
   *
   * @throws ConvokeError `argument` for a class that was not named, `too-large` beyond 64 MiB of embeddings.
   *
   * @example
   * await learner.add("cat", image);
   */
  async add(name: string, image: ImageSource): Promise<void> {
    const kind = this.#class(name);
    const { body } = this.#parts;
    body.check();
    const taken = takeImage(image, body.connection);
    const input = taken instanceof Promise ? await taken : taken;
    const { data: values } = await body.call((engine, id) => engine.run(id, input));
    const length = this.#parts.embedding.reduce((n, d) => n * d);
    if (values.length !== length) throw wrongArgument("image", "a batch of one", `${values.length / length}`);
    const [actual, limit] = [this.bytes + values.byteLength, MAX_BYTES];
    if (actual > limit) {
      const text = `embeddings: ${actual} bytes exceed the limit of ${limit}`;
      throw new ConvokeError("too-large", text, { what: "embeddings", actual, limit });
    }
    const share = this.#validation;
    const heldOut = Math.floor((kind.added + 1) * share) > Math.floor(kind.added * share);
    kind.added++;
    kind.embeddings.push({ values, heldOut });
  }

  /**
   * Removes one image of a class, by its position among the images of that class.
   *
   * @throws ConvokeError `argument` for a class or a position that there is not.
   *
   * @param index - counts from the end where it is negative; -1, the latest image, by default
   *
   * @example
   * learner.remove("cat");
   */
  remove(name: string, index = -1): void {
    const { embeddings } = this.#class(name);
    if (embeddings.at(index) === undefined || !Number.isInteger(index)) {
      throw wrongArgument("index", `the position of one of the ${embeddings.length} images of \`${name}\``, index);
    }
    embeddings.splice(index, 1);
  }

  /**
   * Trains the head on the embeddings, from its present weights, and reports every step.
   *
   * @throws ConvokeError `empty-dataset` for a class without images to learn from.
   *
   * @example
   * for await (const { loss, validation } of learner.fit({ epochs: 30 })) console.log(loss, validation?.top1);
   */
  async *fit(o: LearnOptions = {}): AsyncGenerator<StepReport, void, void> {
    const { epochs = 30, learningRate = 0.01, batchSize = 16, signal } = o;
    for (const [name, { embeddings }] of this.#classes) {
      if (embeddings.some(({ heldOut }) => !heldOut)) continue;
      const text = `class \`${name}\` has no images to learn from: expected at least one`;
      throw new ConvokeError("empty-dataset", text, { name });
    }
    const { head } = this.#parts;
    const [train, validation] = [this.#data(false), this.#data(true)];
    const options = { optimizer: { kind: "adam", learningRate }, batchSize, seed: this.seed } as const;
    const trainer = BaseTrainer.of(head, await startTrainer(head, options));
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

  /**
   * Returns a new network with the present head. It lives until it is disposed of, without the learner.
   *
   * @example
   * const mine = await learner.network();
   * console.log(await mine.classify(image));
   */
  async network(): Promise<N> {
    const { base, head, wrap } = this.#parts;
    return wrap(await base.call((engine, id) => engine.withHead(id, head.id)));
  }

  /**
   * Frees the learner's memory. The network that it was made from stays.
   *
   * @example
   * learner.dispose();
   */
  dispose(): void {
    const { base, body, head } = this.#parts;
    for (const part of [base, body, head]) part.dispose();
    for (const { embeddings } of this.#classes.values()) embeddings.length = 0;
  }

  /**
   * Disposes of the learner at the end of its block.
   *
   * @example
   * using temporary = await net.transfer({ classes: ["cat", "dog"] });
   */
  [Symbol.dispose](): void {
    this.dispose();
  }

  #class(name: string): LearnerClass {
    const kind = this.#classes.get(name);
    if (!kind) throw wrongArgument("class", `one of ${this.classes.join(", ")}`, name);
    return kind;
  }

  /** Returns all embeddings with their classes. */
  #all(): (Embedding & { label: number })[] {
    return [...this.#classes.values()].flatMap(({ embeddings }, label) =>
      embeddings.map((embedding) => ({ ...embedding, label })),
    );
  }

  /** Returns the embeddings to learn from, or the ones that are held out. */
  #data(heldOut: boolean): TrainingData {
    const chosen = this.#all().filter((embedding) => embedding.heldOut === heldOut);
    const [c, h, w] = this.#parts.embedding;
    const images = new Float32Array(chosen.length * c * h * w);
    chosen.forEach(({ values }, i) => void images.set(values, i * c * h * w));
    return { images, labels: chosen.map(({ label }) => label), shape: [chosen.length, c, h, w] };
  }
}
