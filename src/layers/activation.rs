//! The element-wise functions that engines fuse into the layer before them.

/// An element-wise function whose derivative can be read off its output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// max(x, 0)
    Relu,
    /// 1 / (1 + exp(-x))
    Sigmoid,
    /// (exp(x) - exp(-x)) / (exp(x) + exp(-x))
    Tanh,
    /// x where positive, else slope * x
    LeakyRelu {
        /// Positive.
        slope: f32,
    },
    /// min(max(x, min), max)
    Clip {
        /// The lower bound.
        min: f32,
        /// The upper bound.
        max: f32,
    },
    /// min(max(alpha * x + beta, 0), 1)
    HardSigmoid {
        /// The slope.
        alpha: f32,
        /// The value at 0.
        beta: f32,
    },
    /// scale * min(max(round(x / scale), low), high), halves rounded to even
    FakeQuantize {
        /// Positive.
        scale: f32,
        /// The lower bound, integral.
        low: f32,
        /// The upper bound, integral.
        high: f32,
    },
}

impl Activation {
    /// f(x)
    pub fn apply(self, x: f64) -> f64 {
        match self {
            Activation::Relu => x.max(0.0),
            Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Activation::Tanh => x.tanh(),
            Activation::LeakyRelu { slope } => {
                if x > 0.0 {
                    x
                } else {
                    f64::from(slope) * x
                }
            }
            Activation::Clip { min, max } => x.max(f64::from(min)).min(f64::from(max)),
            Activation::HardSigmoid { alpha, beta } => (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0),
            Activation::FakeQuantize { scale, low, high } => {
                let scale = f64::from(scale);
                (x / scale).round_ties_even().max(f64::from(low)).min(f64::from(high)) * scale
            }
        }
    }

    /// f'(x) as a function of y = f(x). At a kink it is the derivative on the flat side, as in PyTorch;
    /// what is rounded has the derivative of what is not.
    pub fn derivative(self, y: f64) -> f64 {
        let inside = |low: f64, high: f64| f64::from(u8::from(y > low && y < high));
        match self {
            Activation::Relu => f64::from(u8::from(y > 0.0)),
            Activation::Sigmoid => y * (1.0 - y),
            Activation::Tanh => 1.0 - y * y,
            Activation::LeakyRelu { slope } => {
                if y > 0.0 {
                    1.0
                } else {
                    f64::from(slope)
                }
            }
            Activation::Clip { min, max } => inside(f64::from(min), f64::from(max)),
            Activation::HardSigmoid { alpha, .. } => f64::from(alpha) * inside(0.0, 1.0),
            Activation::FakeQuantize { scale, low, high } => {
                inside(f64::from(low) * f64::from(scale), f64::from(high) * f64::from(scale))
            }
        }
    }
}
