//! Shapes, dense tensors, and weights in 8 bits.

mod dense;
pub mod quantized;
mod shape;

pub use dense::Tensor;
pub use shape::{MAX_ELEMENTS, Shape, dims};
