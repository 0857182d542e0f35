//! Hard sigmoid: `y = min(max(alpha * x + beta, 0), 1)`.

use super::attributes::attributes;
use super::{Activation, Gradients, LayerDef, Mismatch, Mode, Reference, elementwise, elementwise_backward, only};
use crate::tensor::{Shape, Tensor};

/// Hard sigmoid: `y = min(max(alpha * x + beta, 0), 1)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HardSigmoid {
    /// The slope, 1/6 in PyTorch and 0.2 in ONNX.
    pub alpha: f32,
    /// The value at 0, 0.5.
    pub beta: f32,
}

attributes!(HardSigmoid { alpha, beta });

impl HardSigmoid {
    /// As a function that other layers can apply to their output.
    pub fn activation(&self) -> Activation {
        Activation::HardSigmoid { alpha: self.alpha, beta: self.beta }
    }
}

impl LayerDef for HardSigmoid {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        if !(self.alpha.is_finite() && self.beta.is_finite()) {
            return Err(Mismatch::new("constants", "finite numbers", format!("{} and {}", self.alpha, self.beta)));
        }
        only(inputs).cloned()
    }
}

impl Reference for HardSigmoid {
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
