//! Dense tensors.

use super::shape::{Shape, dims};
use crate::error::{Error, Result};

/// A dense tensor in row-major order.
///
/// # Shapes
/// Activations are NCHW or `[N, F]` (batch first), weights of convolutions OIHW, weights of linear layers `[out, in]`.
///
/// # Examples
/// ```
/// use convoke::tensor::Tensor;
/// let x = Tensor::new([2, 2], vec![1.0, 2.0, 3.0, 4.0])?;
/// assert_eq!(x.map(|v| 2.0 * v).data, [2.0, 4.0, 6.0, 8.0]);
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Tensor<T = f32> {
    /// The dimensions, outermost first.
    pub shape: Vec<usize>,
    /// The values; their number is the product of `shape`.
    pub data: Vec<T>,
}

impl<T: Copy + Default> Tensor<T> {
    /// Makes a tensor of `data` in row-major order.
    ///
    /// # Errors
    /// Returns [`Error::Shape`] when the number of values is not the product of `shape`.
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

    /// Makes a tensor of zeros.
    pub fn zeros(shape: impl Into<Vec<usize>>) -> Self {
        let shape = shape.into();
        Tensor { data: vec![T::default(); shape.iter().product()], shape }
    }

    /// Returns a tensor of this shape with `f` applied to each value.
    pub fn map<U>(&self, f: impl FnMut(&T) -> U) -> Tensor<U> {
        Tensor { shape: self.shape.clone(), data: self.data.iter().map(f).collect() }
    }

    /// Returns `[N, C, H, W]` of a batch. A batch of vectors `[N, F]` counts as `[N, F, 1, 1]`.
    ///
    /// # Panics
    /// Panics for a tensor without dimensions.
    pub fn nchw(&self) -> [usize; 4] {
        let (c, h, w) = Shape::new(&self.shape[1..]).chw();
        [self.shape[0], c, h, w]
    }
}

impl Tensor<f32> {
    /// Converts the values to double precision, in which the references compute.
    pub fn to_f64(&self) -> Tensor<f64> {
        self.map(|&v| f64::from(v))
    }
}

impl Tensor<f64> {
    /// Rounds the values to single precision.
    pub fn to_f32(&self) -> Tensor<f32> {
        self.map(|&v| v as f32)
    }
}
