//! From images to tensors ([`Preprocess`]), and from outputs to ranked classes ([`top_k`]).

mod image;
mod preprocess;
mod top_k;

pub use image::Image;
pub use preprocess::{Channels, Interpolation, Preprocess};
pub use top_k::top_k;
