//! Rectified linear unit.

use serde::{Deserialize, Serialize};

use super::activation::Activation;
use super::activation_layer::ActivationLayer;

/// Rectified linear unit: `y = max(x, 0)` (Nair and Hinton, 2010; g in the notes' equations 2 and 3).
///
/// # Shapes
/// The output has the shape of the input, a feature map or a vector.
///
/// # Examples
/// ```
/// use convoke::layers::{Mode, Reference, Relu};
/// use convoke::tensor::Tensor;
/// let x = Tensor::new([1, 3], vec![-1.0, 0.0, 2.0])?;
/// assert_eq!(Relu {}.forward(&[&x], &[], Mode::Inference).data, [0.0, 0.0, 2.0]);
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relu {}

impl ActivationLayer for Relu {
    fn activation(&self) -> Activation {
        Activation::Relu
    }
}
