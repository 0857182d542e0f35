//! Constants that a file makes: Constant and ConstantOfShape.

use super::super::builder::GraphBuilder;
use super::super::const_tensor::{ConstData, ConstTensor};
use super::super::node::{OnnxNode, ReadResult, unsupported};
use super::super::shape::size;

/// Constant: one of the attributes `value`, `value_float`, `value_int`, `value_floats` and `value_ints`.
pub fn constant(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    if let Some(tensor) = node.tensor("value")? {
        return builder.decode(tensor);
    }
    if let Some(value) = node.maybe_float("value_float")? {
        return Ok(ConstTensor::scalar(value));
    }
    if let Some(value) = node.maybe_int("value_int")? {
        return Ok(ConstTensor::integer(value));
    }
    if let Some(values) = node.ints("value_ints") {
        return Ok(ConstTensor::integers(values.to_vec()));
    }
    match node.attribute("value_floats") {
        Some(a) => Ok(ConstTensor { shape: vec![a.floats.len()], data: ConstData::Float(a.floats.clone()) }),
        None => unsupported("expected a constant of numbers, got another kind"),
    }
}

/// ConstantOfShape: the one value of the attribute `value` (a float 0 by default) in the shape of input 0.
pub fn constant_of_shape(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    let shape = builder.maybe_integers(node, 0)?.ok_or_else(|| node.invalid("input 0", "a shape", "none"))?;
    let shape = shape.into_iter().map(size).collect::<ReadResult<Vec<usize>>>()?;
    builder.charge(&shape, 8)?;
    let value = match node.tensor("value")? {
        Some(tensor) => builder.decode(tensor)?.data,
        None => ConstData::Float(vec![0.0]),
    };
    if value.len() != 1 {
        return Err(node.invalid("attribute `value`", "one value", value.len()));
    }
    let n = shape.iter().product();
    Ok(ConstTensor { shape, data: value.repeat_first(n) })
}
