//! Logistic function: `y = 1 / (1 + exp(-x))`.

use super::attributes::attributes;
use super::{Activation, Gradients, LayerDef, Mismatch, Mode, Reference, elementwise, elementwise_backward, only};
use crate::tensor::{Shape, Tensor};

/// Logistic function: `y = 1 / (1 + exp(-x))`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sigmoid {}

attributes!(Sigmoid {});

impl LayerDef for Sigmoid {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        only(inputs).cloned()
    }
}

impl Reference for Sigmoid {
    fn forward(&self, x: &[&Tensor<f64>], _params: &[&Tensor<f64>], _mode: Mode) -> Tensor<f64> {
        elementwise(Activation::Sigmoid, x)
    }

    fn backward(
        &self,
        _x: &[&Tensor<f64>],
        _params: &[&Tensor<f64>],
        y: &Tensor<f64>,
        dy: &Tensor<f64>,
        _mode: Mode,
    ) -> Gradients {
        elementwise_backward(Activation::Sigmoid, y, dy)
    }
}
