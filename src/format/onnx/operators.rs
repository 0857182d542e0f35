//! The operators that Convoke reads: one line each, to the file of its topic.

use super::node::{Op, Step, Stop, unsupported};
use super::reader::{Reader, Val};
use super::{constants, elementwise, linear, normalization, pooling, quantized, shuffle, views};
use crate::layers::{Dropout, HardSigmoid, HardSwish, Relu, Sigmoid, Tanh};

/// Whether an operator gives values of its input and no others.
pub(super) fn only_moves(op: &Op) -> bool {
    let kind = op.proto.op_type.as_str();
    matches!(kind, "MaxPool" | "GlobalMaxPool" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Transpose")
        || matches!(kind, "Slice" | "Split" | "Pad" | "Dropout")
}

/// Reads a node into the values of its outputs, in order; outputs left out are not supported.
pub(super) fn read<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Vec<Val<'a>>> {
    let outputs = values(reader, op)?;
    // What only moves values leaves them as they are held.
    Ok(outputs.into_iter().map(|value| reader.held(op, value)).collect())
}

fn values<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Vec<Val<'a>>> {
    let own = matches!(op.proto.domain.as_str(), "" | "ai.onnx");
    let kind = op.proto.op_type.as_str();
    if own && constants::knows(kind) && all_constant(reader, op) {
        return constants::evaluate(reader, op);
    }
    match (own, kind) {
        (_, "QLinearAdd" | "QLinearConv" | "QLinearMatMul" | "QLinearConcat" | "QGemm")
        | (_, "QLinearAveragePool" | "QLinearGlobalAveragePool")
        | (_, "QuantizeLinear" | "DequantizeLinear" | "DynamicQuantizeLinear" | "ConvInteger" | "MatMulInteger") => {
            return quantized::read(reader, op);
        }
        (false, _) => return unsupported("an operator that Convoke does not have"),
        (true, "Split") => return views::split(reader, op),
        (true, "Shape") => return shape_of(reader, op),
        (true, "Identity") => return Ok(vec![alias(reader.input(op, 0)?)]),
        (true, "Dropout") => return dropout(reader, op),
        (true, "Cast") => return quantized::cast(reader, op),
        (true, "Mul") => {
            if let Some(value) = quantized::rescaled(reader, op)? {
                return Ok(vec![value]);
            }
        }
        _ => {}
    }
    let y = match kind {
        "Conv" => linear::conv(reader, op)?,
        "Gemm" => linear::gemm(reader, op)?,
        "MatMul" => linear::matmul(reader, op)?,
        "MaxPool" => pooling::max(reader, op)?,
        "AveragePool" | "GlobalAveragePool" => pooling::average(reader, op)?,
        "GlobalMaxPool" => pooling::global_max(reader, op)?,
        "ReduceMean" | "ReduceSum" => pooling::reduce(reader, op)?,
        "BatchNormalization" => normalization::batch_norm(reader, op)?,
        "InstanceNormalization" => elementwise::instance_norm(reader, op)?,
        "LRN" => normalization::lrn(reader, op)?,
        "Softmax" | "LogSoftmax" => normalization::softmax(reader, op)?,
        "Add" | "Sub" | "Mul" | "Div" | "Sum" => elementwise::arithmetic(reader, op)?,
        "Neg" | "Abs" | "Sqrt" | "Pow" | "Reciprocal" | "Elu" | "Selu" => elementwise::function(reader, op)?,
        "Max" | "Min" => elementwise::extreme(reader, op)?,
        "Clip" => elementwise::clip(reader, op)?,
        "LeakyRelu" => elementwise::leaky_relu(reader, op)?,
        "PRelu" => elementwise::prelu(reader, op)?,
        "Relu" | "Sigmoid" | "Tanh" | "HardSwish" | "HardSigmoid" => activation(reader, op)?,
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => views::reshape(reader, op)?,
        "Transpose" => shuffle::transpose(reader, op)?,
        "Concat" => views::concat(reader, op)?,
        "Slice" => views::slice(reader, op)?,
        "Pad" => views::pad(reader, op)?,
        _ => return unsupported("an operator that Convoke does not have"),
    };
    Ok(vec![Val::Act(y)])
}

fn all_constant<'a>(reader: &Reader<'a>, op: &Op<'a>) -> bool {
    op.proto.input.iter().filter(|name| !name.is_empty()).all(|name| reader.is_constant(name))
}

/// The same value under another name.
fn alias(value: Val) -> Val {
    match value {
        Val::Act(x) => Val::Act(x.view(x.dims.clone())),
        Val::Codes(x) => Val::Codes(x.view(x.dims.clone())),
        other => other,
    }
}

fn shape_of<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Vec<Val<'a>>> {
    let x = reader.activation(op, 0)?;
    let shape = std::iter::once(super::reader::BATCH).chain(x.dims.iter().map(|&d| d as i64)).collect();
    Ok(vec![Val::Const(constants::shape_slice(op, shape)?)])
}

fn activation<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<super::reader::Activation> {
    let x = reader.activation(op, 0)?;
    match op.proto.op_type.as_str() {
        "Relu" => reader.push_elementwise(op, Relu {}, &x),
        "Sigmoid" => reader.push_elementwise(op, Sigmoid {}, &x),
        "Tanh" => reader.push_elementwise(op, Tanh {}, &x),
        "HardSwish" => reader.push_elementwise(op, HardSwish {}, &x),
        _ => {
            let layer = HardSigmoid { alpha: op.float("alpha", 0.2)?, beta: op.float("beta", 0.5)? };
            reader.push_elementwise(op, layer, &x)
        }
    }
}

/// The value, and a mask that keeps all of it.
fn dropout<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Vec<Val<'a>>> {
    let x = reader.activation(op, 0)?;
    let p = match op.opset {
        ..12 => op.float("ratio", 0.5)?,
        _ => match reader.maybe_constant(op, 1)? {
            None => 0.5,
            Some(ratio) => ratio
                .to_floats()
                .and_then(|r| r.first().copied())
                .ok_or_else(|| Stop::Unsupported("input `ratio`: expected one float".into()))?,
        },
    };
    let training = reader.maybe_ints(op, 2)?.is_some_and(|t| t != [0]);
    if training && p != 0.0 {
        return unsupported("input `training_mode`: expected false, got true");
    }
    // At inference every ratio is the identity; a layer needs one below 1.
    let y = reader.push_elementwise(op, Dropout { p: if (0.0..1.0).contains(&p) { p } else { 0.0 } }, &x)?;
    if !op.has_output(1) {
        return Ok(vec![Val::Act(y)]);
    }
    Ok(vec![Val::Act(y), Val::Codes(elementwise::ones(reader, op, &x)?)])
}
