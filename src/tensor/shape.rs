//! Shapes of samples.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most elements one value of a graph may have (2^31 - 1, what a 32-bit address space can index).
pub const MAX_ELEMENTS: usize = i32::MAX as usize;

/// The shape of one sample, without the batch: `[C, H, W]` for feature maps, `[F]` for vectors.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// A shape with these dimensions.
    pub fn new(dims: impl Into<Vec<usize>>) -> Self {
        Shape(dims.into())
    }

    /// The dimensions.
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// The number of elements of one sample; saturates instead of overflowing.
    pub fn elements(&self) -> usize {
        self.0.iter().fold(1, |n, &d| n.saturating_mul(d))
    }

    /// `(channels, height, width)`; a vector is a map of 1x1.
    pub fn chw(&self) -> (usize, usize, usize) {
        match self.0[..] {
            [c, h, w] => (c, h, w),
            _ => (self.elements(), 1, 1),
        }
    }

    /// Whether this is `[C, H, W]`.
    pub fn is_map(&self) -> bool {
        self.0.len() == 3
    }

    /// The shape of a batch of `n` such samples.
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

/// `[1, 32, 32]` as `1x32x32`.
pub fn dims(dims: &[usize]) -> String {
    dims.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}
