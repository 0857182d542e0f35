//! Hard sigmoid.

use serde::{Deserialize, Serialize};

use super::activation::Activation;
use super::activation_layer::ActivationLayer;
use super::definition::Mismatch;

/// Hard sigmoid: `y = min(max(alpha * x + beta, 0), 1)`, the logistic function in three straight pieces (Courbariaux et
/// al., 2015).
///
/// # Shapes
/// The output has the shape of the input, a feature map or a vector.
///
/// # Examples
/// ```
/// use convoke::layers::{HardSigmoid, Mode, Reference};
/// use convoke::tensor::Tensor;
/// let x = Tensor::new([1, 3], vec![-9.0, 0.0, 1.0])?;
/// let y = HardSigmoid { alpha: 0.25, beta: 0.5 }.forward(&[&x], &[], Mode::Inference);
/// assert_eq!(y.data, [0.0, 0.5, 0.75]);
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HardSigmoid {
    /// The slope, finite; 1/6 in PyTorch and 0.2 in ONNX.
    pub alpha: f32,
    /// The value at 0, finite; 0.5 in PyTorch and ONNX.
    pub beta: f32,
}

impl ActivationLayer for HardSigmoid {
    fn activation(&self) -> Activation {
        Activation::HardSigmoid { alpha: self.alpha, beta: self.beta }
    }

    fn check(&self) -> Result<(), Mismatch> {
        if !(self.alpha.is_finite() && self.beta.is_finite()) {
            return Err(Mismatch::new("constants", "finite numbers", format!("{} and {}", self.alpha, self.beta)));
        }
        Ok(())
    }
}
