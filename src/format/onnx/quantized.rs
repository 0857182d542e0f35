//! Quantized operators: weights keep their codes ([`super::coded`]), and where the file quantizes a value a layer
//! ([`FakeQuantize`]) rounds it to the multiples of a scale that its codes stand for. What a convolution or linear layer
//! reads with such a scale has a known range, with which the CPU computes it in integers: on the file's own codes.
//!
//! In a dynamically quantized network, `DynamicQuantizeLinear` gives `q = x / s + z` for a scale `s` that depends on x;
//! `ConvInteger` and `MatMulInteger` give `(q - z) * w`, and a product with `s` times the weights' scale brings it
//! back. There nothing is rounded: `q` and the output are held as if `s` were 1 ([`Val::Dynamic`]), and the product
//! applies the weights' scale only.

use std::sync::Arc;

use super::Scale;
use super::arithmetic;
use super::coded::Coded;
use super::elementwise::{self, scaled};
use super::host::{Data, Host};
use super::linear::{self, conv_of, linear};
use super::node::{Op, Step, Stop, unsupported};
use super::numbers::{SmallFloat, range};
use super::pooling;
use super::proto::DataType;
use super::reader::{Activation, Reader, Val, vector_of};
use crate::graph::Param;
use crate::layers::{Add, Concat, FakeQuantize};
use crate::tensor::{Tensor, dims};

impl Scale {
    /// The layer that rounds to its values, which counts codes from the smallest.
    fn layer(&self) -> Option<FakeQuantize> {
        let smallest = if self.signed { -128 } else { 0 };
        let zero_point = u8::try_from(self.zero_point - smallest).ok()?;
        Some(FakeQuantize { scale: self.scale, zero_point: zero_point.into() })
    }
}

pub(super) fn read<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Vec<Val<'a>>> {
    match op.proto.op_type.as_str() {
        "QuantizeLinear" => {
            let x = reader.activation(op, 0)?;
            let scale = scale(reader, op, 1)?;
            Ok(vec![quantized(reader, op, x, scale)?])
        }
        "DequantizeLinear" => {
            if op.input(0).is_some_and(|name| reader.is_codes(name)) {
                return Ok(vec![Val::Act(dequantized_codes(reader, op)?)]);
            }
            let scale = scale(reader, op, 1)?;
            let x = dequantized(reader, op, 0, &scale)?;
            Ok(vec![Val::Act(x)])
        }
        "QLinearConv" => qlinear_conv(reader, op),
        "QLinearMatMul" => qlinear_matmul(reader, op),
        "QLinearAdd" => qlinear_add(reader, op),
        "QLinearConcat" => qlinear_concat(reader, op),
        "QLinearAveragePool" | "QLinearGlobalAveragePool" => qlinear_pool(reader, op),
        "QGemm" => q_gemm(reader, op),
        "DynamicQuantizeLinear" => {
            let x = reader.activation(op, 0)?;
            let source = reader.best_form(&x);
            let zero = Val::DynamicScale(source, Host::int(0));
            Ok(vec![Val::Dynamic(x, source), Val::DynamicScale(source, Host::scalar(1.0)), zero])
        }
        _ => integer_product(reader, op),
    }
}

/// A value in 8 bits: rounded, unless it already has these values.
fn quantized<'a>(reader: &mut Reader<'a>, op: &Op<'a>, x: Activation, scale: Scale) -> Step<Val<'a>> {
    if reader.scale(reader.best_form(&x)) == Some(scale) {
        return Ok(Val::Quantized(x.view(x.dims.clone()), scale));
    }
    let layer = scale.layer().ok_or_else(|| op.invalid("zero point", "a code of 8 bits", scale.zero_point))?;
    let suffix = if op.proto.op_type == "QuantizeLinear" { "" } else { ".quantized" };
    let largest = (FakeQuantize::LARGEST - layer.zero_point) as f32 * layer.scale;
    let before = if layer.zero_point == 0 { reader.before_bounds(&x, largest) } else { x.clone() };
    let y = reader.elementwise(op, suffix, layer.into(), &before)?;
    reader.note_scale(&y, scale);
    Ok(Val::Quantized(y, scale))
}

/// The scale at input `i` and the zero point at the next.
fn scale<'a>(reader: &mut Reader<'a>, op: &Op<'a>, i: usize) -> Step<Scale> {
    let scale = reader.constant(op, i)?;
    let zero_point = reader.maybe_constant(op, i + 1)?;
    let kind = zero_point.as_ref().map_or(DataType::Uint8, |zero| zero.data.kind());
    if !matches!(kind, DataType::Int8 | DataType::Uint8 | DataType::Int64) {
        return unsupported(format!("zero point of computed values: expected 8 bits, got {kind:?}"));
    }
    let signed = kind == DataType::Int8;
    let zero_point = zero_point.map_or(Some(vec![0]), |z| z.to_ints());
    match (scale.to_floats(), zero_point.as_deref()) {
        (Some(&[scale]), Some(&[zero_point])) => Ok(Scale { scale, zero_point, signed }),
        _ => unsupported(format!("input {i}: expected one scale for all values, got shape {}", dims(&scale.shape))),
    }
}

/// Quantized input `i`, whose scale must be the one it was quantized with.
fn dequantized<'a>(reader: &mut Reader<'a>, op: &Op<'a>, i: usize, scale: &Scale) -> Step<Activation> {
    match reader.input(op, i)? {
        Val::Quantized(x, own) if own == *scale => Ok(x.view(x.dims.clone())),
        Val::Codes(q) => {
            let zero = Host::int(scale.zero_point);
            let centred = shifted(reader, op, &q, &zero)?;
            let x = scaled(reader, op, ".scaled", &centred, &Host::scalar(scale.scale))?;
            reader.note_scale(&x, *scale);
            Ok(x)
        }
        Val::Quantized(_, own) => unsupported(format!("input {i}: expected scale {own:?} as quantized, got {scale:?}")),
        _ => unsupported(format!("input {i}: expected quantized values, got others")),
    }
}

/// `(q - zero) * scale` of integers that the network is given, with one scale or one for each index of an axis.
fn dequantized_codes<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let Val::Codes(q) = reader.input(op, 0)? else { return unsupported("input 0: expected integers") };
    let (mut scale, zero) = (reader.constant(op, 1)?, reader.maybe_constant(op, 2)?);
    let n = scale.data.len();
    if scale.shape.len() > 1 || zero.as_ref().is_some_and(|z| z.data.len() != n) {
        return unsupported(format!(
            "input 1: expected a scale, or one for each index of an axis, got {}",
            dims(&scale.shape)
        ));
    }
    let mut zero =
        zero.unwrap_or_else(|| Host { shape: scale.shape.clone(), data: Data::Int(vec![0; n], DataType::Int64) });
    if n > 1 {
        let rank = q.dims.len() + 1;
        let axis = op.axis(op.int("axis", 1)?, rank)?;
        let shape: Vec<usize> = (axis..rank).map(|a| if a == axis { n } else { 1 }).collect();
        (scale.shape, zero.shape) = (shape.clone(), shape);
    }
    let centred = shifted(reader, op, &q, &zero)?;
    scaled(reader, op, "", &centred, &scale)
}

/// `q - zero`, for zeros as one value, or as many as broadcast to channels.
fn shifted<'a>(reader: &mut Reader<'a>, op: &Op<'a>, q: &Activation, zero: &Host) -> Step<Activation> {
    let ints = zero.to_ints().ok_or_else(|| op.invalid("zero point", "integers", "floats"))?;
    if ints.iter().all(|&z| z == 0) {
        return Ok(q.clone());
    }
    let data = Data::Float(ints.iter().map(|&z| -z as f32).collect());
    elementwise::translated(reader, op, ".centred", q, &Host { shape: zero.shape.clone(), data })
}

/// Weights at input `i`, outputs first, with the scale (one, or one for each output) and zero point after them. A matrix
/// `[in, out]` is to be transposed.
fn weights<'a>(reader: &mut Reader<'a>, op: &Op<'a>, i: usize, transposed: bool) -> Step<(Arc<Param>, Vec<f32>)> {
    let (q, scale, zero) = (reader.constant(op, i)?, reader.constant(op, i + 1)?, reader.maybe_constant(op, i + 2)?);
    let weights = outputs_first(reader, op, &q, &scale, zero.as_ref(), transposed)?;
    Ok((weights, scale.to_floats().unwrap_or_default().to_vec()))
}

/// `(q - zero) * scale` as a layer's weights.
fn outputs_first(
    reader: &mut Reader,
    op: &Op,
    q: &Host,
    scale: &Host,
    zero: Option<&Host>,
    transposed: bool,
) -> Step<Arc<Param>> {
    let axis = usize::from(transposed);
    if let Some(coded) = coded(reader, op, q, scale, zero, axis)? {
        return reader.coded_weights(&coded, transposed);
    }
    let weights = dequantize(reader, op, q, scale, zero, axis)?;
    linear::outputs_first(reader, weights, transposed)
}

/// `(q - zero) * scale` in 8 bits, if they are.
fn coded(
    reader: &mut Reader,
    op: &Op,
    q: &Host,
    scale: &Host,
    zero: Option<&Host>,
    axis: usize,
) -> Step<Option<Coded>> {
    let Some(scales) = scale.to_floats().filter(|_| scale.shape.len() < 2) else { return Ok(None) };
    let zeros = zeros(op, zero, scale)?;
    reader.charge(&q.shape, 1)?;
    Ok(Coded::of(q, scales, &zeros, axis))
}

/// DequantizeLinear of a constant.
pub(super) fn dequantize_constant<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Val<'a>> {
    let (q, scale, zero) = (reader.constant(op, 0)?, reader.constant(op, 1)?, reader.maybe_constant(op, 2)?);
    let axis = if scale.data.len() == 1 { 0 } else { op.axis(op.int("axis", 1)?, q.shape.len())? };
    if let Some(coded) = coded(reader, op, &q, &scale, zero.as_ref(), axis)? {
        return Ok(Val::Coded(coded));
    }
    dequantize(reader, op, &q, &scale, zero.as_ref(), axis).map(|x| Val::Const(x.into()))
}

/// Which of the scales belongs to a value: there is one for all, one for each index of an axis, or one for each block of
/// values along it.
struct Steps {
    count: usize,
    size: usize,
    inner: usize,
    block: usize,
}

impl Steps {
    fn of(op: &Op, shape: &[usize], scale: &[usize], axis: usize) -> Step<Self> {
        let block = usize::try_from(op.int("block_size", 0)?).unwrap_or(0);
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
            return Err(op.invalid("scale and zero point", format!("1 or {size} values"), dims(scale)));
        }
        Ok(Steps { count, size, inner, block })
    }

    fn at(&self, i: usize) -> usize {
        let (outer, own) = (i / self.inner.max(1) / self.size.max(1), i / self.inner.max(1) % self.size.max(1));
        match self.block {
            0 => own % self.count,
            block => (outer * self.size.div_ceil(block) + own / block) * self.inner + i % self.inner,
        }
    }
}

/// Zero points as floats, one for each scale.
fn zeros(op: &Op, zero: Option<&Host>, scale: &Host) -> Step<Vec<f32>> {
    let zeros = zero.map_or(vec![0.0], |zero| zero.clone().into_tensor().data);
    match zeros.len() {
        1 => Ok(vec![zeros[0]; scale.data.len()]),
        n if n == scale.data.len() => Ok(zeros),
        n => Err(op.invalid("zero point", format!("{} values", scale.data.len()), n)),
    }
}

/// `(q - zero) * scale`.
fn dequantize(reader: &mut Reader, op: &Op, q: &Host, scale: &Host, zero: Option<&Host>, axis: usize) -> Step<Tensor> {
    let scales = scale.to_floats().ok_or_else(|| op.invalid("scale", "floats", "integers"))?;
    let (zeros, steps) = (zeros(op, zero, scale)?, Steps::of(op, &q.shape, &scale.shape, axis)?);
    reader.charge(&q.shape, 4)?;
    let value = |(i, q): (usize, f32)| {
        let at = steps.at(i);
        (q - zeros[at]) * scales[at]
    };
    // Bytes are not copied first: weights are many.
    let data = match &q.data {
        Data::Int8(v) => v.iter().map(|&q| f32::from(q)).enumerate().map(value).collect(),
        Data::Uint8(v) => v.iter().map(|&q| f32::from(q)).enumerate().map(value).collect(),
        Data::Int(v, _) => v.iter().map(|&q| q as f32).enumerate().map(value).collect(),
        Data::Float(v) => v.iter().copied().enumerate().map(value).collect(),
    };
    Ok(Tensor { shape: q.shape.clone(), data })
}

/// QuantizeLinear of a constant with one scale, or one for each index or block of an axis.
pub(super) fn quantize_constant<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Host> {
    let (own, given) = (reader.stored_kind(op, 2), op.int("output_dtype", 0)?);
    let given = DataType::try_from(given as i32).ok().filter(|&kind| kind != DataType::Undefined);
    let (x, scale, zero) = (reader.weights(op, 0)?, reader.constant(op, 1)?, reader.maybe_constant(op, 2)?);
    let kind = own.or(given).unwrap_or_else(|| zero.as_ref().map_or(DataType::Uint8, |zero| zero.data.kind()));
    let axis = if scale.data.len() == 1 { 0 } else { op.axis(op.int("axis", 1)?, x.shape.len())? };
    quantize(reader, op, &x, &scale, zero.as_ref(), axis, kind)
}

/// The nearest numbers of a type to `x / scale + zero`.
fn quantize(
    reader: &mut Reader,
    op: &Op,
    x: &Tensor,
    scale: &Host,
    zero: Option<&Host>,
    axis: usize,
    kind: DataType,
) -> Step<Host> {
    let scales = scale.to_floats().ok_or_else(|| op.invalid("scale", "floats", "integers"))?;
    let (zeros, steps) = (zeros(op, zero, scale)?, Steps::of(op, &x.shape, &scale.shape, axis)?);
    reader.charge(&x.shape, 8)?;
    let scaled = x.data.iter().enumerate().map(|(i, v)| (v / scales[steps.at(i)], zeros[steps.at(i)]));
    let data = match SmallFloat::of(kind) {
        Some(float) => Data::Float(scaled.map(|(v, zero)| float.round(v + zero, true)).collect()),
        None => {
            let (low, high) = range(kind);
            let code = |(v, zero): (f32, f32)| ((v.round_ties_even() + zero) as i64).clamp(low, high);
            Data::whole(scaled.map(code).collect(), kind)
        }
    };
    Ok(Host { shape: x.shape.clone(), data })
}

/// QLinearMatMul of constants.
pub(super) fn multiply_constants<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Host> {
    let mut factor = |first: usize| {
        let (q, scale, zero) =
            (reader.constant(op, first)?, reader.constant(op, first + 1)?, reader.maybe_constant(op, first + 2)?);
        let x = dequantize(reader, op, &q, &scale, zero.as_ref(), 0)?;
        Ok::<Host, Stop>(x.into())
    };
    let (a, b) = (factor(0)?, factor(3)?);
    let product = arithmetic::matmul(reader, op, &a, &b)?.into_tensor();
    let (scale, zero) = (reader.constant(op, 6)?, reader.constant(op, 7)?);
    quantize(reader, op, &product, &scale, Some(&zero), 0, zero.data.kind())
}

/// DynamicQuantizeLinear of a constant: codes, their scale, and their zero point.
pub(super) fn quantize_dynamically<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Vec<Host>> {
    let x = reader.weights(op, 0)?;
    let (low, high) = x.data.iter().fold((0f32, 0f32), |(low, high), &v| (low.min(v), high.max(v)));
    let scale = (high - low) / 255.0;
    let zero = (-low / scale).round_ties_even() as u8;
    let (scale, zero) = (Host::scalar(scale), Host { shape: vec![], data: Data::Uint8(vec![zero]) });
    let codes = quantize(reader, op, &x, &scale, Some(&zero), 0, DataType::Uint8)?;
    Ok(vec![codes, scale, zero])
}

/// Inputs x, its scale and zero point, w, its scale and zero point, y's scale and zero point, bias (in units of x's
/// scale times w's).
fn qlinear_conv<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Vec<Val<'a>>> {
    let x_scale = scale(reader, op, 1)?;
    let x = dequantized(reader, op, 0, &x_scale)?;
    let (weight, w_scales) = weights(reader, op, 3, false)?;
    let y_scale = scale(reader, op, 6)?;
    let bias = q_bias(reader, op, 8, &x_scale, &w_scales)?;
    let y = conv_of(reader, op, &x, weight, bias)?;
    Ok(vec![quantized(reader, op, y, y_scale)?])
}

/// Biases at input `i`, if there: integers in units of x's scale times w's.
fn q_bias<'a>(reader: &mut Reader<'a>, op: &Op<'a>, i: usize, x: &Scale, w: &[f32]) -> Step<Option<Tensor>> {
    let bias = |(b, w): (i64, &f32)| b as f32 * (x.scale * w);
    Ok(reader.maybe_ints(op, i)?.map(|b| vector_of(b.into_iter().zip(w.iter().cycle()).map(bias).collect())))
}

/// com.microsoft: as [`qlinear_conv`], but that the bias stands before y's scale and zero point. Without these two, y is
/// floats.
fn q_gemm<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Vec<Val<'a>>> {
    if op.int("transA", 0)? != 0 || op.float("alpha", 1.0)? != 1.0 {
        return unsupported("attributes: expected transA 0 and alpha 1");
    }
    let x_scale = scale(reader, op, 1)?;
    let x = dequantized(reader, op, 0, &x_scale)?;
    let (weight, w_scales) = weights(reader, op, 3, op.int("transB", 0)? == 0)?;
    let bias = q_bias(reader, op, 6, &x_scale, &w_scales)?;
    if op.input(7).is_none() {
        return Ok(vec![Val::Act(linear(reader, op, &x, weight, bias)?)]);
    }
    let y_scale = scale(reader, op, 7)?;
    let y = linear(reader, op, &x, weight, bias)?;
    Ok(vec![quantized(reader, op, y, y_scale)?])
}

fn qlinear_matmul<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Vec<Val<'a>>> {
    let x_scale = scale(reader, op, 1)?;
    let x = dequantized(reader, op, 0, &x_scale)?;
    let (weight, _) = weights(reader, op, 3, true)?;
    let y_scale = scale(reader, op, 6)?;
    let y = linear(reader, op, &x, weight, None)?;
    Ok(vec![quantized(reader, op, y, y_scale)?])
}

/// com.microsoft: a, its scale and zero point, b, its scale and zero point, y's scale and zero point.
fn qlinear_add<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Vec<Val<'a>>> {
    let (a_scale, b_scale) = (scale(reader, op, 1)?, scale(reader, op, 4)?);
    let (a, b) = (dequantized(reader, op, 0, &a_scale)?, dequantized(reader, op, 3, &b_scale)?);
    let y_scale = scale(reader, op, 6)?;
    if a.dims != b.dims {
        return unsupported(format!("shapes: expected two alike, got {} and {}", a.text(), b.text()));
    }
    let values = [reader.best_form(&a), reader.best_form(&b)];
    let value = reader.emit(op, "", Add {}, &values, vec![])?;
    Ok(vec![quantized(reader, op, Activation::new(value, &a.dims), y_scale)?])
}

/// com.microsoft: y's scale and zero point, then values, each followed by its scale and zero point.
fn qlinear_concat<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Vec<Val<'a>>> {
    let y_scale = scale(reader, op, 0)?;
    let mut maps = vec![];
    for i in (2..op.proto.input.len()).step_by(3) {
        let own = scale(reader, op, i + 1)?;
        let x = dequantized(reader, op, i, &own)?;
        maps.push(reader.map(op, &x)?);
    }
    if op.int("axis", 1)? != 1 {
        return unsupported("attribute `axis`: expected 1 (channels)");
    }
    let y = reader.push(op, Concat {}, &maps, vec![])?;
    Ok(vec![quantized(reader, op, y, y_scale)?])
}

/// com.microsoft: x, its scale and zero point, y's scale and zero point.
fn qlinear_pool<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Vec<Val<'a>>> {
    let (x_scale, y_scale) = (scale(reader, op, 1)?, scale(reader, op, 3)?);
    let x = dequantized(reader, op, 0, &x_scale)?;
    if op.int("channels_last", 0)? != 0 {
        return unsupported("attribute `channels_last`: expected 0");
    }
    let y = pooling::average_of(reader, op, &x)?;
    Ok(vec![quantized(reader, op, y, y_scale)?])
}

/// A convolution or matrix product of integers, or of dynamically quantized values, with constant weights.
fn integer_product<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Vec<Val<'a>>> {
    let (x, source) = match reader.input(op, 0)? {
        Val::Dynamic(x, source) => (x, source),
        Val::Codes(q) => {
            let zero = reader.maybe_constant(op, 2)?.unwrap_or(Host::int(0));
            let x = shifted(reader, op, &q, &zero)?;
            return Ok(vec![Val::Codes(with_integers(reader, op, &x)?)]);
        }
        _ => return unsupported("input 0: expected the output of a DynamicQuantizeLinear, or integers"),
    };
    match op.input(2).map(|name| reader.take(op, name)).transpose()? {
        Some(Val::DynamicScale(of, zero)) if of == source && matches!(zero.data, Data::Int(..)) => {}
        _ => return unsupported("input 2: expected the zero point of the same DynamicQuantizeLinear"),
    }
    let y = with_integers(reader, op, &x)?;
    Ok(vec![Val::Dynamic(y, source)])
}

/// The product with the weights at input 1, whose zero point (one, or one for each output) is at input 3.
fn with_integers<'a>(reader: &mut Reader<'a>, op: &Op<'a>, x: &Activation) -> Step<Activation> {
    let (weight, zero) = (reader.constant(op, 1)?, reader.maybe_constant(op, 3)?);
    let is_matrix = op.proto.op_type == "MatMulInteger";
    let mut scale = Host::scalar(1.0);
    if let Some(zero) = &zero {
        scale = Host { shape: zero.shape.clone(), data: Data::Float(vec![1.0; zero.data.len()]) };
    }
    let weight = outputs_first(reader, op, &weight, &scale, zero.as_ref(), is_matrix)?;
    if is_matrix { linear(reader, op, x, weight, None) } else { conv_of(reader, op, x, weight, None) }
}

/// Cast between floats, or of what is held as floats.
pub(super) fn cast<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Vec<Val<'a>>> {
    let to = op.int("to", 0)?;
    match reader.input(op, 0)? {
        // Float, float16 and double; bfloat16 would lose half of the digits.
        Val::Act(x) if [1, 10, 11].contains(&to) => Ok(vec![Val::Act(x.view(x.dims.clone()))]),
        Val::Codes(x) if [1, 10, 11].contains(&to) => Ok(vec![Val::Act(x.view(x.dims.clone()))]),
        Val::Dynamic(x, source) if to == 1 => Ok(vec![Val::Dynamic(x, source)]),
        _ => unsupported(format!("attribute `to`: data type {to} of a value computed by the network")),
    }
}

/// A product that a dynamic scale is part of; `None` for any other.
pub(super) fn rescaled<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Option<Val<'a>>> {
    let is_dynamic = |i| op.input(i).is_some_and(|name| reader.is_dynamic(name));
    if !(is_dynamic(0) || is_dynamic(1)) {
        return Ok(None);
    }
    let (a, b) = (reader.input(op, 0)?, reader.input(op, 1)?);
    match (a, b) {
        (Val::DynamicScale(source, one), other) | (other, Val::DynamicScale(source, one))
            if !matches!(other, Val::Dynamic(..)) =>
        {
            let by = match other {
                Val::Const(host) => host,
                Val::Stored(proto) => reader.decode(proto)?,
                Val::Coded(coded) => reader.uncoded(&coded)?,
                _ => return Err(mixed()),
            };
            if one != Host::scalar(1.0) {
                return Err(mixed());
            }
            Ok(Some(Val::DynamicScale(source, by)))
        }
        (Val::Dynamic(x, a), Val::DynamicScale(b, by)) | (Val::DynamicScale(b, by), Val::Dynamic(x, a)) if a == b => {
            scaled(reader, op, "", &x, &by).map(Val::Act).map(Some)
        }
        _ => Err(mixed()),
    }
}

fn mixed() -> Stop {
    Stop::Unsupported("a product of a dynamic scale that is no rescaling of its own values".into())
}
