//! Tensors of a file (`TensorProto`) to constants.

use prost::Message;
use prost::bytes::Bytes;

use super::const_tensor::{ConstData, ConstTensor};
use super::number_types::SmallFloat;
use super::proto::{DataType, EXTERNAL, TensorProto};
use super::scan;
use crate::error::{Error, Result};
use crate::tensor::{MAX_ELEMENTS, Tensor, dims};

/// A tensor in ONNX's own form (`TensorProto`, the `.pb` files of ONNX's tests).
#[derive(Debug, Clone, PartialEq)]
pub struct Constant(TensorProto);

impl Constant {
    /// Decodes the bytes of a `TensorProto`.
    ///
    /// # Errors
    /// [`Error::Format`] for other bytes, [`Error::TooLarge`] for a message of more than
    /// [`MAX_RECORDS`](super::MAX_RECORDS) records.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        scan::check_tensor(bytes)?;
        let decoded = TensorProto::decode(Bytes::copy_from_slice(bytes));
        decoded.map(Constant).map_err(|e| Error::format("ONNX tensor", "a message `TensorProto`", e))
    }

    /// The tensor's name; may be empty.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Converts the values to `f32`, whatever their type; the shape is the file's.
    ///
    /// # Errors
    /// [`Error::Format`] for values that are no real numbers or that are not in these bytes.
    pub fn to_tensor(&self) -> Result<Tensor> {
        Ok(decode(&self.0)?.into_tensor())
    }

    /// Returns the message.
    pub(super) fn proto(&self) -> &TensorProto {
        &self.0
    }
}

/// Decodes a tensor. Allocates only once the message has shown to hold the number of values that its shape says.
///
/// # Errors
/// [`Error::Format`] for a shape and values that do not fit each other, for values in another file, and for strings and
/// complex numbers.
pub(super) fn decode(proto: &TensorProto) -> Result<ConstTensor> {
    let what = || format!("tensor `{}`", proto.name);
    if proto.data_location == EXTERNAL {
        let actual = "external data (another file holds the values)";
        return Err(Error::format(what(), "values inside the file: export without external data", actual));
    }
    let shape = shape(proto)?;
    let n = shape.iter().product();
    let data = match &proto.raw_data {
        Some(raw) => decode_raw(raw, data_type(proto)?, n),
        None => decode_typed(proto, data_type(proto)?, n),
    };
    let data =
        data.map_err(|actual| Error::format(what(), format!("{n} values for shape {}", dims(&shape)), actual))?;
    Ok(ConstTensor { shape, data })
}

fn shape(proto: &TensorProto) -> Result<Vec<usize>> {
    let shape: Vec<usize> = proto.dims.iter().filter_map(|&d| usize::try_from(d).ok()).collect();
    let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    // A dimension of zero must not hide a product that overflows.
    let largest = shape.iter().filter(|&&d| d > 0).try_fold(1usize, |n, &d| n.checked_mul(d));
    if shape.len() < proto.dims.len() || elements.is_none() || largest.is_none_or(|n| n > MAX_ELEMENTS) {
        let expected = format!("dimensions whose product is at most {MAX_ELEMENTS}");
        return Err(Error::format(format!("tensor `{}`", proto.name), expected, format!("{:?}", proto.dims)));
    }
    Ok(shape)
}

fn data_type(proto: &TensorProto) -> Result<DataType> {
    DataType::try_from(proto.data_type).ok().filter(|&k| k != DataType::Undefined).ok_or_else(|| {
        let expected = "a type of real numbers";
        Error::format(format!("tensor `{}`", proto.name), expected, format!("data type {}", proto.data_type))
    })
}

/// Decodes `n` values of `raw_data`, little-endian. The error describes the values that are there instead.
fn decode_raw(raw: &[u8], kind: DataType, n: usize) -> Result<ConstData, String> {
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
        return Ok(from_bits(raw.iter().flat_map(|&b| [b & 15, b >> 4]).take(n).collect(), kind));
    }
    Ok(match kind {
        D::Double => ConstData::Float(values(raw, |b| f64::from_le_bytes(b) as f32)),
        D::Float16 => ConstData::Float(values(raw, |b| half::f16::from_le_bytes(b).to_f32())),
        D::Bfloat16 => ConstData::Float(values(raw, |b| half::bf16::from_le_bytes(b).to_f32())),
        D::Int64 => ConstData::Integer(values(raw, i64::from_le_bytes), kind),
        D::Uint64 => from_unsigned(values(raw, u64::from_le_bytes))?,
        D::Bool => ConstData::Integer(raw.iter().map(|&b| i64::from(b != 0)).collect(), D::Int64),
        D::Int8 => ConstData::Int8(raw.iter().map(|&b| b as i8).collect()),
        D::Uint8 => ConstData::Uint8(raw.to_vec()),
        D::Int16 | D::Uint16 => ConstData::from_integers(values(raw, |b| i16::from_le_bytes(b).into()), kind),
        D::Int32 | D::Uint32 => ConstData::from_integers(values(raw, |b| i32::from_le_bytes(b).into()), kind),
        _ if bits == 8 => from_bits(raw.to_vec(), kind),
        _ => ConstData::Float(values(raw, f32::from_le_bytes)),
    })
}

/// Decodes `n` values of the field that ONNX has for the type. The error describes the values that are there instead.
fn decode_typed(proto: &TensorProto, kind: DataType, n: usize) -> Result<ConstData, String> {
    use DataType as D;
    let count = |len: usize| if len == n { Ok(()) } else { Err(format!("{len} values of {kind:?}")) };
    let ints = &proto.int32_data;
    let is_4_bits = matches!(kind, D::Int4 | D::Uint4 | D::Float4e2m1);
    match kind {
        D::Float => count(proto.float_data.len())?,
        D::Double => count(proto.double_data.len())?,
        D::Int64 => count(proto.int64_data.len())?,
        D::Uint32 | D::Uint64 => count(proto.uint64_data.len())?,
        _ if is_4_bits && ints.len() == n.div_ceil(2) => {
            return Ok(from_bits(ints.iter().flat_map(|&b| [b as u8 & 15, b as u8 >> 4]).take(n).collect(), kind));
        }
        _ => count(ints.len())?,
    }
    Ok(match kind {
        D::Float | D::Undefined => ConstData::Float(proto.float_data.clone()),
        D::Double => ConstData::Float(proto.double_data.iter().map(|&v| v as f32).collect()),
        D::Int64 => ConstData::Integer(proto.int64_data.clone(), kind),
        D::Int8 => ConstData::Int8(ints.iter().map(|&v| v as i8).collect()),
        D::Uint8 => ConstData::Uint8(ints.iter().map(|&v| v as u8).collect()),
        D::Bool | D::Int16 | D::Uint16 | D::Int32 => {
            ConstData::from_integers(ints.iter().map(|&v| v.into()).collect(), kind)
        }
        D::Uint64 => from_unsigned(proto.uint64_data.clone())?,
        D::Uint32 => ConstData::from_integers(proto.uint64_data.iter().map(|&v| v as i64).collect(), kind),
        D::Float16 => ConstData::Float(ints.iter().map(|&v| half::f16::from_bits(v as u16).to_f32()).collect()),
        D::Bfloat16 => ConstData::Float(ints.iter().map(|&v| half::bf16::from_bits(v as u16).to_f32()).collect()),
        _ => from_bits(ints.iter().map(|&v| v as u8).collect(), kind),
    })
}

/// Converts uint64 values, which constants hold in `i64`; the error says that one does not fit.
fn from_unsigned(values: Vec<u64>) -> Result<ConstData, String> {
    let values: Result<Vec<i64>, _> = values.into_iter().map(i64::try_from).collect();
    Ok(ConstData::Integer(values.map_err(|_| "a number of 2^63 or more")?, DataType::Uint64))
}

/// Decodes numbers of 4 or 8 bits, one in each byte.
fn from_bits(bits: Vec<u8>, kind: DataType) -> ConstData {
    match SmallFloat::of(kind) {
        Some(float) => ConstData::Float(bits.into_iter().map(|b| float.decode(b)).collect()),
        None if kind == DataType::Float8e8m0 => {
            let power = |b: u8| if b == 255 { f32::NAN } else { 2f32.powi(i32::from(b) - 127) };
            ConstData::Float(bits.into_iter().map(power).collect())
        }
        None => ConstData::from_integers(bits.into_iter().map(i64::from).collect(), kind),
    }
}

fn values<const N: usize, T>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.chunks_exact(N).map(|b| value(b.try_into().expect("chunks of N"))).collect()
}
