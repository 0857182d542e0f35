//! Hard swish.

use serde::{Deserialize, Serialize};

use super::definition::{LayerDef, Mismatch, only};
use super::reference::{Gradients, Mode, Reference};
use crate::tensor::{Shape, Tensor};

/// Hard swish (Howard et al., 2019): `y = x * min(max(x + 3, 0), 6) / 6`. The derivative is not a function of the output,
/// so the layer is not an [`super::ActivationLayer`] and is never fused into the layer before it.
///
/// # Shapes
/// The output has the shape of the input, a feature map or a vector.
///
/// # Examples
/// ```
/// use convoke::layers::{HardSwish, Mode, Reference};
/// use convoke::tensor::Tensor;
/// let x = Tensor::new([1, 3], vec![-3.0, 1.5, 4.0])?;
/// assert_eq!(HardSwish {}.forward(&[&x], &[], Mode::Inference).data, [0.0, 1.125, 4.0]);
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HardSwish {}

impl LayerDef for HardSwish {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        only(inputs).cloned()
    }
}

impl Reference for HardSwish {
    fn forward(&self, x: &[&Tensor<f64>], _params: &[&Tensor<f64>], _mode: Mode) -> Tensor<f64> {
        x[0].map(|&x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0)
    }

    fn backward(
        &self,
        x: &[&Tensor<f64>],
        _params: &[&Tensor<f64>],
        _y: &Tensor<f64>,
        dy: &Tensor<f64>,
        _mode: Mode,
    ) -> Gradients {
        let derivative = |x: f64| match x {
            x if x <= -3.0 => 0.0,
            x if x >= 3.0 => 1.0,
            x => (2.0 * x + 3.0) / 6.0,
        };
        let data = x[0].data.iter().zip(&dy.data).map(|(&x, dy)| dy * derivative(x)).collect();
        Gradients::input(Tensor { shape: x[0].shape.clone(), data })
    }
}
