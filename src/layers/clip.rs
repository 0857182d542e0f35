//! Clip: `y = min(max(x, low), high)`; between 0 and 6 it is the ReLU6 of MobileNet (Howard et al., 2017).

use super::attributes::attributes;
use super::{Activation, Gradients, LayerDef, Mismatch, Mode, Reference, elementwise, elementwise_backward, only};
use crate::tensor::{Shape, Tensor};

/// Clip: `y = min(max(x, low), high)`; between 0 and 6 it is the ReLU6 of MobileNet (Howard et al., 2017).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clip {
    /// The lower bound.
    pub min: f32,
    /// The upper bound.
    pub max: f32,
}

attributes!(Clip { min, max });

impl Clip {
    /// As a function that other layers can apply to their output.
    pub fn activation(&self) -> Activation {
        Activation::Clip { min: self.min, max: self.max }
    }
}

impl LayerDef for Clip {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        if !(self.min <= self.max) {
            return Err(Mismatch::new("bounds", "min <= max", format!("{} and {}", self.min, self.max)));
        }
        only(inputs).cloned()
    }
}

impl Reference for Clip {
    fn forward(&self, x: &[&Tensor<f64>], _params: &[&Tensor<f64>], _mode: Mode) -> Tensor<f64> {
        elementwise(self.activation(), x)
    }

    fn backward(
        &self,
        _x: &[&Tensor<f64>],
        _params: &[&Tensor<f64>],
        y: &Tensor<f64>,
        dy: &Tensor<f64>,
        _mode: Mode,
    ) -> Gradients {
        elementwise_backward(self.activation(), y, dy)
    }
}
