//! Quantized operators. Weights stay in 8 bits ([`QuantizedConstant`](super::super::quantized_constant)), and where the
//! file quantizes a value, the layer [`FakeQuantize`] rounds it to multiples of a scale. The input of a convolution or
//! linear layer with such a scale has a known range, with which the CPU computes the layer in integers: with the int8
//! values of the file. [`OnnxValue`] says how dynamically quantized networks are read.

use std::sync::Arc;

use super::super::builder::GraphBuilder;
use super::super::const_tensor::{ConstData, ConstTensor, vector};
use super::super::fold::quantize::{dequantize, dequantize_to_8_bits};
use super::super::node::{OnnxNode, ReadError, ReadResult, unsupported};
use super::super::proto::DataType;
use super::super::value::{Activation, OnnxValue, Scale};
use super::compose;
use super::conv::convolve;
use super::gemm::linear;
use super::pool;
use crate::graph::Param;
use crate::layers::{Add, Concat, FakeQuantize, Layer};
use crate::tensor::{Tensor, dims};

/// QuantizeLinear with one scale for all values.
pub fn quantize_linear<'a>(builder: &mut GraphBuilder<'a>, node: &OnnxNode) -> ReadResult<Vec<OnnxValue<'a>>> {
    let x = builder.activation(node, 0)?;
    let scale = scale_input(builder, node, 1)?;
    Ok(vec![quantized(builder, node, "", x, scale)?])
}

/// DequantizeLinear: of a quantized value with the scale it was quantized with, or of integers with one scale or one
/// for each index of the attribute `axis` (1 by default).
pub fn dequantize_linear(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    if let Some(OnnxValue::Integer(_)) = builder.peek(node, 0) {
        return dequantized_integers(builder, node);
    }
    let scale = scale_input(builder, node, 1)?;
    dequantized(builder, node, 0, &scale)
}

/// Rounds a value to multiples of a scale, unless it already consists of such.
fn quantized<'a>(
    builder: &mut GraphBuilder<'a>,
    node: &OnnxNode,
    suffix: &str,
    x: Activation,
    scale: Scale,
) -> ReadResult<OnnxValue<'a>> {
    if builder.scale(builder.preferred_alias(&x)) == Some(scale) {
        return Ok(OnnxValue::Quantized(x.share(), scale));
    }
    // The layer counts quantized values from the smallest.
    let smallest = if scale.signed { -128 } else { 0 };
    let zero_point = u8::try_from(scale.zero_point - smallest)
        .map_err(|_| node.invalid("zero point", "a value of 8 bits", scale.zero_point))?;
    let layer = FakeQuantize { scale: scale.scale, zero_point: zero_point.into() };
    let largest = (FakeQuantize::LARGEST - layer.zero_point) as f32 * layer.scale;
    let x = if layer.zero_point == 0 { before_bounds(builder, &x, largest) } else { x };
    let y = builder.emit_elementwise(node, suffix, layer, &x)?;
    builder.set_scale(&y, scale);
    Ok(OnnxValue::Quantized(y, scale))
}

/// Returns the input of a ReLU, or of a clip to at least `largest`, that made `x`; `x` itself if another layer did.
/// Rounding to values from 0 to `largest` bounds the input in the layer's place.
fn before_bounds(builder: &GraphBuilder, x: &Activation, largest: f32) -> Activation {
    let bounds = |layer: &Layer| match layer {
        Layer::Relu(_) => true,
        Layer::Clip(clip) => clip.min == 0.0 && clip.max >= largest,
        _ => false,
    };
    match builder.producer(builder.preferred_alias(x)) {
        Some(producer) if bounds(&producer.layer) => Activation::new(producer.inputs[0], &x.dims),
        _ => x.clone(),
    }
}

/// Takes the scale at input `i` and the zero point at input `i + 1`, one for all values.
fn scale_input(builder: &mut GraphBuilder, node: &OnnxNode, i: usize) -> ReadResult<Scale> {
    let scale = builder.constant(node, i)?;
    let zero_point = builder.maybe_constant(node, i + 1)?;
    let kind = zero_point.as_ref().map_or(DataType::Uint8, |zero| zero.data.data_type());
    if !matches!(kind, DataType::Int8 | DataType::Uint8 | DataType::Int64) {
        return unsupported(format!("zero point of computed values: expected 8 bits, got {kind:?}"));
    }
    let signed = kind == DataType::Int8;
    let zero_point = zero_point.map_or(Some(vec![0]), |z| z.to_integers());
    match (scale.as_floats(), zero_point.as_deref()) {
        (Some(&[scale]), Some(&[zero_point])) => Ok(Scale { scale, zero_point, signed }),
        _ => unsupported(format!("input {i}: expected one scale for all values, got shape {}", dims(&scale.shape))),
    }
}

/// Takes input `i` as floats: a value that was quantized with this scale, or integers.
fn dequantized(builder: &mut GraphBuilder, node: &OnnxNode, i: usize, scale: &Scale) -> ReadResult<Activation> {
    match builder.input(node, i)? {
        OnnxValue::Quantized(x, own) if own == *scale => Ok(x.share()),
        OnnxValue::Integer(q) => {
            let centered = centered(builder, node, &q, &ConstTensor::integer(scale.zero_point))?;
            let x = compose::scale(builder, node, ".scaled", &centered, &ConstTensor::scalar(scale.scale))?;
            builder.set_scale(&x, *scale);
            Ok(x)
        }
        OnnxValue::Quantized(_, own) => {
            unsupported(format!("input {i}: expected scale {own:?} as quantized, got {scale:?}"))
        }
        _ => unsupported(format!("input {i}: expected quantized values, got others")),
    }
}

/// Computes `(q - zero) * scale` of integers, with one scale or one for each index of the attribute `axis`.
fn dequantized_integers(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let OnnxValue::Integer(q) = builder.input(node, 0)? else { return unsupported("input 0: expected integers") };
    let (mut scale, zero) = (builder.constant(node, 1)?, builder.maybe_constant(node, 2)?);
    let n = scale.data.len();
    if scale.shape.len() > 1 || zero.as_ref().is_some_and(|z| z.data.len() != n) {
        let shape = dims(&scale.shape);
        return unsupported(format!("input 1: expected a scale, or one for each index of an axis, got {shape}"));
    }
    let mut zero = zero.unwrap_or_else(|| ConstTensor {
        shape: scale.shape.clone(),
        data: ConstData::Integer(vec![0; n], DataType::Int64),
    });
    if n > 1 {
        let rank = q.dims.len() + 1;
        let axis = node.axis(node.int("axis", 1)?, rank)?;
        let shape: Vec<usize> = (axis..rank).map(|a| if a == axis { n } else { 1 }).collect();
        (scale.shape, zero.shape) = (shape.clone(), shape);
    }
    let centered = centered(builder, node, &q, &zero)?;
    compose::scale(builder, node, "", &centered, &scale)
}

/// Computes `q - zero` for one zero point, or one for each channel.
fn centered(builder: &mut GraphBuilder, node: &OnnxNode, q: &Activation, zero: &ConstTensor) -> ReadResult<Activation> {
    let zeros = zero.to_integers().ok_or_else(|| node.invalid("zero point", "integers", "floats"))?;
    if zeros.iter().all(|&z| z == 0) {
        return Ok(q.clone());
    }
    let data = ConstData::Float(zeros.iter().map(|&z| -z as f32).collect());
    compose::shift(builder, node, ".centred", q, &ConstTensor { shape: zero.shape.clone(), data })
}

/// A layer's weights with the scales of the integers that the file holds for them.
struct ScaledWeights {
    param: Arc<Param>,
    /// One scale, or one for each output.
    scales: Vec<f32>,
}

/// Takes weights at input `i` and their scale and zero point at the next inputs. With `transposed`, the weights are a
/// matrix `[in, out]`.
fn weights(builder: &mut GraphBuilder, node: &OnnxNode, i: usize, transposed: bool) -> ReadResult<ScaledWeights> {
    let (q, scale) = (builder.constant(node, i)?, builder.constant(node, i + 1)?);
    let zero = builder.maybe_constant(node, i + 2)?;
    let param = outputs_first(builder, node, &q, &scale, zero.as_ref(), transposed)?;
    Ok(ScaledWeights { param, scales: scale.as_floats().unwrap_or_default().to_vec() })
}

/// Computes `(q - zero) * scale` as a layer's weights, in 8 bits where possible.
fn outputs_first(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    q: &ConstTensor,
    scale: &ConstTensor,
    zero: Option<&ConstTensor>,
    transposed: bool,
) -> ReadResult<Arc<Param>> {
    let axis = usize::from(transposed);
    if let Some(constant) = dequantize_to_8_bits(builder, node, q, scale, zero, axis)? {
        return builder.quantized_weights(&constant, transposed);
    }
    let weights = dequantize(builder, node, q, scale, zero, axis)?;
    builder.outputs_first(weights, transposed)
}

/// Takes the bias at input `i`, if it is there: integers in units of the scale of x times the scale of the weights.
fn bias(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    i: usize,
    x: &Scale,
    weights: &ScaledWeights,
) -> ReadResult<Option<Tensor>> {
    let value = |(b, w): (i64, &f32)| b as f32 * (x.scale * w);
    let integers = builder.maybe_integers(node, i)?;
    Ok(integers.map(|b| vector(b.into_iter().zip(weights.scales.iter().cycle()).map(value).collect())))
}

/// QLinearConv. Inputs: x, its scale and zero point, w, its scale and zero point, the output's scale and zero point,
/// and a bias. Attributes: Conv's.
pub fn q_linear_conv<'a>(builder: &mut GraphBuilder<'a>, node: &OnnxNode) -> ReadResult<Vec<OnnxValue<'a>>> {
    let x_scale = scale_input(builder, node, 1)?;
    let x = dequantized(builder, node, 0, &x_scale)?;
    let weights = weights(builder, node, 3, false)?;
    let y_scale = scale_input(builder, node, 6)?;
    let bias = bias(builder, node, 8, &x_scale, &weights)?;
    let y = convolve(builder, node, &x, weights.param, bias)?;
    Ok(vec![quantized(builder, node, ".quantized", y, y_scale)?])
}

/// QGemm of com.microsoft. Inputs: a, its scale and zero point, b, its scale and zero point, a bias, and the output's
/// scale and zero point, without which the output is floats. Attributes: `transB`; `transA` must be 0 and `alpha` 1.
pub fn q_gemm<'a>(builder: &mut GraphBuilder<'a>, node: &OnnxNode) -> ReadResult<Vec<OnnxValue<'a>>> {
    if node.flag("transA", false)? || node.float("alpha", 1.0)? != 1.0 {
        return unsupported("attributes: expected transA 0 and alpha 1");
    }
    let x_scale = scale_input(builder, node, 1)?;
    let x = dequantized(builder, node, 0, &x_scale)?;
    let is_transposed = node.flag("transB", false)?;
    let weights = weights(builder, node, 3, !is_transposed)?;
    let bias = bias(builder, node, 6, &x_scale, &weights)?;
    if node.input(7).is_none() {
        return Ok(vec![OnnxValue::Float(linear(builder, node, &x, weights.param, bias)?)]);
    }
    let y_scale = scale_input(builder, node, 7)?;
    let y = linear(builder, node, &x, weights.param, bias)?;
    Ok(vec![quantized(builder, node, ".quantized", y, y_scale)?])
}

/// QLinearMatMul with a constant matrix. Inputs: a, its scale and zero point, b, its scale and zero point, the output's
/// scale and zero point.
pub fn q_linear_mat_mul<'a>(builder: &mut GraphBuilder<'a>, node: &OnnxNode) -> ReadResult<Vec<OnnxValue<'a>>> {
    let x_scale = scale_input(builder, node, 1)?;
    let x = dequantized(builder, node, 0, &x_scale)?;
    let weights = weights(builder, node, 3, true)?;
    let y_scale = scale_input(builder, node, 6)?;
    let y = linear(builder, node, &x, weights.param, None)?;
    Ok(vec![quantized(builder, node, ".quantized", y, y_scale)?])
}

/// QLinearAdd of com.microsoft, for equal shapes. Inputs: a, its scale and zero point, b, its scale and zero point, the
/// output's scale and zero point.
pub fn q_linear_add<'a>(builder: &mut GraphBuilder<'a>, node: &OnnxNode) -> ReadResult<Vec<OnnxValue<'a>>> {
    let (a_scale, b_scale) = (scale_input(builder, node, 1)?, scale_input(builder, node, 4)?);
    let (a, b) = (dequantized(builder, node, 0, &a_scale)?, dequantized(builder, node, 3, &b_scale)?);
    let y_scale = scale_input(builder, node, 6)?;
    if a.dims != b.dims {
        let (a, b) = (a.shape_text(), b.shape_text());
        return unsupported(format!("shapes: expected two alike, got {a} and {b}"));
    }
    let values = [builder.preferred_alias(&a), builder.preferred_alias(&b)];
    let value = builder.emit(node, "", Add {}, &values, vec![])?;
    Ok(vec![quantized(builder, node, ".quantized", Activation::new(value, &a.dims), y_scale)?])
}

/// QLinearConcat of com.microsoft, along channels. Inputs: the output's scale and zero point, then maps, each followed
/// by its scale and zero point. The attribute `axis` must be 1.
pub fn q_linear_concat<'a>(builder: &mut GraphBuilder<'a>, node: &OnnxNode) -> ReadResult<Vec<OnnxValue<'a>>> {
    let y_scale = scale_input(builder, node, 0)?;
    let mut maps = vec![];
    for i in (2..node.input_count()).step_by(3) {
        let scale = scale_input(builder, node, i + 1)?;
        let x = dequantized(builder, node, i, &scale)?;
        maps.push(builder.map(node, &x)?);
    }
    if node.int("axis", 1)? != 1 {
        return unsupported("attribute `axis`: expected 1 (channels)");
    }
    let y = builder.emit_activation(node, "", Concat {}, &maps, vec![])?;
    Ok(vec![quantized(builder, node, ".quantized", y, y_scale)?])
}

/// Adds a pooling between dequantization and quantization. Inputs: x, its scale and zero point, the output's scale and
/// zero point. The attribute `channels_last` must be 0.
fn quantized_pool<'a>(
    builder: &mut GraphBuilder<'a>,
    node: &OnnxNode,
    pool: fn(&mut GraphBuilder, &OnnxNode, &Activation) -> ReadResult<Activation>,
) -> ReadResult<Vec<OnnxValue<'a>>> {
    let (x_scale, y_scale) = (scale_input(builder, node, 1)?, scale_input(builder, node, 3)?);
    let x = dequantized(builder, node, 0, &x_scale)?;
    if node.flag("channels_last", false)? {
        return unsupported("attribute `channels_last`: expected 0");
    }
    let y = pool(builder, node, &x)?;
    Ok(vec![quantized(builder, node, ".quantized", y, y_scale)?])
}

/// QLinearAveragePool of com.microsoft. Attributes: AveragePool's, and `channels_last`.
pub fn q_linear_average_pool<'a>(builder: &mut GraphBuilder<'a>, node: &OnnxNode) -> ReadResult<Vec<OnnxValue<'a>>> {
    quantized_pool(builder, node, pool::average)
}

/// QLinearGlobalAveragePool of com.microsoft. Attribute: `channels_last`.
pub fn q_linear_global_average_pool<'a>(
    builder: &mut GraphBuilder<'a>,
    node: &OnnxNode,
) -> ReadResult<Vec<OnnxValue<'a>>> {
    quantized_pool(builder, node, pool::global_average)
}

/// DynamicQuantizeLinear: the values as if the scale were 1, the scale and the zero point.
pub fn dynamic_quantize_linear<'a>(builder: &mut GraphBuilder<'a>, node: &OnnxNode) -> ReadResult<Vec<OnnxValue<'a>>> {
    let x = builder.activation(node, 0)?;
    let source = builder.preferred_alias(&x);
    let scale = OnnxValue::DynamicScale(source, ConstTensor::scalar(1.0));
    let zero_point = OnnxValue::DynamicScale(source, ConstTensor::integer(0));
    Ok(vec![OnnxValue::DynamicQuantized(x, source), scale, zero_point])
}

/// ConvInteger with constant weights. Inputs: x, w, the zero point of x, the zero point of w. Attributes: Conv's.
pub fn conv_integer<'a>(builder: &mut GraphBuilder<'a>, node: &OnnxNode) -> ReadResult<Vec<OnnxValue<'a>>> {
    integer_product(builder, node, false, convolve)
}

/// MatMulInteger with a constant matrix. Inputs: a, b, the zero point of a, the zero point of b.
pub fn mat_mul_integer<'a>(builder: &mut GraphBuilder<'a>, node: &OnnxNode) -> ReadResult<Vec<OnnxValue<'a>>> {
    integer_product(builder, node, true, linear)
}

/// A layer of weights and a bias.
type Product = fn(&mut GraphBuilder, &OnnxNode, &Activation, Arc<Param>, Option<Tensor>) -> ReadResult<Activation>;

/// Multiplies integers, or dynamically quantized values, by integer weights.
fn integer_product<'a>(
    builder: &mut GraphBuilder<'a>,
    node: &OnnxNode,
    transposed: bool,
    product: Product,
) -> ReadResult<Vec<OnnxValue<'a>>> {
    match builder.input(node, 0)? {
        OnnxValue::Integer(q) => {
            let zero = builder.maybe_constant(node, 2)?.unwrap_or(ConstTensor::integer(0));
            let x = centered(builder, node, &q, &zero)?;
            let weights = integer_weights(builder, node, transposed)?;
            Ok(vec![OnnxValue::Integer(product(builder, node, &x, weights, None)?)])
        }
        OnnxValue::DynamicQuantized(x, source) => {
            match node.input(2).map(|name| builder.take(node, name)).transpose()? {
                Some(OnnxValue::DynamicScale(of, zero))
                    if of == source && matches!(zero.data, ConstData::Integer(..)) => {}
                _ => {
                    return unsupported(
                        "input 2: expected the zero point that the DynamicQuantizeLinear of input 0 gives",
                    );
                }
            }
            let weights = integer_weights(builder, node, transposed)?;
            let y = product(builder, node, &x, weights, None)?;
            Ok(vec![OnnxValue::DynamicQuantized(y, source)])
        }
        _ => unsupported("input 0: expected the output of a DynamicQuantizeLinear, or integers"),
    }
}

/// Takes the weights at input 1 and their zero point, one or one for each output, at input 3.
fn integer_weights(builder: &mut GraphBuilder, node: &OnnxNode, transposed: bool) -> ReadResult<Arc<Param>> {
    let (weight, zero) = (builder.constant(node, 1)?, builder.maybe_constant(node, 3)?);
    let ones = |zero: &ConstTensor| ConstTensor {
        shape: zero.shape.clone(),
        data: ConstData::Float(vec![1.0; zero.data.len()]),
    };
    let scale = zero.as_ref().map_or(ConstTensor::scalar(1.0), ones);
    outputs_first(builder, node, &weight, &scale, zero.as_ref(), transposed)
}

/// Mul with the scale of a DynamicQuantizeLinear: of the scale and a constant, or of dynamically quantized values and
/// their scale. `None` for any other product.
pub fn rescaled<'a>(builder: &mut GraphBuilder<'a>, node: &OnnxNode) -> ReadResult<Option<OnnxValue<'a>>> {
    let is_dynamic =
        |i| matches!(builder.peek(node, i), Some(OnnxValue::DynamicQuantized(..) | OnnxValue::DynamicScale(..)));
    if !(is_dynamic(0) || is_dynamic(1)) {
        return Ok(None);
    }
    let mixed = || ReadError::Unsupported("a product of a dynamic scale that is no rescaling of its own values".into());
    match (builder.input(node, 0)?, builder.input(node, 1)?) {
        (OnnxValue::DynamicQuantized(x, a), OnnxValue::DynamicScale(b, by))
        | (OnnxValue::DynamicScale(b, by), OnnxValue::DynamicQuantized(x, a)) => {
            if a != b {
                return Err(mixed());
            }
            compose::scale(builder, node, "", &x, &by).map(OnnxValue::Float).map(Some)
        }
        (OnnxValue::DynamicScale(source, one), other) | (other, OnnxValue::DynamicScale(source, one)) => {
            let by = match other {
                OnnxValue::Constant(constant) => constant,
                OnnxValue::Stored(proto) => builder.decode(proto)?,
                OnnxValue::QuantizedConstant(constant) => builder.dequantize(&constant)?,
                _ => return Err(mixed()),
            };
            if one != ConstTensor::scalar(1.0) {
                return Err(mixed());
            }
            Ok(Some(OnnxValue::DynamicScale(source, by)))
        }
        _ => Err(mixed()),
    }
}
