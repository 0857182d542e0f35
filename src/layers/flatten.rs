//! Flattening.

use serde::{Deserialize, Serialize};

use super::definition::{LayerDef, Mismatch, only};
use super::reference::{Gradients, Mode, Reference};
use crate::tensor::{Shape, Tensor};

/// Flattening: a feature map becomes a vector in the order CHW ("vectorized" in the notes' section 1.3).
///
/// # Shapes
/// Input `[C, H, W]` or `[F]`; output `[C * H * W]` or `[F]`.
///
/// # Examples
/// ```
/// use convoke::layers::{Flatten, LayerDef};
/// use convoke::tensor::Shape;
/// assert_eq!(Flatten {}.output_shape(&[Shape::from([16, 5, 5])])?, Shape::from([400]));
/// # Ok::<(), convoke::layers::Mismatch>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flatten {}

impl LayerDef for Flatten {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        Ok(Shape::from([only(inputs)?.elements()]))
    }
}

impl Reference for Flatten {
    fn forward(&self, x: &[&Tensor<f64>], _params: &[&Tensor<f64>], _mode: Mode) -> Tensor<f64> {
        let n = x[0].shape[0];
        Tensor { shape: vec![n, x[0].shape[1..].iter().product()], data: x[0].data.clone() }
    }

    fn backward(
        &self,
        x: &[&Tensor<f64>],
        _params: &[&Tensor<f64>],
        _y: &Tensor<f64>,
        dy: &Tensor<f64>,
        _mode: Mode,
    ) -> Gradients {
        Gradients::input(Tensor { shape: x[0].shape.clone(), data: dy.data.clone() })
    }
}
