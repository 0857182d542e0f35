//! Hyperbolic tangent.

use serde::{Deserialize, Serialize};

use super::activation::Activation;
use super::activation_layer::ActivationLayer;

/// Hyperbolic tangent: `y = (exp(x) - exp(-x)) / (exp(x) + exp(-x))`, the activation of the original LeNet-5 (LeCun et
/// al., 1998).
///
/// # Shapes
/// The output has the shape of the input, a feature map or a vector.
///
/// # Examples
/// ```
/// use convoke::layers::{Mode, Reference, Tanh};
/// use convoke::tensor::Tensor;
/// let x = Tensor::new([1, 2], vec![0.0, 20.0])?;
/// assert_eq!(Tanh {}.forward(&[&x], &[], Mode::Inference).data, [0.0, 1.0]);
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tanh {}

impl ActivationLayer for Tanh {
    fn activation(&self) -> Activation {
        Activation::Tanh
    }
}
