//! Clamping between two bounds.

use serde::{Deserialize, Serialize};

use super::activation::Activation;
use super::activation_layer::ActivationLayer;
use super::definition::Mismatch;

/// Clamping: `y = min(max(x, low), high)`. Between 0 and 6 it is the ReLU6 of MobileNet (Howard et al., 2017).
///
/// # Shapes
/// The output has the shape of the input, a feature map or a vector.
///
/// # Examples
/// ```
/// use convoke::layers::{Clip, Mode, Reference};
/// use convoke::tensor::Tensor;
/// let x = Tensor::new([1, 3], vec![-1.0, 4.0, 9.0])?;
/// assert_eq!(Clip { min: 0.0, max: 6.0 }.forward(&[&x], &[], Mode::Inference).data, [0.0, 4.0, 6.0]);
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clip {
    /// The lower bound, at most `max`; may be negative infinity.
    pub min: f32,
    /// The upper bound; may be infinity.
    pub max: f32,
}

impl ActivationLayer for Clip {
    fn activation(&self) -> Activation {
        Activation::Clip { min: self.min, max: self.max }
    }

    fn check(&self) -> Result<(), Mismatch> {
        if !(self.min <= self.max) {
            return Err(Mismatch::new("bounds", "min <= max", format!("{} and {}", self.min, self.max)));
        }
        Ok(())
    }
}
