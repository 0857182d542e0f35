//! Fake quantization: values rounded as if they had been stored in 8 bits.

use serde::{Deserialize, Serialize};

use super::activation::Activation;
use super::activation_layer::ActivationLayer;
use super::definition::Mismatch;

/// Fake quantization (Jacob et al., 2018, eq. 12): `y = (q - z) s` with the quantized value
/// `q = clamp(round(x / s) + z, 0, 255)`. Ties are rounded to even. The gradient is the straight-through estimator
/// (Bengio et al., 2013): the derivative of clipping x to the smallest and the largest y.
///
/// # Shapes
/// The output has the shape of the input, a feature map or a vector.
///
/// # Examples
/// ```
/// use convoke::layers::{FakeQuantize, Mode, Reference};
/// use convoke::tensor::Tensor;
/// let x = Tensor::new([1, 3], vec![-1.0, 0.8, 900.0])?;
/// let y = FakeQuantize { scale: 0.5, zero_point: 0 }.forward(&[&x], &[], Mode::Inference);
/// assert_eq!(y.data, [0.0, 1.0, 127.5]);
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FakeQuantize {
    /// s: the distance between neighbouring values. A normal number above 0, of which 255 times is finite.
    pub scale: f32,
    /// z: the quantized value of zero, at most 255.
    pub zero_point: usize,
}

impl FakeQuantize {
    /// The largest quantized value.
    pub const LARGEST: usize = 255;
}

impl ActivationLayer for FakeQuantize {
    fn activation(&self) -> Activation {
        let low = -(self.zero_point as f32);
        Activation::FakeQuantize { scale: self.scale, low, high: low + Self::LARGEST as f32 }
    }

    fn check(&self) -> Result<(), Mismatch> {
        // The inverse must be finite too: integer kernels multiply by it.
        if !(self.scale >= f32::MIN_POSITIVE && (self.scale * Self::LARGEST as f32).is_finite()) {
            return Err(Mismatch::new("scale", "a positive number", self.scale));
        }
        if self.zero_point > Self::LARGEST {
            return Err(Mismatch::new("zero_point", "at most 255", self.zero_point));
        }
        Ok(())
    }
}
