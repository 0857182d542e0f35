//! Batch normalisation, local response normalisation and softmax.

use super::node::{Op, Step, unsupported};
use super::reader::{Activation, Reader};
use crate::layers::{BatchNorm2d, Layer, LocalResponseNorm, LogSoftmax, Softmax};

pub(super) fn batch_norm<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    if op.int("training_mode", 0)? != 0 || op.int("spatial", 1)? == 0 {
        return unsupported("attributes: expected training_mode 0 and spatial 1");
    }
    let names = ["scale", "B", "mean", "var"];
    let params = (1..=names.len()).map(|i| reader.weights(op, i)).collect::<Step<Vec<_>>>()?;
    // ONNX keeps what PyTorch forgets.
    let momentum = (1.0 - op.float("momentum", 0.9)?).clamp(0.0, 1.0);
    let layer = BatchNorm2d { epsilon: op.float("epsilon", 1e-5)?, momentum };
    let value = if x.dims.len() == 1 { reader.vector(op, &x)? } else { reader.channelled(&x)? };
    let value = reader.emit(op, "", layer, &[value], params)?;
    Ok(Activation::new(value, &x.dims))
}

pub(super) fn lrn<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    let size = op.int("size", 0)?;
    let size = usize::try_from(size).map_err(|_| op.invalid("attribute `size`", "1 or more", size))?;
    let (alpha, beta, k) = (op.float("alpha", 1e-4)?, op.float("beta", 0.75)?, op.float("bias", 1.0)?);
    let map = reader.channelled(&x)?;
    let value = reader.emit(op, "", LocalResponseNorm { size, alpha, beta, k }, &[map], vec![])?;
    Ok(Activation::new(value, &x.dims))
}

/// Softmax or its logarithm. Before opset 13 the axes from `axis` on count as one; since, only `axis` itself.
pub(super) fn softmax<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    let layer = || -> Layer { if op.proto.op_type == "Softmax" { Softmax {}.into() } else { LogSoftmax {}.into() } };
    let axis = op.axis(op.int("axis", if op.opset < 13 { 1 } else { -1 })?, x.dims.len() + 1)?;
    let alone = x.dims.iter().skip(1).all(|&d| d == 1);
    if axis != 1 {
        return unsupported(format!("attribute `axis`: expected 1 (channels), got {axis} of {}", x.text()));
    }
    // One value at each channel: softmax over all of them, whatever the view.
    let map = reader.channelled(&x);
    let value = match (op.opset < 13 && !alone) || (alone && map.is_err()) {
        true => reader.vector(op, &x)?,
        false => map?,
    };
    let value = reader.emit(op, "", layer(), &[value], vec![])?;
    Ok(Activation::new(value, &x.dims))
}
