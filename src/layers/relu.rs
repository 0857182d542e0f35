//! Rectified linear unit: `y = max(x, 0)` (Nair and Hinton, 2010; the notes' g in equations 2 and 3).

use super::attributes::attributes;
use super::{Activation, Gradients, LayerDef, Mismatch, Mode, Reference, elementwise, elementwise_backward, only};
use crate::tensor::{Shape, Tensor};

/// Rectified linear unit: `y = max(x, 0)` (Nair and Hinton, 2010; the notes' g in equations 2 and 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Relu {}

attributes!(Relu {});

impl LayerDef for Relu {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        only(inputs).cloned()
    }
}

impl Reference for Relu {
    fn forward(&self, x: &[&Tensor<f64>], _params: &[&Tensor<f64>], _mode: Mode) -> Tensor<f64> {
        elementwise(Activation::Relu, x)
    }

    fn backward(
        &self,
        _x: &[&Tensor<f64>],
        _params: &[&Tensor<f64>],
        y: &Tensor<f64>,
        dy: &Tensor<f64>,
        _mode: Mode,
    ) -> Gradients {
        elementwise_backward(Activation::Relu, y, dy)
    }
}
