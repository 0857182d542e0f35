//! Leaky rectified linear unit.

use serde::{Deserialize, Serialize};

use super::activation::Activation;
use super::activation_layer::ActivationLayer;
use super::definition::Mismatch;

/// Leaky rectified linear unit: `y = x` where x is positive, else `slope * x` (Maas et al., 2013).
///
/// # Shapes
/// The output has the shape of the input, a feature map or a vector.
///
/// # Examples
/// ```
/// use convoke::layers::{LeakyRelu, Mode, Reference};
/// use convoke::tensor::Tensor;
/// let x = Tensor::new([1, 2], vec![-4.0, 3.0])?;
/// assert_eq!(LeakyRelu { slope: 0.25 }.forward(&[&x], &[], Mode::Inference).data, [-1.0, 3.0]);
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakyRelu {
    /// The factor on negative values, above 0 and finite; 0.01 in PyTorch.
    pub slope: f32,
}

impl ActivationLayer for LeakyRelu {
    fn activation(&self) -> Activation {
        Activation::LeakyRelu { slope: self.slope }
    }

    fn check(&self) -> Result<(), Mismatch> {
        // With a slope of at most 0, the sign of x could not be read off y.
        if !(self.slope > 0.0 && self.slope.is_finite()) {
            return Err(Mismatch::new("slope", "a positive number", self.slope));
        }
        Ok(())
    }
}
