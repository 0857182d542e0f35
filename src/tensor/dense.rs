//! Dense tensors.

use super::shape::{Shape, dims};
use crate::error::{Error, Result};

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
