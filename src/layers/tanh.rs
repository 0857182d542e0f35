//! Hyperbolic tangent: `y = tanh(x)`, LeNet-5's original activation.

use super::attributes::attributes;
use super::{Activation, Gradients, LayerDef, Mismatch, Mode, Reference, elementwise, elementwise_backward, only};
use crate::tensor::{Shape, Tensor};

/// Hyperbolic tangent: `y = tanh(x)`, LeNet-5's original activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tanh {}

attributes!(Tanh {});

impl LayerDef for Tanh {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        only(inputs).cloned()
    }
}

impl Reference for Tanh {
    fn forward(&self, x: &[&Tensor<f64>], _params: &[&Tensor<f64>], _mode: Mode) -> Tensor<f64> {
        elementwise(Activation::Tanh, x)
    }

    fn backward(
        &self,
        _x: &[&Tensor<f64>],
        _params: &[&Tensor<f64>],
        y: &Tensor<f64>,
        dy: &Tensor<f64>,
        _mode: Mode,
    ) -> Gradients {
        elementwise_backward(Activation::Tanh, y, dy)
    }
}
