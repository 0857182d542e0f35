//! The update at the end of a training step: optimizers as plain data, and their formulas in double precision.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::options::{self, KindSpec, OptionSpec, Range};
use crate::tensor::{Tensor, dims};

/// How gradients become new weights. Weight decay applies to weights, not to biases.
///
/// In JSON an object whose `kind` is `sgd`, `adam`, `adamw` or `rmsprop`, with the constants in camel case. Constants that
/// are not given have their defaults.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Optimizer {
    /// Stochastic gradient descent as PyTorch defines it: `g += decay * w; v = momentum * v + g;
    /// w -= rate * (nesterov ? g + momentum * v : v)`.
    Sgd {
        /// The share of the last update that is added, at least 0 and below 1. Default 0.
        #[serde(default)]
        momentum: f32,
        /// Look ahead (Nesterov, 1983; in Sutskever et al.'s form). Default `false`.
        #[serde(default)]
        nesterov: bool,
        /// L2 penalty, at least 0. Default 0.
        #[serde(default)]
        weight_decay: f32,
    },
    /// Adam (Kingma and Ba, 2015): `m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
    /// w -= rate * m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon)`.
    Adam {
        /// Decay of the mean, at least 0 and below 1. Default 0.9.
        #[serde(default = "beta1")]
        beta1: f32,
        /// Decay of the squared mean, at least 0 and below 1. Default 0.999.
        #[serde(default = "beta2")]
        beta2: f32,
        /// Added to the divisor, at least 0. Default 1e-8.
        #[serde(default = "epsilon")]
        epsilon: f32,
        /// L2 penalty, added to the gradient, at least 0. Default 0.
        #[serde(default)]
        weight_decay: f32,
    },
    /// Adam with decoupled weight decay (Loshchilov and Hutter, 2019): before Adam's step, without decay, `w -= rate *
    /// decay * w`.
    AdamW {
        /// Decay of the mean, at least 0 and below 1. Default 0.9.
        #[serde(default = "beta1")]
        beta1: f32,
        /// Decay of the squared mean, at least 0 and below 1. Default 0.999.
        #[serde(default = "beta2")]
        beta2: f32,
        /// Added to the divisor, at least 0. Default 1e-8.
        #[serde(default = "epsilon")]
        epsilon: f32,
        /// The share by which weights shrink, times the learning rate, at least 0. Default 0.01.
        #[serde(default = "decoupled_decay")]
        weight_decay: f32,
    },
    /// RMSProp (Tieleman and Hinton, 2012) as PyTorch defines it: `v = alpha v + (1 - alpha) g^2;
    /// m = momentum * m + g / (sqrt(v) + epsilon); w -= rate * m`.
    RmsProp {
        /// Decay of the squared mean, at least 0 and below 1. Default 0.99.
        #[serde(default = "alpha")]
        alpha: f32,
        /// The share of the last update that is added, at least 0 and below 1. Default 0.
        #[serde(default)]
        momentum: f32,
        /// Added to the divisor, at least 0. Default 1e-8.
        #[serde(default = "epsilon")]
        epsilon: f32,
        /// L2 penalty, added to the gradient, at least 0. Default 0.
        #[serde(default)]
        weight_decay: f32,
    },
}

const fn beta1() -> f32 {
    0.9
}

const fn beta2() -> f32 {
    0.999
}

const fn epsilon() -> f32 {
    1e-8
}

const fn decoupled_decay() -> f32 {
    0.01
}

const fn alpha() -> f32 {
    0.99
}

const MOMENTUM: OptionSpec =
    OptionSpec::new("momentum", Range::Below(0.0, 1.0), "The share of the last update that is added.");
const BETA1: OptionSpec = OptionSpec::new("beta1", Range::Below(0.0, 1.0), "Decay of the mean of gradients.");
const BETA2: OptionSpec = OptionSpec::new("beta2", Range::Below(0.0, 1.0), "Decay of the mean of squared gradients.");
const EPSILON: OptionSpec = OptionSpec::new("epsilon", Range::AtLeast(0.0), "Added to the divisor.");
const L2_PENALTY: OptionSpec =
    OptionSpec::new("weightDecay", Range::AtLeast(0.0), "L2 penalty on weights; biases never decay.");

/// The optimizers' options.
pub const OPTIMIZERS: Range = Range::OneOf(&[
    KindSpec {
        name: "sgd",
        about: "Stochastic gradient descent.",
        options: &[
            MOMENTUM,
            OptionSpec::new("nesterov", Range::Flag, "Nesterov's momentum, which looks ahead."),
            L2_PENALTY,
        ],
    },
    KindSpec { name: "adam", about: "Adam.", options: &[BETA1, BETA2, EPSILON, L2_PENALTY] },
    KindSpec {
        name: "adamw",
        about: "Adam with decoupled weight decay.",
        options: &[
            BETA1,
            BETA2,
            EPSILON,
            OptionSpec::new(
                "weightDecay",
                Range::AtLeast(0.0),
                "The share by which weights shrink at each step, times the learning rate.",
            ),
        ],
    },
    KindSpec {
        name: "rmsprop",
        about: "RMSProp.",
        options: &[
            OptionSpec::new("alpha", Range::Below(0.0, 1.0), "Decay of the mean of squared gradients."),
            MOMENTUM,
            EPSILON,
            L2_PENALTY,
        ],
    },
]);

impl Optimizer {
    /// SGD with this momentum, without Nesterov or decay.
    pub const fn sgd(momentum: f32) -> Self {
        Optimizer::Sgd { momentum, nesterov: false, weight_decay: 0.0 }
    }

    /// Adam with the paper's constants.
    pub const fn adam() -> Self {
        Optimizer::Adam { beta1: beta1(), beta2: beta2(), epsilon: epsilon(), weight_decay: 0.0 }
    }

    /// AdamW with its usual constants, a weight decay of 0.01 among them.
    pub const fn adamw() -> Self {
        Optimizer::AdamW { beta1: beta1(), beta2: beta2(), epsilon: epsilon(), weight_decay: decoupled_decay() }
    }

    /// RMSProp with PyTorch's constants.
    pub const fn rmsprop() -> Self {
        Optimizer::RmsProp { alpha: alpha(), momentum: 0.0, epsilon: epsilon(), weight_decay: 0.0 }
    }

    /// The learning rate where none is given: 0.01 for SGD, 0.001 for the others, whose steps do not shrink with the
    /// gradients.
    pub const fn default_learning_rate(&self) -> f32 {
        match self {
            Optimizer::Sgd { .. } => 0.01,
            Optimizer::Adam { .. } | Optimizer::AdamW { .. } | Optimizer::RmsProp { .. } => 0.001,
        }
    }

    /// Returns the names of the values that the optimizer keeps for each weight, in the order of `state` in
    /// [`Update::apply`].
    pub fn moments(&self) -> &'static [&'static str] {
        match self {
            Optimizer::Sgd { .. } => &["momentum"],
            Optimizer::Adam { .. } | Optimizer::AdamW { .. } => &["mean", "square"],
            Optimizer::RmsProp { .. } => &["momentum", "square"],
        }
    }

    /// Checks that `state` has exactly one tensor `name.moment` of the parameter's shape for each parameter of the graph and
    /// each of [`Optimizer::moments`].
    ///
    /// # Errors
    /// Returns [`Error::Weights`], which lists all missing, unexpected and misshapen tensors, and [`Error::NotFinite`] for NaN
    /// or infinity.
    pub(crate) fn check_state(&self, graph: &Graph, state: &[(String, Tensor)]) -> Result<()> {
        let mut given: BTreeMap<&str, &Tensor> = state.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let (mut missing, mut misshapen) = (vec![], vec![]);
        for moment in self.moments() {
            for (name, spec) in graph.params() {
                let name = format!("{name}.{moment}");
                match given.remove(name.as_str()) {
                    None => missing.push(name),
                    Some(t) if t.shape != spec.shape || t.data.len() != spec.elements() => {
                        misshapen.push(format!("{name}: expected {}, got {}", dims(&spec.shape), dims(&t.shape)));
                    }
                    Some(t) => {
                        if let Some(index) = t.data.iter().position(|v| !v.is_finite()) {
                            let what = format!("tensor `{name}`");
                            return Err(Error::NotFinite { what, index, value: t.data[index] });
                        }
                    }
                }
            }
        }
        let unexpected: Vec<String> = given.into_keys().map(String::from).collect();
        if missing.is_empty() && unexpected.is_empty() && misshapen.is_empty() {
            return Ok(());
        }
        Err(Error::Weights { graph: graph.name().into(), missing, unexpected, misshapen })
    }

    /// Checks the constants.
    ///
    /// # Errors
    /// [`Error::Argument`] for constants outside their ranges.
    pub fn validate(&self) -> Result<()> {
        options::validate("optimizer", self, OPTIMIZERS)
    }
}

/// One application of an optimizer.
///
/// # Examples
/// ```
/// use convoke::plan::{Optimizer, Update};
/// let update = Update { optimizer: Optimizer::sgd(0.0), learning_rate: 0.5, t: 1 };
/// // The weight moves against its gradient.
/// assert_eq!(update.apply(1.0, 0.25, &mut [0.0], true), 0.875);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    /// The formula.
    pub optimizer: Optimizer,
    /// The learning rate, at least 0.
    pub learning_rate: f32,
    /// The number of the update, from 1 (Adam's t).
    pub t: u32,
}

impl Update {
    /// Returns the new value of weight `w` with gradient `g`, and updates its `state`, one value for each of
    /// [`Optimizer::moments`], zeros at first. `decays` says whether weight decay applies; it does not for biases. This is the
    /// reference for the engines, in double precision.
    ///
    /// # Panics
    /// Panics when `state` has fewer values.
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
            Optimizer::Adam { weight_decay, .. } => w + self.adam(decayed(weight_decay), state),
            Optimizer::AdamW { weight_decay, .. } => {
                let kept = if decays { 1.0 - rate * f64::from(weight_decay) } else { 1.0 };
                kept * w + self.adam(g, state)
            }
            Optimizer::RmsProp { alpha, momentum, epsilon, weight_decay } => {
                let (g, alpha) = (decayed(weight_decay), f64::from(alpha));
                state[1] = alpha * state[1] + (1.0 - alpha) * g * g;
                state[0] = f64::from(momentum) * state[0] + g / (state[1].sqrt() + f64::from(epsilon));
                w - rate * state[0]
            }
        }
    }

    /// Returns Adam's change of a weight.
    fn adam(&self, g: f64, state: &mut [f64]) -> f64 {
        let (Optimizer::Adam { beta1, beta2, epsilon, .. } | Optimizer::AdamW { beta1, beta2, epsilon, .. }) =
            self.optimizer
        else {
            return 0.0;
        };
        let (b1, b2) = (f64::from(beta1), f64::from(beta2));
        state[0] = b1 * state[0] + (1.0 - b1) * g;
        state[1] = b2 * state[1] + (1.0 - b2) * g * g;
        let [c1, c2] = self.adam_corrections();
        -f64::from(self.learning_rate) * (state[0] / c1) / ((state[1] / c2).sqrt() + f64::from(epsilon))
    }

    /// Returns Adam's bias corrections, `1 - b1^t` and `1 - b2^t`; ones for other optimizers.
    pub fn adam_corrections(&self) -> [f64; 2] {
        match self.optimizer {
            Optimizer::Adam { beta1, beta2, .. } | Optimizer::AdamW { beta1, beta2, .. } => {
                [beta1, beta2].map(|b| 1.0 - f64::from(b).powf(f64::from(self.t)))
            }
            Optimizer::Sgd { .. } | Optimizer::RmsProp { .. } => [1.0; 2],
        }
    }
}

/// Returns the factor that reduces the norm of all gradients to `limit` (Pascanu, Mikolov and Bengio, 2013), given the sum of
/// their squares; 1 when the norm is not larger or `limit` is 0, which stands for no limit.
///
/// # Examples
/// ```
/// use convoke::plan::clip_factor;
/// assert_eq!(clip_factor(25.0, 1.0), 0.2);
/// assert_eq!(clip_factor(25.0, 0.0), 1.0);
/// ```
pub fn clip_factor(squares: f64, limit: f32) -> f32 {
    let norm = squares.sqrt();
    if limit > 0.0 && norm > f64::from(limit) { (f64::from(limit) / norm) as f32 } else { 1.0 }
}

/// Checks a limit for [`clip_factor`].
///
/// # Errors
/// Returns [`Error::Argument`] unless the norm is finite and at least 0.
pub fn check_clip_norm(norm: f32) -> Result<()> {
    let ok = norm.is_finite() && norm >= 0.0;
    if ok { Ok(()) } else { Err(Error::argument("clipNorm", "a finite number of at least 0", norm)) }
}

/// The result of a training step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StepReport {
    /// The loss before the update: the mean over the batch, summed over all outputs with their weights.
    pub loss: f32,
    /// The number of samples whose label the main output predicts ([`crate::layers::predicted_class`]).
    pub correct: u32,
}
