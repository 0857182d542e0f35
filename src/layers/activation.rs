//! The element-wise functions that engines fuse into the layer before them.

use serde::{Deserialize, Serialize};

/// An element-wise function whose derivative can be read off its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// max(x, 0)
    Relu,
    /// 1 / (1 + exp(-x))
    Sigmoid,
    /// (exp(x) - exp(-x)) / (exp(x) + exp(-x))
    Tanh,
}

impl Activation {
    /// f(x)
    pub fn apply(self, x: f64) -> f64 {
        match self {
            Activation::Relu => x.max(0.0),
            Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Activation::Tanh => x.tanh(),
        }
    }

    /// f'(x) as a function of y = f(x). ReLU's derivative at 0 is 0, as in PyTorch.
    pub fn derivative(self, y: f64) -> f64 {
        match self {
            Activation::Relu => f64::from(u8::from(y > 0.0)),
            Activation::Sigmoid => y * (1.0 - y),
            Activation::Tanh => 1.0 - y * y,
        }
    }
}
