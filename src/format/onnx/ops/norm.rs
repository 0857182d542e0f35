//! Normalizations, softmax and dropout.

use std::sync::Arc;

use super::super::builder::GraphBuilder;
use super::super::const_tensor::ConstTensor;
use super::super::node::{OnnxNode, ReadError, ReadResult, unsupported};
use super::super::value::{Activation, OnnxValue};
use super::compose::{self, Affine};
use crate::layers::{BatchNorm2d, Dropout, GlobalAvgPool, Layer, LocalResponseNorm, LogSoftmax, Softmax};

/// BatchNormalization in inference mode. Attributes: `epsilon`, `momentum`; `spatial` (before operator set 9) must be 1.
pub fn batch_normalization(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    if is_training_mode(node)? {
        return unsupported(
            "training mode normalizes with the statistics of the batch, so that each answer depends on the other \
             images: export again in inference mode (PyTorch: `model.eval()`)",
        );
    }
    if !node.flag("spatial", true)? {
        return unsupported("attribute `spatial`: expected 1, got 0");
    }
    // Scale, B, mean and variance.
    let params = (1..=4).map(|i| builder.float_tensor(node, i).map(Arc::from)).collect::<ReadResult<Vec<_>>>()?;
    // ONNX's momentum is the weight of the old statistics, PyTorch's and Convoke's of the new ones.
    let momentum = (1.0 - node.float("momentum", 0.9)?).clamp(0.0, 1.0);
    let layer = BatchNorm2d { epsilon: node.float("epsilon", 1e-5)?, momentum };
    let value = if x.dims.len() == 1 { builder.vector(node, &x)? } else { builder.channel_map(node, &x)? };
    let value = builder.emit(node, "", layer, &[value], params)?;
    Ok(Activation::new(value, &x.dims))
}

/// Whether a BatchNormalization uses the statistics of the batch: the attribute `training_mode` says it since operator
/// set 14, outputs after the first before, and the attribute `is_test` before operator set 7.
fn is_training_mode(node: &OnnxNode) -> ReadResult<bool> {
    Ok(match node.opset {
        14.. => node.flag("training_mode", false)?,
        7.. => (1..5).any(|i| node.has_output(i)),
        _ => !node.flag("is_test", false)?,
    })
}

/// InstanceNormalization: each feature map less its mean, divided by its standard deviation, then scaled and shifted by
/// inputs 1 and 2. Attribute: `epsilon`.
pub fn instance_normalization(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    let (weight, bias) = (builder.float_tensor(node, 1)?, builder.float_tensor(node, 2)?);
    let map = builder.channel_map(node, &x)?;
    let (c, h, w) = builder.shape(map).chw();
    let mean = builder.emit_activation(node, "", GlobalAvgPool {}, &[map], vec![])?;
    let minus = compose::negate(builder, node, &mean)?;
    let centered = compose::add(builder, node, &[Activation::new(map, &[c, h, w]), minus])?;
    let squares = compose::multiply(builder, node, &centered, &centered)?;
    let squares = builder.preferred_alias(&squares);
    let variance = builder.emit_activation(node, "", GlobalAvgPool {}, &[squares], vec![])?;
    let epsilon = ConstTensor::scalar(node.float("epsilon", 1e-5)?);
    let variance = compose::shift(builder, node, ".epsilon", &variance, &epsilon)?;
    let inverse = compose::power(builder, node, ".inverse", &variance, -0.5)?;
    let normal = compose::multiply(builder, node, &centered, &inverse)?;
    let [scale, shift] = [weight, bias].map(|t| t.data.iter().map(|&v| v.into()).collect::<Vec<f64>>());
    if [scale.len(), shift.len()] != [c; 2] {
        return Err(node.invalid("scale and B", format!("{c} values each"), scale.len()));
    }
    let value = builder.preferred_alias(&normal);
    let y = compose::affine_layer(builder, node, ".affine", &normal, value, Affine { scale, shift })?;
    Ok(y.view(x.dims))
}

/// LRN. Attributes: `size` (required), `alpha`, `beta`, `bias`.
pub fn lrn(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    let size = node.int("size", 0)?;
    let size = usize::try_from(size).map_err(|_| node.invalid("attribute `size`", "1 or more", size))?;
    let (alpha, beta, k) = (node.float("alpha", 1e-4)?, node.float("beta", 0.75)?, node.float("bias", 1.0)?);
    let map = builder.channel_map(node, &x)?;
    let value = builder.emit(node, "", LocalResponseNorm { size, alpha, beta, k }, &[map], vec![])?;
    Ok(Activation::new(value, &x.dims))
}

/// Softmax along the attribute `axis`: -1 by default; before operator set 13, 1 by default and all axes from there on
/// count as one.
pub fn softmax(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    along_axis(builder, node, Softmax {}.into())
}

/// LogSoftmax, with the axes of [`softmax`].
pub fn log_softmax(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    along_axis(builder, node, LogSoftmax {}.into())
}

/// Adds a layer that works along the channels of a map or over a whole vector, on the axis of [`softmax`].
fn along_axis(builder: &mut GraphBuilder, node: &OnnxNode, layer: Layer) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    let axis = node.axis(node.int("axis", if node.opset < 13 { 1 } else { -1 })?, x.dims.len() + 1)?;
    if axis == 0 {
        return unsupported(format!("attribute `axis`: expected 1 or more, got 0 (the batch) of {}", x.shape_text()));
    }
    let product = |dims: &[usize]| dims.iter().product::<usize>();
    let (before, rest) = x.dims.split_at(axis - 1);
    let (size, after) = if node.opset < 13 { (product(rest), 1) } else { (rest[0], product(&rest[1..])) };
    let view = [product(before), size, after];
    let is_map = builder.shape(x.aliases[0]).is_map();
    let (value, is_permuted) = match view {
        [1, _, 1] if x.dims.len() == 1 || !is_map => (builder.vector(node, &x)?, false),
        [1, ..] if axis == 1 && size == x.dims[0] => (builder.channel_map(node, &x)?, false),
        [1, _, 1] => (builder.vector(node, &x)?, false),
        _ => (builder.permuted(node, ".channels", &x, view, [1, 0, 2])?, true),
    };
    let value = builder.emit(node, "", layer, &[value], vec![])?;
    let y = Activation::new(value, &x.dims);
    if !is_permuted {
        return Ok(y);
    }
    let value = builder.permuted(node, ".back", &y, [size, view[0], after], [1, 0, 2])?;
    Ok(Activation::new(value, &x.dims))
}

/// Dropout: the value, and a mask of ones if it has a name. The ratio is the attribute `ratio` before operator set 12,
/// and input 1 from then on (0.5 by default); input 2, `training_mode`, must be false.
pub fn dropout<'a>(builder: &mut GraphBuilder<'a>, node: &OnnxNode) -> ReadResult<Vec<OnnxValue<'a>>> {
    let x = builder.activation(node, 0)?;
    let p = match node.opset {
        ..12 => node.float("ratio", 0.5)?,
        _ => match builder.maybe_constant(node, 1)? {
            None => 0.5,
            Some(ratio) => {
                ratio.first_float().ok_or_else(|| ReadError::Unsupported("input `ratio`: expected one float".into()))?
            }
        },
    };
    let is_training = builder.maybe_integers(node, 2)?.is_some_and(|t| t != [0]);
    if is_training && p != 0.0 {
        return unsupported("input `training_mode`: expected false, got true");
    }
    // A network that classifies drops nothing, whatever the ratio; the layer needs one below 1.
    let layer = Dropout { p: if (0.0..1.0).contains(&p) { p } else { 0.0 } };
    let mut outputs = vec![OnnxValue::Float(builder.emit_elementwise(node, "", layer, &x)?)];
    if node.has_output(1) {
        outputs.push(OnnxValue::Integer(compose::ones(builder, node, &x)?));
    }
    Ok(outputs)
}
