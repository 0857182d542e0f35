//! Constant tensors: the values that are known while a file is read, such as weights, shapes and functions of these.

use super::number_types::wrap;
use super::proto::DataType;
use crate::tensor::Tensor;

/// A constant of any rank, row-major. The product of `shape` is the number of values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ConstTensor {
    pub shape: Vec<usize>,
    pub data: ConstData,
}

/// The values of a [`ConstTensor`].
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ConstData {
    /// Floats of every width.
    Float(Vec<f32>),
    /// Integers with their type, except those of 8 bits. int32 and booleans count as int64.
    Integer(Vec<i64>, DataType),
    Int8(Vec<i8>),
    Uint8(Vec<u8>),
}

impl ConstData {
    /// Returns the number of values.
    pub(super) fn len(&self) -> usize {
        match self {
            ConstData::Float(v) => v.len(),
            ConstData::Integer(v, _) => v.len(),
            ConstData::Int8(v) => v.len(),
            ConstData::Uint8(v) => v.len(),
        }
    }

    /// Makes integers of a data type, each wrapped around to the range of the type.
    pub(super) fn from_integers(mut values: Vec<i64>, kind: DataType) -> Self {
        values.iter_mut().for_each(|v| *v = wrap(*v, kind));
        match kind {
            DataType::Int8 => ConstData::Int8(values.into_iter().map(|v| v as i8).collect()),
            DataType::Uint8 => ConstData::Uint8(values.into_iter().map(|v| v as u8).collect()),
            DataType::Int32 | DataType::Bool => ConstData::Integer(values, DataType::Int64),
            _ => ConstData::Integer(values, kind),
        }
    }

    /// Returns the data type: float for every width of floats, int64 also for int32 and booleans.
    pub(super) fn data_type(&self) -> DataType {
        match self {
            ConstData::Float(_) => DataType::Float,
            ConstData::Integer(_, kind) => *kind,
            ConstData::Int8(_) => DataType::Int8,
            ConstData::Uint8(_) => DataType::Uint8,
        }
    }

    /// Copies the values at these positions, each of which must exist.
    pub(super) fn gather(&self, positions: &[usize]) -> Self {
        match self {
            ConstData::Float(v) => ConstData::Float(positions.iter().map(|&i| v[i]).collect()),
            ConstData::Integer(v, kind) => ConstData::Integer(positions.iter().map(|&i| v[i]).collect(), *kind),
            ConstData::Int8(v) => ConstData::Int8(positions.iter().map(|&i| v[i]).collect()),
            ConstData::Uint8(v) => ConstData::Uint8(positions.iter().map(|&i| v[i]).collect()),
        }
    }

    /// Repeats the first value, which must exist, `n` times.
    pub(super) fn repeat_first(&self, n: usize) -> Self {
        match self {
            ConstData::Float(v) => ConstData::Float(vec![v[0]; n]),
            ConstData::Integer(v, kind) => ConstData::Integer(vec![v[0]; n], *kind),
            ConstData::Int8(v) => ConstData::Int8(vec![v[0]; n]),
            ConstData::Uint8(v) => ConstData::Uint8(vec![v[0]; n]),
        }
    }

    /// Appends `other[range]`, which must have this data type.
    pub(super) fn extend_from(&mut self, other: &Self, range: std::ops::Range<usize>) {
        match (self, other) {
            (ConstData::Float(to), ConstData::Float(from)) => to.extend_from_slice(&from[range]),
            (ConstData::Integer(to, _), ConstData::Integer(from, _)) => to.extend_from_slice(&from[range]),
            (ConstData::Int8(to), ConstData::Int8(from)) => to.extend_from_slice(&from[range]),
            (ConstData::Uint8(to), ConstData::Uint8(from)) => to.extend_from_slice(&from[range]),
            _ => unreachable!("the caller compares the data types"),
        }
    }
}

impl From<Tensor> for ConstTensor {
    fn from(tensor: Tensor) -> Self {
        ConstTensor { shape: tensor.shape, data: ConstData::Float(tensor.data) }
    }
}

impl ConstTensor {
    /// Makes an int64 vector.
    pub(super) fn integers(values: Vec<i64>) -> Self {
        ConstTensor { shape: vec![values.len()], data: ConstData::Integer(values, DataType::Int64) }
    }

    /// Makes an int64 scalar.
    pub(super) fn integer(value: i64) -> Self {
        ConstTensor { shape: vec![], data: ConstData::Integer(vec![value], DataType::Int64) }
    }

    /// Makes a float scalar.
    pub(super) fn scalar(value: f32) -> Self {
        ConstTensor { shape: vec![], data: ConstData::Float(vec![value]) }
    }

    /// Copies the values of an integer tensor; `None` for floats.
    pub(super) fn to_integers(&self) -> Option<Vec<i64>> {
        match &self.data {
            ConstData::Int8(v) => Some(v.iter().map(|&v| v.into()).collect()),
            ConstData::Uint8(v) => Some(v.iter().map(|&v| v.into()).collect()),
            ConstData::Integer(v, _) => Some(v.clone()),
            ConstData::Float(_) => None,
        }
    }

    /// Returns the values of a float tensor; `None` for integers.
    pub(super) fn as_floats(&self) -> Option<&[f32]> {
        match &self.data {
            ConstData::Float(v) => Some(v),
            _ => None,
        }
    }

    /// Returns the first value of a float tensor; `None` for integers and empty tensors.
    pub(super) fn first_float(&self) -> Option<f32> {
        self.as_floats()?.first().copied()
    }

    /// Converts a float tensor; `None` for integers.
    pub(super) fn into_float_tensor(self) -> Option<Tensor> {
        match self.data {
            ConstData::Float(data) => Some(Tensor { shape: self.shape, data }),
            _ => None,
        }
    }

    /// Converts a tensor of any type; integers are rounded to the nearest `f32`.
    pub(super) fn into_tensor(self) -> Tensor {
        let data = match self.data {
            ConstData::Float(v) => v,
            ConstData::Integer(v, _) => v.into_iter().map(|v| v as f32).collect(),
            ConstData::Int8(v) => v.into_iter().map(f32::from).collect(),
            ConstData::Uint8(v) => v.into_iter().map(f32::from).collect(),
        };
        Tensor { shape: self.shape, data }
    }

    /// Returns the bytes of a tensor whose values take `width` bytes each; saturates.
    pub(super) fn byte_size(shape: &[usize], width: usize) -> u64 {
        shape.iter().fold(width as u64, |n, &d| n.saturating_mul(d as u64))
    }
}

/// Makes a float tensor of rank 1.
pub(super) fn vector(data: Vec<f32>) -> Tensor {
    Tensor { shape: vec![data.len()], data }
}

/// Returns the flat position in a tensor of `shape`, broadcast to `full` (aligned at the right), of the value at flat
/// position `i` of `full`.
pub(super) fn broadcast_index(i: usize, full: &[usize], shape: &[usize]) -> usize {
    let (mut rest, mut at, mut stride) = (i, 0, 1);
    for a in (0..full.len()).rev() {
        let position = rest % full[a];
        rest /= full[a];
        if let Some(own) = (a + shape.len()).checked_sub(full.len()) {
            at += if shape[own] == 1 { 0 } else { position * stride };
            stride *= shape[own];
        }
    }
    at
}

/// Returns the shape to which two shapes broadcast by NumPy's rules, which ONNX shares; `None` if they do not.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |j| s[j]);
    let pick = |(a, b): (usize, usize)| match (a, b) {
        (a, b) if a == b || b == 1 => Some(a),
        (1, b) => Some(b),
        _ => None,
    };
    (0..rank).map(|i| pick((at(a, i), at(b, i)))).collect()
}
