//! Batch normalisation, local response normalisation and softmax.

use std::sync::Arc;

use super::node::{Op, Step, unsupported};
use super::reader::{Activation, Reader};
use crate::layers::{BatchNorm2d, Layer, LocalResponseNorm, LogSoftmax, Softmax};

pub(super) fn batch_norm<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    if op.int("training_mode", 0)? != 0 || op.int("spatial", 1)? == 0 {
        return unsupported("attributes: expected training_mode 0 and spatial 1");
    }
    let names = ["scale", "B", "mean", "var"];
    let params = (1..=names.len()).map(|i| reader.weights(op, i).map(Arc::from)).collect::<Step<Vec<_>>>()?;
    // ONNX keeps what PyTorch forgets.
    let momentum = (1.0 - op.float("momentum", 0.9)?).clamp(0.0, 1.0);
    let layer = BatchNorm2d { epsilon: op.float("epsilon", 1e-5)?, momentum };
    let value = if x.dims.len() == 1 { reader.vector(op, &x)? } else { reader.channelled(op, &x)? };
    let value = reader.emit(op, "", layer, &[value], params)?;
    Ok(Activation::new(value, &x.dims))
}

pub(super) fn lrn<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    let size = op.int("size", 0)?;
    let size = usize::try_from(size).map_err(|_| op.invalid("attribute `size`", "1 or more", size))?;
    let (alpha, beta, k) = (op.float("alpha", 1e-4)?, op.float("beta", 0.75)?, op.float("bias", 1.0)?);
    let map = reader.channelled(op, &x)?;
    let value = reader.emit(op, "", LocalResponseNorm { size, alpha, beta, k }, &[map], vec![])?;
    Ok(Activation::new(value, &x.dims))
}

/// Softmax or its logarithm. Before opset 13 the axes from `axis` on count as one; since, only `axis` itself.
pub(super) fn softmax<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    let layer = || -> Layer { if op.proto.op_type == "Softmax" { Softmax {}.into() } else { LogSoftmax {}.into() } };
    let axis = op.axis(op.int("axis", if op.opset < 13 { 1 } else { -1 })?, x.dims.len() + 1)?;
    if axis == 0 {
        return unsupported(format!("attribute `axis`: expected 1 or more, got 0 (the batch) of {}", x.text()));
    }
    let product = |dims: &[usize]| dims.iter().product::<usize>();
    let (before, rest) = x.dims.split_at(axis - 1);
    let (size, after) = if op.opset < 13 { (product(rest), 1) } else { (rest[0], product(&rest[1..])) };
    let view = [product(before), size, after];
    let is_map = reader.shape(x.forms[0]).is_map();
    // Softmax is over channels, or over all values of a vector.
    let (value, moved) = match view {
        [1, _, 1] if x.dims.len() == 1 || !is_map => (reader.vector(op, &x)?, false),
        [1, ..] if axis == 1 && size == x.dims[0] => (reader.channelled(op, &x)?, false),
        [1, _, 1] => (reader.vector(op, &x)?, false),
        _ => (reader.permuted(op, ".channels", &x, view, [1, 0, 2])?, true),
    };
    let value = reader.emit(op, "", layer(), &[value], vec![])?;
    let y = Activation::new(value, &x.dims);
    if !moved {
        return Ok(y);
    }
    let value = reader.permuted(op, ".back", &y, [size, view[0], after], [1, 0, 2])?;
    Ok(Activation::new(value, &x.dims))
}
