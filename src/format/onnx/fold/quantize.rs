//! Quantization of constants.

use super::super::builder::GraphBuilder;
use super::super::const_tensor::{ConstData, ConstTensor};
use super::super::node::{OnnxNode, ReadResult};
use super::super::number_types::{SmallFloat, range};
use super::super::proto::DataType;
use super::super::quantized_constant::QuantizedConstant;
use super::super::value::OnnxValue;
use super::gemm;
use crate::tensor::{Tensor, dims};

/// The scale and zero point that belong to each value: one for all values, one for each index of an axis, or one for
/// each block of values along the axis (operator set 21, attribute `block_size`).
struct ScaleIndex {
    count: usize,
    size: usize,
    inner: usize,
    /// Values along the axis that share a scale; 0 without blocks.
    block: usize,
}

impl ScaleIndex {
    fn new(node: &OnnxNode, shape: &[usize], scale: &[usize], axis: usize) -> ReadResult<Self> {
        let block = usize::try_from(node.int("block_size", 0)?).unwrap_or(0);
        let (count, size) = (scale.iter().product(), shape.get(axis).copied().unwrap_or(1));
        let inner = shape.iter().skip(axis + 1).product();
        let fits = match block {
            0 => count == 1 || count == size,
            _ => {
                let blocks = |(a, &d): (usize, &usize)| if a == axis { d.div_ceil(block) } else { d };
                shape.iter().enumerate().map(blocks).eq(scale.iter().copied())
            }
        };
        if !fits {
            return Err(node.invalid("scale and zero point", format!("1 or {size} values"), dims(scale)));
        }
        Ok(ScaleIndex { count, size, inner, block })
    }

    /// Returns the flat position of the scale of the value at flat position `i`.
    fn at(&self, i: usize) -> usize {
        let (outer, own) = (i / self.inner.max(1) / self.size.max(1), i / self.inner.max(1) % self.size.max(1));
        match self.block {
            0 => own % self.count,
            block => (outer * self.size.div_ceil(block) + own / block) * self.inner + i % self.inner,
        }
    }
}

/// Returns the attribute `axis` (1 by default); 0 for a single scale, which has no axis.
fn scale_axis(node: &OnnxNode, scale: &ConstTensor, rank: usize) -> ReadResult<usize> {
    if scale.data.len() == 1 { Ok(0) } else { node.axis(node.int("axis", 1)?, rank) }
}

/// Returns zero points as floats, one for each scale; 0 where there are none.
fn zero_points(node: &OnnxNode, zero: Option<&ConstTensor>, scale: &ConstTensor) -> ReadResult<Vec<f32>> {
    let zeros = zero.map_or(vec![0.0], |zero| zero.clone().into_tensor().data);
    match zeros.len() {
        1 => Ok(vec![zeros[0]; scale.data.len()]),
        n if n == scale.data.len() => Ok(zeros),
        n => Err(node.invalid("zero point", format!("{} values", scale.data.len()), n)),
    }
}

/// Computes `(q - zero) * scale` in 8 bits; `None` if it needs more bits, or has scales for blocks.
pub fn dequantize_to_8_bits(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    q: &ConstTensor,
    scale: &ConstTensor,
    zero: Option<&ConstTensor>,
    axis: usize,
) -> ReadResult<Option<QuantizedConstant>> {
    let Some(scales) = scale.as_floats().filter(|_| scale.shape.len() < 2) else { return Ok(None) };
    let zeros = zero_points(node, zero, scale)?;
    builder.charge(&q.shape, 1)?;
    Ok(QuantizedConstant::new(q, scales, &zeros, axis))
}

/// Computes `(q - zero) * scale` in floats.
pub fn dequantize(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    q: &ConstTensor,
    scale: &ConstTensor,
    zero: Option<&ConstTensor>,
    axis: usize,
) -> ReadResult<Tensor> {
    let scales = scale.as_floats().ok_or_else(|| node.invalid("scale", "floats", "integers"))?;
    let (zeros, index) = (zero_points(node, zero, scale)?, ScaleIndex::new(node, &q.shape, &scale.shape, axis)?);
    builder.charge(&q.shape, 4)?;
    let value = |(i, q): (usize, f32)| {
        let at = index.at(i);
        (q - zeros[at]) * scales[at]
    };
    let data = match &q.data {
        ConstData::Int8(v) => v.iter().map(|&q| f32::from(q)).enumerate().map(value).collect(),
        ConstData::Uint8(v) => v.iter().map(|&q| f32::from(q)).enumerate().map(value).collect(),
        ConstData::Integer(v, _) => v.iter().map(|&q| q as f32).enumerate().map(value).collect(),
        ConstData::Float(v) => v.iter().copied().enumerate().map(value).collect(),
    };
    Ok(Tensor { shape: q.shape.clone(), data })
}

/// Rounds `x / scale + zero` to the nearest numbers of a type, ties to even; numbers outside its range saturate.
fn quantize(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    x: &Tensor,
    scale: &ConstTensor,
    zero: Option<&ConstTensor>,
    axis: usize,
    kind: DataType,
) -> ReadResult<ConstTensor> {
    let scales = scale.as_floats().ok_or_else(|| node.invalid("scale", "floats", "integers"))?;
    let (zeros, index) = (zero_points(node, zero, scale)?, ScaleIndex::new(node, &x.shape, &scale.shape, axis)?);
    builder.charge(&x.shape, 8)?;
    let scaled = x.data.iter().enumerate().map(|(i, v)| (v / scales[index.at(i)], zeros[index.at(i)]));
    let data = match SmallFloat::of(kind) {
        Some(float) => ConstData::Float(scaled.map(|(v, zero)| float.round(v + zero, true)).collect()),
        None => {
            let (low, high) = range(kind);
            let rounded = |(v, zero): (f32, f32)| ((v.round_ties_even() + zero) as i64).clamp(low, high);
            ConstData::from_integers(scaled.map(rounded).collect(), kind)
        }
    };
    Ok(ConstTensor { shape: x.shape.clone(), data })
}

/// DequantizeLinear with one scale, one for each index of the attribute `axis`, or one for each block along it
/// (`block_size`, operator set 21).
pub fn dequantize_linear<'a>(builder: &mut GraphBuilder<'a>, node: &OnnxNode) -> ReadResult<Vec<OnnxValue<'a>>> {
    let (q, scale) = (builder.constant(node, 0)?, builder.constant(node, 1)?);
    let zero = builder.maybe_constant(node, 2)?;
    let axis = scale_axis(node, &scale, q.shape.len())?;
    if let Some(constant) = dequantize_to_8_bits(builder, node, &q, &scale, zero.as_ref(), axis)? {
        return Ok(vec![OnnxValue::QuantizedConstant(constant)]);
    }
    let x = dequantize(builder, node, &q, &scale, zero.as_ref(), axis)?;
    Ok(vec![OnnxValue::Constant(x.into())])
}

/// QuantizeLinear with the scales of [`dequantize_linear`]. The type is the zero point's, or the attribute
/// `output_dtype` (operator set 21), or uint8.
pub fn quantize_linear(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    let (stored, given) = (builder.stored_data_type(node, 2), node.int("output_dtype", 0)?);
    let given = DataType::try_from(given as i32).ok().filter(|&kind| kind != DataType::Undefined);
    let (x, scale) = (builder.float_tensor(node, 0)?, builder.constant(node, 1)?);
    let zero = builder.maybe_constant(node, 2)?;
    let kind = stored.or(given).unwrap_or_else(|| zero.as_ref().map_or(DataType::Uint8, |zero| zero.data.data_type()));
    let axis = scale_axis(node, &scale, x.shape.len())?;
    quantize(builder, node, &x, &scale, zero.as_ref(), axis, kind)
}

/// QLinearMatMul. Inputs: a, its scale and zero point, b, its scale and zero point, the output's scale and zero point.
pub fn q_linear_mat_mul(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    let mut factor = |first: usize| -> ReadResult<ConstTensor> {
        let (q, scale) = (builder.constant(node, first)?, builder.constant(node, first + 1)?);
        let zero = builder.maybe_constant(node, first + 2)?;
        Ok(dequantize(builder, node, &q, &scale, zero.as_ref(), 0)?.into())
    };
    let (a, b) = (factor(0)?, factor(3)?);
    let product = gemm::product(builder, node, &a, &b)?.into_tensor();
    let (scale, zero) = (builder.constant(node, 6)?, builder.constant(node, 7)?);
    quantize(builder, node, &product, &scale, Some(&zero), 0, zero.data.data_type())
}

/// DynamicQuantizeLinear: uint8 values, their scale, and their zero point.
pub fn dynamic_quantize_linear(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Vec<ConstTensor>> {
    let x = builder.float_tensor(node, 0)?;
    let (low, high) = x.data.iter().fold((0f32, 0f32), |(low, high), &v| (low.min(v), high.max(v)));
    let scale = (high - low) / 255.0;
    let zero = (-low / scale).round_ties_even() as u8;
    let (scale, zero) = (ConstTensor::scalar(scale), ConstTensor { shape: vec![], data: ConstData::Uint8(vec![zero]) });
    let values = quantize(builder, node, &x, &scale, Some(&zero), 0, DataType::Uint8)?;
    Ok(vec![values, scale, zero])
}
