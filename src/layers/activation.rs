//! The element-wise functions that engines fuse into the layer before them.

/// An element-wise function whose derivative is a function of its output, so that training needs no copy of the input.
///
/// # Examples
/// ```
/// use convoke::layers::Activation;
/// assert_eq!(Activation::Relu.apply(-2.0), 0.0);
/// assert_eq!(Activation::Clip { min: 0.0, max: 6.0 }.apply(7.5), 6.0);
/// // The slope of the logistic function at 0, where its output is 1/2.
/// assert_eq!(Activation::Sigmoid.derivative(0.5), 0.25);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// `max(x, 0)`
    Relu,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `(exp(x) - exp(-x)) / (exp(x) + exp(-x))`
    Tanh,
    /// `x` where `x` is positive, else `slope * x`
    LeakyRelu {
        /// The factor on negative values, above 0 and finite.
        slope: f32,
    },
    /// `min(max(x, min), max)`
    Clip {
        /// The lower bound, at most `max`.
        min: f32,
        /// The upper bound.
        max: f32,
    },
    /// `min(max(alpha * x + beta, 0), 1)`
    HardSigmoid {
        /// The slope, finite.
        alpha: f32,
        /// The value at 0, finite.
        beta: f32,
    },
    /// `scale * min(max(round(x / scale), low), high)`, with ties rounded to even
    FakeQuantize {
        /// The distance between neighbouring values, above 0 and finite.
        scale: f32,
        /// The lower bound of the quantized value, an integer of at least -255 and at most 0.
        low: f32,
        /// The upper bound of the quantized value, `low + 255`.
        high: f32,
    },
}

impl Activation {
    /// Returns `f(x)`.
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

    /// Returns `f'(x)`, given `y = f(x)`. At a kink the result is the derivative on the flat side, as in PyTorch. For
    /// `FakeQuantize` it is the derivative of clipping without rounding (straight-through estimator; Bengio et al.,
    /// 2013).
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
