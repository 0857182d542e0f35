//! Leaky rectified linear unit (Maas et al., 2013): `y = x` for positive x, else `slope * x`.

use super::attributes::attributes;
use super::{Activation, Gradients, LayerDef, Mismatch, Mode, Reference, elementwise, elementwise_backward, only};
use crate::tensor::{Shape, Tensor};

/// Leaky rectified linear unit (Maas et al., 2013): `y = x` for positive x, else `slope * x`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LeakyRelu {
    /// What negative values are multiplied by, 0.01 in PyTorch.
    pub slope: f32,
}

attributes!(LeakyRelu { slope });

impl LeakyRelu {
    /// As a function that other layers can apply to their output.
    pub fn activation(&self) -> Activation {
        Activation::LeakyRelu { slope: self.slope }
    }
}

impl LayerDef for LeakyRelu {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        // With a slope of at most 0 the sign of x could not be read off y.
        if !(self.slope > 0.0 && self.slope.is_finite()) {
            return Err(Mismatch::new("slope", "a positive number", self.slope));
        }
        only(inputs).cloned()
    }
}

impl Reference for LeakyRelu {
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
