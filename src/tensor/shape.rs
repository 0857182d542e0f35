//! Shapes of samples.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most elements that a value or parameter of a graph may have: 2^31 - 1, which a 32-bit address space can index.
pub const MAX_ELEMENTS: usize = i32::MAX as usize;

/// The shape of one sample, without the batch: `[C, H, W]` for feature maps, `[F]` for vectors.
///
/// # Examples
/// ```
/// use convoke::tensor::Shape;
/// let shape = Shape::from([3, 32, 32]);
/// assert_eq!((shape.elements(), shape.to_string()), (3072, "3x32x32".to_string()));
/// assert_eq!(shape.batched(8), [8, 3, 32, 32]);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// Makes a shape of these dimensions, outermost first.
    pub fn new(dims: impl Into<Vec<usize>>) -> Self {
        Shape(dims.into())
    }

    /// Returns the dimensions, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// Returns the number of elements of one sample; saturates instead of overflowing.
    pub fn elements(&self) -> usize {
        self.0.iter().fold(1, |n, &d| n.saturating_mul(d))
    }

    /// Returns `(channels, height, width)`. A vector counts as a map of one pixel.
    pub fn chw(&self) -> (usize, usize, usize) {
        match self.0[..] {
            [c, h, w] => (c, h, w),
            _ => (self.elements(), 1, 1),
        }
    }

    /// Returns whether the shape is `[C, H, W]`.
    pub fn is_map(&self) -> bool {
        self.0.len() == 3
    }

    /// Returns the dimensions of a batch of `n` samples: `[n, C, H, W]` or `[n, F]`.
    pub fn batched(&self, n: usize) -> Vec<usize> {
        std::iter::once(n).chain(self.0.iter().copied()).collect()
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Shape(dims.to_vec())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&dims(&self.0))
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Formats dimensions for messages: `[1, 32, 32]` as `1x32x32`.
pub fn dims(dims: &[usize]) -> String {
    dims.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}
