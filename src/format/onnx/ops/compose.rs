//! Arithmetic of values as layers: the parts of which operators without a layer of their own are composed.

use std::sync::Arc;

use super::super::builder::GraphBuilder;
use super::super::const_tensor::{ConstTensor, broadcast, broadcast_index, vector};
use super::super::node::{OnnxNode, ReadError, ReadResult, unsupported};
use super::super::value::{Activation, OnnxValue};
use crate::graph::Value;
use crate::layers::{
    Add, BatchNorm2d, Conv2d, Layer, Linear, LocalResponseNorm, MaxPool2d, Mul, Padding, Relu, Window,
};
use crate::tensor::{Tensor, dims};

/// An input of an arithmetic operator.
pub enum Operand {
    /// Floats that the network computes.
    Computed(Activation),
    Constant(ConstTensor),
}

/// Takes input `i` as an operand.
pub fn operand(builder: &mut GraphBuilder, node: &OnnxNode, i: usize) -> ReadResult<Operand> {
    match builder.input(node, i)? {
        OnnxValue::Float(x) => Ok(Operand::Computed(x)),
        OnnxValue::Constant(c) => Ok(Operand::Constant(c)),
        OnnxValue::QuantizedConstant(c) => Ok(Operand::Constant(builder.dequantize(&c)?)),
        OnnxValue::Stored(proto) => Ok(Operand::Constant(builder.decode(proto)?)),
        _ => unsupported(format!("input {i}: expected floats, got quantized values")),
    }
}

/// Adds values whose shapes broadcast to one shape.
pub fn add(builder: &mut GraphBuilder, node: &OnnxNode, terms: &[Activation]) -> ReadResult<Activation> {
    let (values, dims) = aligned(builder, node, terms)?;
    let value = builder.emit(node, "", Add {}, &values, vec![])?;
    Ok(Activation::new(value, &dims))
}

/// Multiplies two values whose shapes broadcast; one may have a single value for each channel.
pub fn multiply(builder: &mut GraphBuilder, node: &OnnxNode, a: &Activation, b: &Activation) -> ReadResult<Activation> {
    let is_channel_scale = |x: &Activation, by: &Activation| x.dims.len() == 3 && by.dims == [x.dims[0], 1, 1];
    let (x, by) = if a.dims != b.dims && is_channel_scale(b, a) { (b, a) } else { (a, b) };
    let (inputs, dims) = if x.dims != by.dims && is_channel_scale(x, by) {
        (vec![builder.map(node, x)?, builder.map(node, by)?], x.dims.clone())
    } else {
        aligned(builder, node, &[x.clone(), by.clone()])?
    };
    let value = builder.emit(node, "", Mul {}, &inputs, vec![])?;
    Ok(Activation::new(value, &dims))
}

/// Returns graph values of one shape for terms that broadcast, and their common ONNX shape. The batch is the first
/// dimension of each term.
fn aligned(builder: &mut GraphBuilder, node: &OnnxNode, terms: &[Activation]) -> ReadResult<(Vec<Value>, Vec<usize>)> {
    let first = &terms[0];
    let common = terms.iter().try_fold(first.dims.clone(), |common, term| {
        broadcast(&common, &term.dims).filter(|_| term.dims.len() == first.dims.len())
    });
    let Some(common) = common else {
        let shapes: Vec<String> = terms.iter().map(Activation::shape_text).collect();
        return unsupported(format!("shapes: expected some that broadcast, got {}", shapes.join(" and ")));
    };
    let terms = terms.iter().map(|t| expanded(builder, node, t, &common)).collect::<ReadResult<Vec<_>>>()?;
    let preferred: Vec<Value> = terms.iter().map(|t| builder.preferred_alias(t)).collect();
    if preferred.iter().all(|&v| builder.shape(v) == builder.shape(preferred[0])) {
        return Ok((preferred, common));
    }
    let vectors = terms.iter().map(|t| builder.vector(node, t)).collect::<ReadResult<_>>()?;
    Ok((vectors, common))
}

/// Broadcasts a value to `dims`. Pixels are repeated by a max pooling whose windows each see one pixel, channels by a
/// convolution with ones.
fn expanded(builder: &mut GraphBuilder, node: &OnnxNode, x: &Activation, dims: &[usize]) -> ReadResult<Activation> {
    let mut x = x.clone();
    for a in (1..dims.len()).filter(|&a| x.dims[a] != dims[a]).collect::<Vec<_>>() {
        let map = builder.unsqueezed_map(node, &x)?;
        let mut window = Window::new(1);
        window.kernel[a - 1] = dims[a];
        let [v, h] = window.kernel.map(|k| k - 1);
        window.padding = Padding::Explicit([v, h, v, h]);
        let value = builder.emit(node, ".repeated", MaxPool2d { window }, &[map], vec![])?;
        x.dims[a] = dims[a];
        x = Activation::new(value, &x.dims);
    }
    if x.dims == dims {
        return Ok(x);
    }
    builder.charge(&dims[..1], 4)?;
    pointwise(builder, node, ".stacked", &x, dims[0], vec![1.0; dims[0]])
}

/// Multiplies the channels of each pixel, or the numbers of a vector, by weights `[out, in]`.
pub fn pointwise(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    suffix: &str,
    x: &Activation,
    out: usize,
    weights: Vec<f32>,
) -> ReadResult<Activation> {
    let mut dims = x.dims.clone();
    dims[0] = out;
    let mut weight = Tensor { shape: vec![out, x.dims[0]], data: weights };
    let value = if dims.len() == 1 {
        let layer = Linear { out_features: out, bias: false };
        let vector = builder.vector(node, x)?;
        builder.emit(node, suffix, layer, &[vector], vec![weight.into()])?
    } else {
        weight.shape.resize(4, 1);
        let layer = Conv2d { out_channels: out, window: Window::new(1), groups: 1, bias: false };
        let map = builder.channel_map(node, x)?;
        builder.emit(node, suffix, layer, &[map], vec![weight.into()])?
    };
    Ok(Activation::new(value, &dims))
}

/// Computes `x^exponent` for positive numbers, as a local response normalization over one channel: `x / (x^2)^beta`.
/// Zero stays zero, and a negative number keeps its sign.
pub fn power(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    suffix: &str,
    x: &Activation,
    exponent: f32,
) -> ReadResult<Activation> {
    // This k keeps zero from being divided by zero, and is too small to change the square of a usable number.
    let layer = LocalResponseNorm { size: 1, alpha: 1.0, beta: (1.0 - exponent) / 2.0, k: 1e-30 };
    builder.emit_elementwise(node, suffix, layer, x)
}

/// Computes `[max(x, 0), max(-x, 0)]`.
pub fn positive_and_negative_parts(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    x: &Activation,
) -> ReadResult<[Activation; 2]> {
    let positive = builder.emit_elementwise(node, ".positive", Relu {}, x)?;
    let negated = negate(builder, node, x)?;
    Ok([positive, builder.emit_elementwise(node, ".rest", Relu {}, &negated)?])
}

/// Computes `-x`.
pub fn negate(builder: &mut GraphBuilder, node: &OnnxNode, x: &Activation) -> ReadResult<Activation> {
    scale(builder, node, ".negative", x, &ConstTensor::scalar(-1.0))
}

/// Computes `c * x` in a layer of its own.
pub fn scale(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    suffix: &str,
    x: &Activation,
    c: &ConstTensor,
) -> ReadResult<Activation> {
    with_constant(builder, node, suffix, x, c, |c| (c, 0.0))
}

/// Computes `x + c` in a layer of its own.
pub fn shift(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    suffix: &str,
    x: &Activation,
    c: &ConstTensor,
) -> ReadResult<Activation> {
    with_constant(builder, node, suffix, x, c, |c| (1.0, c))
}

/// Makes ones of the shape of `x`.
pub fn ones(builder: &mut GraphBuilder, node: &OnnxNode, x: &Activation) -> ReadResult<Activation> {
    with_constant(builder, node, ".ones", x, &ConstTensor::scalar(1.0), |one| (0.0, one))
}

/// Computes `scale * x + shift` in a layer of its own; `coefficients` gives scale and shift for each value of `c`.
pub fn with_constant(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    suffix: &str,
    x: &Activation,
    c: &ConstTensor,
    coefficients: fn(f64) -> (f64, f64),
) -> ReadResult<Activation> {
    let (value, affine) = per_channel(builder, node, x, c, coefficients)?;
    affine_layer(builder, node, suffix, x, value, affine)
}

/// Computes `scale * x + shift` like [`with_constant`], in the weights of the layer that made `x` where possible.
/// `sole` says that no other node reads the inputs of this node.
pub fn with_constant_folded(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    x: &Activation,
    c: &ConstTensor,
    coefficients: fn(f64) -> (f64, f64),
    sole: bool,
) -> ReadResult<Activation> {
    let (value, affine) = per_channel(builder, node, x, c, coefficients)?;
    if sole && x.is_unshared && x.aliases == [value] && fold_into_producer(builder, value, &affine) {
        return Ok(x.clone());
    }
    affine_layer(builder, node, "", x, value, affine)
}

/// The function `scale * x + shift` for each channel of a value.
pub struct Affine {
    pub scale: Vec<f64>,
    pub shift: Vec<f64>,
}

/// Returns a graph value of `x` with the affine function of its channels that `coefficients` makes of a constant. The
/// constant's ONNX shape is aligned at the right with the shape of `x`, the batch included.
fn per_channel(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    x: &Activation,
    c: &ConstTensor,
    coefficients: fn(f64) -> (f64, f64),
) -> ReadResult<(Value, Affine)> {
    let (value, constants) = constant_per_channel(builder, node, x, c)?;
    let (scale, shift) = constants.into_iter().map(coefficients).unzip();
    Ok((value, Affine { scale, shift }))
}

/// Returns a graph value of `x`, and the constant as one value for each of its channels.
fn constant_per_channel(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    x: &Activation,
    c: &ConstTensor,
) -> ReadResult<(Value, Vec<f64>)> {
    let Some(values) = c.as_floats() else { return unsupported("a constant of integers") };
    let misfit = || {
        ReadError::Unsupported(format!(
            "constant: expected a scalar or a value for each channel of {}, got shape {}",
            x.shape_text(),
            dims(&c.shape)
        ))
    };
    if let [one] = values {
        if c.shape.len() > x.dims.len() + 1 {
            return Err(misfit());
        }
        let value = builder.preferred_alias(x);
        let channels = builder.shape(value).chw().0;
        builder.charge(&[channels], 32)?;
        return Ok((value, vec![f64::from(*one); channels]));
    }
    // The constant's shape without the batch.
    let own: &[usize] = match c.shape.len().checked_sub(x.dims.len()) {
        Some(1) if c.shape[0] == 1 => &c.shape[1..],
        Some(0) | None => &c.shape,
        Some(_) => return Err(misfit()),
    };
    let fits = |(&c, &x): (&usize, &usize)| c == 1 || c == x;
    if !own.iter().rev().zip(x.dims.iter().rev()).all(fits) {
        return Err(misfit());
    }
    let is_channels_only = own.len() == x.dims.len() && own[1..].iter().all(|&d| d == 1);
    let full: &[usize] = &x.dims;
    let is_pixel = full.iter().skip(1).all(|&d| d == 1);
    let is_map = builder.shape(x.aliases[0]).is_map() || !is_pixel;
    // A vector has a channel for each value.
    let (value, count) = match full {
        [channels, _, ..] if is_map && (is_channels_only || is_pixel) => (builder.channel_map(node, x)?, *channels),
        _ => (builder.vector(node, x)?, x.elements()),
    };
    let area = x.elements() / count.max(1);
    builder.charge(&[count], 32)?;
    let at = |i: usize| f64::from(values[broadcast_index(i * area, full, own)]);
    Ok((value, (0..count).map(at).collect()))
}

/// Computes an affine function of `value`, a graph value of `x`, as a batch normalization without statistics.
pub fn affine_layer(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    suffix: &str,
    x: &Activation,
    value: Value,
    affine: Affine,
) -> ReadResult<Activation> {
    // `variance + epsilon` is exactly 1.
    let epsilon = 2f32.powi(-20);
    let single = |v: &[f64]| vector(v.iter().map(|&v| v as f32).collect());
    let n = affine.scale.len();
    let (mean, variance) = (vector(vec![0.0; n]), vector(vec![1.0 - epsilon; n]));
    let params = [single(&affine.scale), single(&affine.shift), mean, variance].map(Arc::from).to_vec();
    let layer = BatchNorm2d { epsilon, ..BatchNorm2d::default() };
    let value = builder.emit(node, suffix, layer, &[value], params)?;
    Ok(Activation::new(value, &x.dims))
}

/// Multiplies an affine function into the weights of the layer that made a value. Returns false, without any effect, if
/// that layer has no such weights or its output has other readers.
fn fold_into_producer(builder: &mut GraphBuilder, value: Value, affine: &Affine) -> bool {
    let Some((node, tensors)) = builder.unread_producer(value) else { return false };
    match &mut node.layer {
        Layer::Conv2d(Conv2d { bias, .. }) | Layer::Linear(Linear { bias, .. }) => *bias = true,
        Layer::BatchNorm2d(_) => {}
        _ => return false,
    }
    let weight = tensors.get_mut(&format!("{}.weight", node.name)).expect("the layer has a weight");
    let weight = Arc::make_mut(weight).values_mut();
    let per_channel = weight.data.len() / affine.scale.len();
    for (i, w) in weight.data.iter_mut().enumerate() {
        *w = (f64::from(*w) * affine.scale[i / per_channel]) as f32;
    }
    let name = format!("{}.bias", node.name);
    if tensors.get(&name).is_none() {
        tensors.insert(name.clone(), Tensor::zeros([affine.scale.len()]).into());
    }
    let bias = Arc::make_mut(tensors.get_mut(&name).expect("inserted above")).values_mut();
    for (i, b) in bias.data.iter_mut().enumerate() {
        *b = (f64::from(*b) * affine.scale[i] + affine.shift[i]) as f32;
    }
    builder.forget_sign_and_scale(value);
    true
}
