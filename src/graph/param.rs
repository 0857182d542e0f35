//! One parameter tensor, in the form in which it is held.

use std::borrow::Cow;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::tensor::quantized::{self, Quantized};
use crate::tensor::{Tensor, dims};

/// A function that reads the tensor of this name from the file in which [`Param::Deferred`] tensors still are.
pub type ReadParam<'a> = dyn Fn(&str) -> Result<Param> + 'a;

/// A parameter tensor. Two are equal when their shapes and values are equal in single precision; two deferred ones are
/// equal when their names in the file are.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use convoke::graph::Param;
/// use convoke::tensor::Tensor;
/// let base = Arc::new(Param::Floats(Tensor::new([2, 1], vec![3.0, 4.0])?));
/// let scaled = Param::RowScaled { base, factors: vec![2.0, 0.5] };
/// assert_eq!(scaled.shape(), [2, 1]);
/// assert_eq!(scaled.values().data, [6.0, 2.0]);
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone)]
pub enum Param {
    /// Values in single precision.
    Floats(Tensor),
    /// Values quantized to 8 bits.
    Quantized {
        /// The dimensions, outermost first.
        shape: Vec<usize>,
        /// The 8-bit values in row-major order, and a scale for each entry of the first dimension.
        quantized: Quantized,
    },
    /// Values that have not been read from their file.
    Deferred {
        /// The dimensions, outermost first.
        shape: Vec<usize>,
        /// The tensor's name in the file.
        name: String,
        /// Whether the file stores the tensor in 8 bits.
        quantized: bool,
    },
    /// A tensor whose rows, the entries of its first dimension, are each multiplied by a factor.
    RowScaled {
        /// The tensor before scaling.
        base: Arc<Param>,
        /// One factor for each row.
        factors: Vec<f64>,
    },
}

impl Param {
    /// Returns the dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        match self {
            Param::Floats(tensor) => &tensor.shape,
            Param::Quantized { shape, .. } | Param::Deferred { shape, .. } => shape,
            Param::RowScaled { base, .. } => base.shape(),
        }
    }

    /// Returns the dimensions for writing. The product of the dimensions must stay the number of values, and the first
    /// dimension must stay as it is for quantized and row-scaled tensors.
    ///
    /// # Panics
    /// Panics for a row-scaled tensor whose base is [`Param::Deferred`].
    pub fn shape_mut(&mut self) -> &mut Vec<usize> {
        match self {
            Param::Floats(tensor) => &mut tensor.shape,
            Param::Quantized { shape, .. } | Param::Deferred { shape, .. } => shape,
            Param::RowScaled { .. } => &mut self.values_mut().shape,
        }
    }

    /// Returns whether the values are stored in 8 bits, in memory or in the file.
    pub fn is_quantized(&self) -> bool {
        matches!(self, Param::Quantized { .. } | Param::Deferred { quantized: true, .. })
    }

    /// Returns the tensor with its values in memory. Does not check that they are finite.
    ///
    /// # Errors
    /// Returns the errors of `read`, and [`Error::Shape`] when the tensor in the file has changed its shape.
    pub(crate) fn read(self: &Arc<Self>, read: &ReadParam) -> Result<Arc<Param>> {
        match &**self {
            Param::Deferred { shape, name, .. } => {
                let mut param = read(name)?;
                let rows_and_values = |shape: &[usize]| (shape.first().copied(), shape.iter().product::<usize>());
                if rows_and_values(param.shape()) != rows_and_values(shape) {
                    let (expected, actual) = (dims(shape), dims(param.shape()));
                    return Err(Error::Shape { tensor: name.clone(), expected, actual });
                }
                param.shape_mut().clone_from(shape);
                Ok(Arc::new(param))
            }
            Param::RowScaled { base, factors } => {
                Ok(Arc::new(Param::RowScaled { base: base.read(read)?, factors: factors.clone() }))
            }
            _ => Ok(self.clone()),
        }
    }

    /// Returns the values in single precision: dequantized or scaled where the tensor is held otherwise.
    ///
    /// # Panics
    /// Panics when the values have not been read from their file ([`Param::Deferred`]).
    pub fn values(&self) -> Cow<'_, Tensor> {
        match self {
            Param::Floats(tensor) => Cow::Borrowed(tensor),
            Param::Quantized { shape, quantized: Quantized { values, scales } } => {
                Cow::Owned(Tensor { shape: shape.clone(), data: quantized::dequantize(values, scales) })
            }
            Param::Deferred { name, .. } => panic!("`{name}` has not been read"),
            Param::RowScaled { .. } => Cow::Owned(Arc::new(self.clone()).into_values()),
        }
    }

    /// Returns the values in 8 bits: the stored ones if the tensor is held so, otherwise quantized from its floats.
    ///
    /// # Panics
    /// Panics when the values have not been read from their file ([`Param::Deferred`]), and for a tensor of floats without
    /// dimensions.
    pub fn quantized(&self) -> Cow<'_, Quantized> {
        match self {
            Param::Quantized { quantized, .. } => Cow::Borrowed(quantized),
            Param::RowScaled { base, factors } if base.is_quantized() => {
                let Quantized { values, mut scales } = base.quantized().into_owned();
                scales.iter_mut().zip(factors).for_each(|(s, factor)| *s = (f64::from(*s) * factor) as f32);
                Cow::Owned(Quantized { values, scales })
            }
            _ => Cow::Owned(quantized::quantize(&self.values())),
        }
    }

    /// Returns the values in single precision. Scales in place, without a copy, when the `Arc` is the only owner.
    pub(crate) fn into_values(self: Arc<Self>) -> Tensor {
        match Arc::unwrap_or_clone(self) {
            Param::Floats(tensor) => tensor,
            Param::RowScaled { base, factors } => {
                let mut tensor = base.into_values();
                let row = tensor.data.len() / factors.len();
                tensor.data.chunks_exact_mut(row).zip(factors).for_each(|(row, factor)| scale_row(row, factor));
                tensor
            }
            other => other.values().into_owned(),
        }
    }

    /// Returns the values for writing; the tensor is held in floats from then on.
    ///
    /// # Panics
    /// Panics when the values have not been read from their file ([`Param::Deferred`]).
    pub fn values_mut(&mut self) -> &mut Tensor {
        if !matches!(self, Param::Floats(_)) {
            *self = Param::Floats(self.values().into_owned());
        }
        let Param::Floats(tensor) = self else { unreachable!("it became floats") };
        tensor
    }

    /// Checks that all values are finite; `name` is the tensor's name in the error.
    ///
    /// # Errors
    /// Returns [`Error::NotFinite`] for NaN or infinity.
    pub(crate) fn check(&self, name: &str) -> Result<()> {
        match self.not_finite() {
            Some((index, value)) => Err(Error::NotFinite { what: format!("tensor `{name}`"), index, value }),
            None => Ok(()),
        }
    }

    /// Returns the first value that is not finite, with its index. For quantized values the index is the first of the output
    /// channel, and the value is the channel's scale.
    fn not_finite(&self) -> Option<(usize, f32)> {
        match self {
            Param::Floats(Tensor { data, .. }) => {
                let index = if is_finite(data) { None } else { data.iter().position(|v| !v.is_finite()) }?;
                Some((index, data[index]))
            }
            Param::Quantized { quantized: Quantized { values, scales }, .. } => {
                // The values of a file may reach -128, one beyond the levels.
                let channel = scales.iter().position(|s| !(s * (quantized::WEIGHT_LEVELS + 1.0)).is_finite())?;
                Some((channel * (values.len() / scales.len()), scales[channel]))
            }
            Param::Deferred { .. } => None,
            Param::RowScaled { base, factors } => {
                let row = factors.iter().position(|factor| !factor.is_finite());
                row.map(|row| (row, factors[row] as f32)).or_else(|| base.not_finite())
            }
        }
    }
}

/// Multiplies a row by `factor`. Hot: folded weights all pass through here when a network is loaded.
fn scale_row(row: &mut [f32], factor: f64) {
    row.iter_mut().for_each(|w| *w = (f64::from(*w) * factor) as f32);
}

/// Returns whether all values are finite. Compares the largest exponent and mantissa bits, which vectorizes. Hot: all
/// weights pass through here when a network is loaded.
pub(super) fn is_finite(values: &[f32]) -> bool {
    values.iter().fold(0, |largest, v| (v.to_bits() & i32::MAX as u32).max(largest)) < f32::INFINITY.to_bits()
}

impl PartialEq for Param {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Param::Deferred { name: a, .. }, Param::Deferred { name: b, .. }) => a == b,
            (Param::Deferred { .. }, _) | (_, Param::Deferred { .. }) => false,
            _ => self.values() == other.values(),
        }
    }
}

impl From<Tensor> for Arc<Param> {
    fn from(tensor: Tensor) -> Self {
        Arc::new(Param::Floats(tensor))
    }
}
