//! Plain tensors and shapes.

pub mod quantized;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

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

/// Numbers with a shape, row-major: activations NCHW (batch first), convolution weights OIHW,
/// linear weights `[out, in]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Tensor<T = f32> {
    /// The dimensions, outermost first.
    pub shape: Vec<usize>,
    /// `shape`'s product of values.
    pub data: Vec<T>,
}

impl<T: Copy + Default> Tensor<T> {
    /// A tensor of `data`.
    ///
    /// # Errors
    /// [`Error::Shape`] when `data` does not have as many values as `shape` says.
    pub fn new(shape: impl Into<Vec<usize>>, data: Vec<T>) -> Result<Self> {
        let shape = shape.into();
        if Shape::new(shape.clone()).elements() != data.len() {
            return Err(Error::Shape {
                tensor: "data".into(),
                expected: format!("{} ({} values)", dims(&shape), Shape::new(shape.clone()).elements()),
                actual: format!("{} values", data.len()),
            });
        }
        Ok(Tensor { shape, data })
    }

    /// A tensor of zeros.
    pub fn zeros(shape: impl Into<Vec<usize>>) -> Self {
        let shape = shape.into();
        Tensor { data: vec![T::default(); shape.iter().product()], shape }
    }

    /// The same shape with every value mapped.
    pub fn map<U>(&self, f: impl FnMut(&T) -> U) -> Tensor<U> {
        Tensor { shape: self.shape.clone(), data: self.data.iter().map(f).collect() }
    }

    /// `[N, C, H, W]`; a batch of vectors `[N, F]` counts as `[N, F, 1, 1]`.
    pub fn nchw(&self) -> [usize; 4] {
        let (c, h, w) = Shape::new(&self.shape[1..]).chw();
        [self.shape[0], c, h, w]
    }
}

impl Tensor<f32> {
    /// In double precision, as the references compute.
    pub fn to_f64(&self) -> Tensor<f64> {
        self.map(|&v| f64::from(v))
    }
}

impl Tensor<f64> {
    /// In single precision.
    pub fn to_f32(&self) -> Tensor<f32> {
        self.map(|&v| v as f32)
    }
}
