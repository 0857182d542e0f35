//! Softmax of constants.

use super::super::builder::GraphBuilder;
use super::super::const_tensor::{ConstData, ConstTensor};
use super::super::node::{OnnxNode, ReadResult};
use super::elementwise::exp_of;

/// Softmax along the attribute `axis`: -1 by default; before operator set 13, 1 by default and all axes from there on
/// count as one.
pub fn softmax(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    normalize(builder, node, |shifted, sum| exp_of(shifted) / sum)
}

/// LogSoftmax, with the axes of [`softmax`].
pub fn log_softmax(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    normalize(builder, node, |shifted, sum| shifted - sum.ln())
}

/// Applies `finish` to each value less the largest, and the sum of these values' exponentials.
fn normalize(builder: &mut GraphBuilder, node: &OnnxNode, finish: fn(f32, f32) -> f32) -> ReadResult<ConstTensor> {
    let x = builder.constant(node, 0)?;
    let rank = x.shape.len();
    let axis = node.axis(node.int("axis", if node.opset < 13 { 1 } else { -1 })?, rank)?;
    builder.charge(&x.shape, 8)?;
    let last = if node.opset < 13 { rank } else { axis + 1 };
    let size: usize = x.shape[axis..last].iter().product();
    let inner: usize = x.shape[last..].iter().product();
    let Some(values) = x.as_floats() else { return Err(node.invalid("inputs", "floats", "integers")) };
    let mut data = values.to_vec();
    for start in (0..data.len()).filter(|i| (i / inner).is_multiple_of(size)) {
        let at = |i: usize| start + i * inner;
        let max = (0..size).map(|i| data[at(i)]).fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = (0..size).map(|i| exp_of(data[at(i)] - max)).sum();
        for i in 0..size {
            data[at(i)] = finish(data[at(i)] - max, sum);
        }
    }
    Ok(ConstTensor { shape: x.shape, data: ConstData::Float(data) })
}
