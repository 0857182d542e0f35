//! Fake quantization (Jacob et al., 2018, eq. 12): `y = (q - z) s` with the code `q = clamp(round(x / s) + z, 0, 255)`,
//! what is left of x after it was kept in 8 bits. Halves are rounded to even.

use super::attributes::attributes;
use super::{Activation, Gradients, LayerDef, Mismatch, Mode, Reference, elementwise, elementwise_backward, only};
use crate::tensor::{Shape, Tensor};

/// Fake quantization (Jacob et al., 2018, eq. 12): `y = (q - z) s` with the code `q = clamp(round(x / s) + z, 0, 255)`.
/// Its gradient is the straight-through estimator (Bengio et al., 2013): that of clipping to the smallest and largest
/// of these values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FakeQuantize {
    /// The distance s between neighbouring values.
    pub scale: f32,
    /// The code z of zero, at most 255.
    pub zero_point: usize,
}

attributes!(FakeQuantize { scale, zero_point });

impl FakeQuantize {
    /// The largest code.
    pub const LARGEST: usize = 255;

    /// As a function that other layers can apply to their output.
    pub fn activation(&self) -> Activation {
        let low = -(self.zero_point as f32);
        Activation::FakeQuantize { scale: self.scale, low, high: low + Self::LARGEST as f32 }
    }
}

impl LayerDef for FakeQuantize {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        // Engines multiply by its inverse, which must be a number too.
        if !(self.scale >= f32::MIN_POSITIVE && (self.scale * Self::LARGEST as f32).is_finite()) {
            return Err(Mismatch::new("scale", "a positive number", self.scale));
        }
        if self.zero_point > Self::LARGEST {
            return Err(Mismatch::new("zero_point", "at most 255", self.zero_point));
        }
        only(inputs).cloned()
    }
}

impl Reference for FakeQuantize {
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
