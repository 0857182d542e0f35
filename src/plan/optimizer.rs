//! The update at the end of a training step: formulas as plain data, and their reference.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How gradients become new weights. Weight decay applies to weights, not to biases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Optimizer {
    /// Stochastic gradient descent as PyTorch defines it: `g += decay * w; v = momentum * v + g;
    /// w -= rate * (nesterov ? g + momentum * v : v)`.
    Sgd {
        /// 0 for none.
        #[serde(default)]
        momentum: f32,
        /// Look ahead (Nesterov, 1983; in Sutskever et al.'s form).
        #[serde(default)]
        nesterov: bool,
        /// L2 penalty.
        #[serde(default, rename = "weightDecay")]
        weight_decay: f32,
    },
    /// Adam (Kingma and Ba, 2015): `m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
    /// w -= rate * m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon)`.
    Adam {
        /// Decay of the mean, 0.9.
        #[serde(default = "beta1")]
        beta1: f32,
        /// Decay of the squared mean, 0.999.
        #[serde(default = "beta2")]
        beta2: f32,
        /// 1e-8.
        #[serde(default = "epsilon")]
        epsilon: f32,
        /// L2 penalty, added to the gradient.
        #[serde(default, rename = "weightDecay")]
        weight_decay: f32,
    },
}

fn beta1() -> f32 {
    0.9
}

fn beta2() -> f32 {
    0.999
}

fn epsilon() -> f32 {
    1e-8
}

impl Optimizer {
    /// SGD with this momentum, without Nesterov or decay.
    pub const fn sgd(momentum: f32) -> Self {
        Optimizer::Sgd { momentum, nesterov: false, weight_decay: 0.0 }
    }

    /// Adam with the paper's constants.
    pub const fn adam() -> Self {
        Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }

    /// How many values it remembers for each weight.
    pub fn state_per_weight(&self) -> usize {
        match self {
            Optimizer::Sgd { .. } => 1,
            Optimizer::Adam { .. } => 2,
        }
    }

    /// # Errors
    /// [`Error::Argument`] for constants outside their ranges.
    pub fn validate(&self) -> Result<()> {
        let within = |name: &str, v: f32, below_one: bool| {
            let ok = v.is_finite() && v >= 0.0 && (!below_one || v < 1.0);
            let expected = if below_one { "at least 0 and below 1" } else { "a finite number of at least 0" };
            if ok { Ok(()) } else { Err(Error::argument(name, expected, v)) }
        };
        match *self {
            Optimizer::Sgd { momentum, weight_decay, .. } => {
                within("momentum", momentum, true)?;
                within("weightDecay", weight_decay, false)
            }
            Optimizer::Adam { beta1, beta2, epsilon, weight_decay } => {
                within("beta1", beta1, true)?;
                within("beta2", beta2, true)?;
                within("epsilon", epsilon, false)?;
                within("weightDecay", weight_decay, false)
            }
        }
    }
}

/// One application of an optimizer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    /// The formula.
    pub optimizer: Optimizer,
    /// The step size.
    pub learning_rate: f32,
    /// Counts updates from 1 (Adam's t).
    pub t: u32,
}

impl Update {
    /// The reference: new weight and state for one weight, given its gradient. `decays` is false for biases.
    pub fn apply(&self, w: f64, g: f64, state: &mut [f64], decays: bool) -> f64 {
        let rate = f64::from(self.learning_rate);
        let decayed = |decay: f32| if decays { g + f64::from(decay) * w } else { g };
        match self.optimizer {
            Optimizer::Sgd { momentum, nesterov, weight_decay } => {
                let g = decayed(weight_decay);
                let momentum = f64::from(momentum);
                state[0] = momentum * state[0] + g;
                w - rate * if nesterov { g + momentum * state[0] } else { state[0] }
            }
            Optimizer::Adam { beta1, beta2, epsilon, weight_decay } => {
                let g = decayed(weight_decay);
                let (b1, b2) = (f64::from(beta1), f64::from(beta2));
                state[0] = b1 * state[0] + (1.0 - b1) * g;
                state[1] = b2 * state[1] + (1.0 - b2) * g * g;
                let [c1, c2] = self.adam_corrections();
                w - rate * (state[0] / c1) / ((state[1] / c2).sqrt() + f64::from(epsilon))
            }
        }
    }

    /// Adam's `1 - b1^t` and `1 - b2^t`; ones for other optimizers.
    pub fn adam_corrections(&self) -> [f64; 2] {
        match self.optimizer {
            Optimizer::Adam { beta1, beta2, .. } => [beta1, beta2].map(|b| 1.0 - f64::from(b).powf(f64::from(self.t))),
            Optimizer::Sgd { .. } => [1.0; 2],
        }
    }
}

/// What a training step found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StepReport {
    /// The mean loss of the batch, before the update: heads weighted and summed.
    pub loss: f32,
    /// Samples whose largest main logit is their label (for one output: whose logit has the label's sign).
    pub correct: u32,
}
