//! Logistic function.

use serde::{Deserialize, Serialize};

use super::activation::Activation;
use super::activation_layer::ActivationLayer;

/// Logistic function: `y = 1 / (1 + exp(-x))`.
///
/// # Shapes
/// The output has the shape of the input, a feature map or a vector.
///
/// # Examples
/// ```
/// use convoke::layers::{Mode, Reference, Sigmoid};
/// use convoke::tensor::Tensor;
/// let x = Tensor::new([1, 1], vec![0.0])?;
/// assert_eq!(Sigmoid {}.forward(&[&x], &[], Mode::Inference).data, [0.5]);
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sigmoid {}

impl ActivationLayer for Sigmoid {
    fn activation(&self) -> Activation {
        Activation::Sigmoid
    }
}
