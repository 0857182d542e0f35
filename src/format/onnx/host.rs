//! Constants: tensors that are known while reading. Weights, shapes, and what is computed from them.

use super::numbers::{SmallFloat, wrap};
use super::proto::{DataType, EXTERNAL, TensorProto};
use crate::error::{Error, Result};
use crate::tensor::{MAX_ELEMENTS, Tensor, dims};

/// A constant of any shape. Dimensions and data agree.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Host {
    pub shape: Vec<usize>,
    pub data: Data,
}

/// Floats of every width are held as `f32`, integers that are no bytes, and booleans, as `i64`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    Float(Vec<f32>),
    /// With their type; int64 also for int32 and bool.
    Int(Vec<i64>, DataType),
    Int8(Vec<i8>),
    Uint8(Vec<u8>),
}

/// Applies one expression (to vectors that are owned or borrowed, as their type then is) to the vector inside, whatever its type, and wraps the result alike.
macro_rules! each {
    ($data:expr, $v:ident => $body:expr) => {
        match $data {
            Data::Float($v) => Data::Float($body),
            Data::Int8($v) => Data::Int8($body),
            Data::Uint8($v) => Data::Uint8($body),
            Data::Int($v, kind) => Data::Int($body, *std::borrow::Borrow::<DataType>::borrow(&kind)),
        }
    };
}
pub(super) use each;

impl Data {
    pub(super) fn len(&self) -> usize {
        match self {
            Data::Float(v) => v.len(),
            Data::Int8(v) => v.len(),
            Data::Uint8(v) => v.len(),
            Data::Int(v, _) => v.len(),
        }
    }

    /// Whole numbers in a type, wrapped around where they do not fit.
    pub(super) fn whole(mut values: Vec<i64>, kind: DataType) -> Data {
        values.iter_mut().for_each(|v| *v = wrap(*v, kind));
        match kind {
            DataType::Int8 => Data::Int8(values.into_iter().map(|v| v as i8).collect()),
            DataType::Uint8 => Data::Uint8(values.into_iter().map(|v| v as u8).collect()),
            DataType::Int32 | DataType::Bool => Data::Int(values, DataType::Int64),
            _ => Data::Int(values, kind),
        }
    }

    /// The type of its numbers; the widest of those that are held alike.
    pub(super) fn kind(&self) -> DataType {
        match self {
            Data::Float(_) => DataType::Float,
            Data::Int8(_) => DataType::Int8,
            Data::Uint8(_) => DataType::Uint8,
            Data::Int(_, kind) => *kind,
        }
    }

    /// The elements at these positions, each of which exists.
    pub(super) fn gather(&self, at: &[usize]) -> Data {
        each!(self, v => at.iter().map(|&i| v[i]).collect())
    }
}

impl From<Tensor> for Host {
    fn from(tensor: Tensor) -> Self {
        Host { shape: tensor.shape, data: Data::Float(tensor.data) }
    }
}

impl Host {
    pub(super) fn ints(values: Vec<i64>) -> Self {
        Host { shape: vec![values.len()], data: Data::Int(values, DataType::Int64) }
    }

    pub(super) fn int(value: i64) -> Self {
        Host { shape: vec![], data: Data::Int(vec![value], DataType::Int64) }
    }

    pub(super) fn scalar(value: f32) -> Self {
        Host { shape: vec![], data: Data::Float(vec![value]) }
    }

    /// Whole numbers of any type.
    pub(super) fn to_ints(&self) -> Option<Vec<i64>> {
        match &self.data {
            Data::Int8(v) => Some(v.iter().map(|&v| v.into()).collect()),
            Data::Uint8(v) => Some(v.iter().map(|&v| v.into()).collect()),
            Data::Int(v, _) => Some(v.clone()),
            Data::Float(_) => None,
        }
    }

    pub(super) fn to_floats(&self) -> Option<&[f32]> {
        match &self.data {
            Data::Float(v) => Some(v),
            _ => None,
        }
    }

    pub(super) fn into_floats(self) -> Option<Tensor> {
        match self.data {
            Data::Float(data) => Some(Tensor { shape: self.shape, data }),
            _ => None,
        }
    }

    /// The values as floats, whatever their type.
    pub(super) fn into_tensor(self) -> Tensor {
        match (self.to_ints(), self.data) {
            (None, Data::Float(data)) => Tensor { shape: self.shape, data },
            (ints, _) => {
                let data = ints.into_iter().flatten().map(|v| v as f32).collect();
                Tensor { shape: self.shape, data }
            }
        }
    }

    /// Bytes that it takes.
    pub(super) fn bytes(shape: &[usize], width: usize) -> u64 {
        shape.iter().fold(width as u64, |n, &d| n.saturating_mul(d as u64))
    }

    /// The tensor in the file. Allocates only once the file has shown to hold as many values as the shape says.
    pub(super) fn decode(proto: &TensorProto) -> Result<Host> {
        let what = || format!("tensor `{}`", proto.name);
        if proto.data_location == EXTERNAL {
            let actual = "external data (another file holds the values)";
            return Err(Error::format(what(), "values inside the file: export without external data", actual));
        }
        let shape = shape(proto)?;
        let n = shape.iter().product();
        let data = match &proto.raw_data {
            Some(raw) => decode_raw(raw, kind(proto)?, n),
            None => decode_typed(proto, kind(proto)?, n),
        };
        let data =
            data.map_err(|actual| Error::format(what(), format!("{n} values for shape {}", dims(&shape)), actual))?;
        Ok(Host { shape, data })
    }
}

fn shape(proto: &TensorProto) -> Result<Vec<usize>> {
    let shape: Vec<usize> = proto.dims.iter().filter_map(|&d| usize::try_from(d).ok()).collect();
    let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    // A zero could hide an overflow behind it.
    let largest = shape.iter().filter(|&&d| d > 0).try_fold(1usize, |n, &d| n.checked_mul(d));
    if shape.len() < proto.dims.len() || elements.is_none() || largest.is_none_or(|n| n > MAX_ELEMENTS) {
        let expected = format!("dimensions whose product is at most {MAX_ELEMENTS}");
        return Err(Error::format(format!("tensor `{}`", proto.name), expected, format!("{:?}", proto.dims)));
    }
    Ok(shape)
}

fn kind(proto: &TensorProto) -> Result<DataType> {
    DataType::try_from(proto.data_type).ok().filter(|&k| k != DataType::Undefined).ok_or_else(|| {
        let expected = "a type of real numbers";
        Error::format(format!("tensor `{}`", proto.name), expected, format!("data type {}", proto.data_type))
    })
}

fn decode_raw(raw: &[u8], kind: DataType, n: usize) -> Result<Data, String> {
    use DataType as D;
    let bits = match kind {
        D::Int4 | D::Uint4 | D::Float4e2m1 => 4,
        D::Int8 | D::Uint8 | D::Bool | D::Float8e8m0 => 8,
        _ if SmallFloat::of(kind).is_some() => 8,
        D::Float16 | D::Bfloat16 | D::Int16 | D::Uint16 => 16,
        D::Double | D::Int64 | D::Uint64 => 64,
        _ => 32,
    };
    if n.checked_mul(bits).map(|bits| bits.div_ceil(8)) != Some(raw.len()) {
        return Err(format!("{} bytes of {kind:?}", raw.len()));
    }
    if bits == 4 {
        return Ok(of_bits(raw.iter().flat_map(|&b| [b & 15, b >> 4]).take(n).collect(), kind));
    }
    Ok(match kind {
        D::Double => Data::Float(values(raw, |b| f64::from_le_bytes(b) as f32)),
        D::Float16 => Data::Float(values(raw, |b| half::f16::from_le_bytes(b).to_f32())),
        D::Bfloat16 => Data::Float(values(raw, |b| half::bf16::from_le_bytes(b).to_f32())),
        D::Int64 => Data::Int(values(raw, i64::from_le_bytes), kind),
        D::Uint64 => unsigned(values(raw, u64::from_le_bytes))?,
        D::Bool => Data::Int(raw.iter().map(|&b| i64::from(b != 0)).collect(), D::Int64),
        D::Int8 => Data::Int8(raw.iter().map(|&b| b as i8).collect()),
        D::Uint8 => Data::Uint8(raw.to_vec()),
        D::Int16 | D::Uint16 => Data::whole(values(raw, |b| i16::from_le_bytes(b).into()), kind),
        D::Int32 | D::Uint32 => Data::whole(values(raw, |b| i32::from_le_bytes(b).into()), kind),
        _ if bits == 8 => of_bits(raw.to_vec(), kind),
        _ => Data::Float(values(raw, f32::from_le_bytes)),
    })
}

fn decode_typed(proto: &TensorProto, kind: DataType, n: usize) -> Result<Data, String> {
    use DataType as D;
    let count = |len: usize| if len == n { Ok(()) } else { Err(format!("{len} values of {kind:?}")) };
    let ints = &proto.int32_data;
    let four = matches!(kind, D::Int4 | D::Uint4 | D::Float4e2m1);
    match kind {
        D::Float => count(proto.float_data.len())?,
        D::Double => count(proto.double_data.len())?,
        D::Int64 => count(proto.int64_data.len())?,
        D::Uint32 | D::Uint64 => count(proto.uint64_data.len())?,
        _ if four && ints.len() == n.div_ceil(2) => {
            return Ok(of_bits(ints.iter().flat_map(|&b| [b as u8 & 15, b as u8 >> 4]).take(n).collect(), kind));
        }
        _ => count(ints.len())?,
    }
    Ok(match kind {
        D::Float | D::Undefined => Data::Float(proto.float_data.clone()),
        D::Double => Data::Float(proto.double_data.iter().map(|&v| v as f32).collect()),
        D::Int64 => Data::Int(proto.int64_data.clone(), kind),
        D::Int8 => Data::Int8(ints.iter().map(|&v| v as i8).collect()),
        D::Uint8 => Data::Uint8(ints.iter().map(|&v| v as u8).collect()),
        D::Bool | D::Int16 | D::Uint16 | D::Int32 => Data::whole(ints.iter().map(|&v| v.into()).collect(), kind),
        D::Uint64 => unsigned(proto.uint64_data.clone())?,
        D::Uint32 => Data::whole(proto.uint64_data.iter().map(|&v| v as i64).collect(), kind),
        D::Float16 => Data::Float(ints.iter().map(|&v| half::f16::from_bits(v as u16).to_f32()).collect()),
        D::Bfloat16 => Data::Float(ints.iter().map(|&v| half::bf16::from_bits(v as u16).to_f32()).collect()),
        _ => of_bits(ints.iter().map(|&v| v as u8).collect(), kind),
    })
}

/// What is held with a sign in as many bits.
fn unsigned(values: Vec<u64>) -> Result<Data, String> {
    let values: Result<Vec<i64>, _> = values.into_iter().map(i64::try_from).collect();
    Ok(Data::Int(values.map_err(|_| "a number of 2^63 or more")?, DataType::Uint64))
}

/// Numbers of 4 or 8 bits.
fn of_bits(bits: Vec<u8>, kind: DataType) -> Data {
    match SmallFloat::of(kind) {
        Some(float) => Data::Float(bits.into_iter().map(|b| float.decode(b)).collect()),
        None if kind == DataType::Float8e8m0 => {
            let power = |b: u8| if b == 255 { f32::NAN } else { 2f32.powi(i32::from(b) - 127) };
            Data::Float(bits.into_iter().map(power).collect())
        }
        None => Data::whole(bits.into_iter().map(i64::from).collect(), kind),
    }
}

fn values<const N: usize, T>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.chunks_exact(N).map(|b| value(b.try_into().expect("chunks of N"))).collect()
}

/// The flat position in a tensor of `shape`, broadcast to `full` (aligned at the right), of the value at `i` of `full`.
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

/// The shape to which two shapes broadcast, if they do.
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
