//! Post-training quantization: the error that 8-bit weights cause, and calibration, which finds the range of each layer's
//! input. [`crate::tensor::quantized`] holds the 8-bit weights themselves.

mod calibration;
mod error;

pub(crate) use calibration::is_range;
pub use calibration::{Histogram, Method};
pub use error::{TensorError, errors, round_trip};
