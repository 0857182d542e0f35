// Optimizers, losses and learning rate schedules.

/** Options that every optimizer has. */
export interface CommonOptimizerOptions {
  /**
   * The step size, before the schedule; at least 0.
   *
   * @defaultValue `0.01` for `sgd`, `0.001` for the others
   * @example { learningRate: 0.003 }
   */
  learningRate?: number;
  /**
   * The decay of weights, at least 0; biases do not decay. `adamw` shrinks weights by this times the learning rate, the
   * others add this times the weight to the gradient.
   *
   * @defaultValue `0.01` for `adamw`, `0` for the others
   * @example { weightDecay: 1e-4 }
   */
  weightDecay?: number;
}

/** Stochastic gradient descent with momentum. */
export interface SgdOptions extends CommonOptimizerOptions {
  /**
   * Selects the optimizer.
   *
   * @example { kind: "sgd", learningRate: 0.1 }
   */
  kind: "sgd";
  /**
   * The share of the last update that is repeated, at least 0 and below 1.
   *
   * @defaultValue `0`; a trainer without `optimizer` takes SGD with `0.9`
   * @example { kind: "sgd", momentum: 0.9 }
   */
  momentum?: number;
  /**
   * Whether the gradient is taken after the momentum (Nesterov).
   *
   * @defaultValue `false`
   * @example { kind: "sgd", momentum: 0.9, nesterov: true }
   */
  nesterov?: boolean;
}

/** Adam, and AdamW, in which weights decay apart from the gradient. */
export interface AdamOptions extends CommonOptimizerOptions {
  /**
   * Selects the optimizer.
   *
   * @example { kind: "adamw", weightDecay: 0.05 }
   */
  kind: "adam" | "adamw";
  /**
   * The decay of the mean gradient, at least 0 and below 1.
   *
   * @defaultValue `0.9`
   * @example { kind: "adam", beta1: 0.95 }
   */
  beta1?: number;
  /**
   * The decay of the mean squared gradient, at least 0 and below 1.
   *
   * @defaultValue `0.999`
   * @example { kind: "adam", beta2: 0.99 }
   */
  beta2?: number;
  /**
   * Added to the divisor, at least 0.
   *
   * @defaultValue `1e-8`
   * @example { kind: "adam", epsilon: 1e-6 }
   */
  epsilon?: number;
}

/** RMSProp. */
export interface RmsPropOptions extends CommonOptimizerOptions {
  /**
   * Selects the optimizer.
   *
   * @example { kind: "rmsprop" }
   */
  kind: "rmsprop";
  /**
   * The decay of the mean squared gradient, at least 0 and below 1.
   *
   * @defaultValue `0.99`
   * @example { kind: "rmsprop", alpha: 0.9 }
   */
  alpha?: number;
  /**
   * The share of the last update that is repeated, at least 0 and below 1.
   *
   * @defaultValue `0`
   * @example { kind: "rmsprop", momentum: 0.9 }
   */
  momentum?: number;
  /**
   * Added to the divisor, at least 0.
   *
   * @defaultValue `1e-8`
   * @example { kind: "rmsprop", epsilon: 1e-6 }
   */
  epsilon?: number;
}

/** The optimizers by `kind`. */
export type OptimizerOptions = SgdOptions | AdamOptions | RmsPropOptions;

/** Softmax cross-entropy: one class is right for each image. */
export interface SoftmaxCrossEntropyOptions {
  /**
   * Selects the loss.
   *
   * @example { kind: "softmax-cross-entropy" }
   */
  kind: "softmax-cross-entropy";
  /**
   * The share of each label that is spread over all classes, at least 0 and below 1.
   *
   * @defaultValue `0`
   * @example { kind: "softmax-cross-entropy", labelSmoothing: 0.1 }
   */
  labelSmoothing?: number;
}

/** Binary cross-entropy of one output (labels 0 and 1), or of each output against the rest. */
export interface BinaryCrossEntropyOptions {
  /**
   * Selects the loss.
   *
   * @example { kind: "binary-cross-entropy" }
   */
  kind: "binary-cross-entropy";
}

/** The losses by `kind`. */
export type LossOptions = SoftmaxCrossEntropyOptions | BinaryCrossEntropyOptions;

/** A learning rate that stays. */
export interface ConstantSchedule {
  /**
   * Selects the schedule.
   *
   * @example { kind: "constant" }
   */
  kind: "constant";
}

/** A learning rate that falls along half a cosine. */
export interface CosineSchedule {
  /**
   * Selects the schedule.
   *
   * @example { kind: "cosine" }
   */
  kind: "cosine";
  /**
   * The factor at the end of the run, 0 to 1.
   *
   * @defaultValue `0`
   * @example { kind: "cosine", floor: 0.01 }
   */
  floor?: number;
}

/** A learning rate that falls in steps. */
export interface StepSchedule {
  /**
   * Selects the schedule.
   *
   * @example { kind: "step", every: 30, gamma: 0.1 }
   */
  kind: "step";
  /**
   * Epochs from one step to the next, 0.001 to 1000000.
   *
   * @example { kind: "step", every: 30, gamma: 0.1 }
   */
  every: number;
  /**
   * The factor of each step, 0 to 1.
   *
   * @example { kind: "step", every: 30, gamma: 0.1 }
   */
  gamma: number;
}

/** A learning rate that rises along half a cosine from `start` to 1, and falls along another to `floor`. */
export interface OneCycleSchedule {
  /**
   * Selects the schedule.
   *
   * @example { kind: "one-cycle" }
   */
  kind: "one-cycle";
  /**
   * The share of the run that rises, 0 to 0.99.
   *
   * @defaultValue `0.3`
   * @example { kind: "one-cycle", rise: 0.2 }
   */
  rise?: number;
  /**
   * The factor at the beginning of the run, 0 to 1.
   *
   * @defaultValue `0.04`
   * @example { kind: "one-cycle", start: 0.1 }
   */
  start?: number;
  /**
   * The factor at the end of the run, 0 to 1.
   *
   * @defaultValue `0.000004`
   * @example { kind: "one-cycle", floor: 0 }
   */
  floor?: number;
}

/**
 * The schedules by `kind`: factors on the learning rate as functions of the epochs done. A learning rate that is set
 * while training is scaled as well.
 */
export type ScheduleOptions = ConstantSchedule | CosineSchedule | StepSchedule | OneCycleSchedule;
