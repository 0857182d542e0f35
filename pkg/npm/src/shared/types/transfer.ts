// Options for learning classes from few images.
import type { FitOptions } from "./training.js";

/** Options of `net.transfer`. */
export interface TransferOptions {
  /**
   * Names of the new classes: 2 to 1000, not empty and not equal.
   *
   * @example { classes: ["cat", "dog"] }
   */
  classes: string[];
  /**
   * Decides the new head's first weights and the order of its training, a whole number below 2^32. `learner.seed` is the
   * number.
   *
   * @defaultValue a number drawn at random
   * @example { classes: ["cat", "dog"], seed: 7 }
   */
  seed?: number;
  /**
   * The layer whose features the new head sees, averaged over a grid of 4x4. The new network has no layers after it.
   *
   * @defaultValue the layer before the old head
   * @example { classes: ["cat", "dog"], from: "layer2.2.relu" }
   */
  from?: string;
  /**
   * The share of each class's images that is held out for validation, at least 0 and below 1.
   *
   * @defaultValue `0`
   * @example { classes: ["cat", "dog"], validation: 0.25 }
   */
  validation?: number;
}

/** Options of `learner.fit`. */
export interface LearnOptions extends Pick<FitOptions, "signal"> {
  /**
   * Passes over the images, at least 1.
   *
   * @defaultValue `30`
   * @example { epochs: 10 }
   */
  epochs?: number;
  /**
   * The step size of Adam, at least 0.
   *
   * @defaultValue `0.01`
   * @example { learningRate: 0.003 }
   */
  learningRate?: number;
  /**
   * Images in a step, 1 to 65536.
   *
   * @defaultValue `16`
   * @example { batchSize: 8 }
   */
  batchSize?: number;
}
