//! Sums and means of constants along axes.

use super::super::builder::GraphBuilder;
use super::super::const_tensor::{ConstData, ConstTensor, broadcast_index};
use super::super::node::{OnnxNode, ReadResult};
use super::super::shape::reduced_axes;

/// ReduceMean: `axes` is an attribute before operator set 18, and input 1 from then on.
pub fn reduce_mean(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    reduce(builder, node, 18, |sum, count| sum * (1.0 / count))
}

/// ReduceSum: `axes` is an attribute before operator set 13, and input 1 from then on.
pub fn reduce_sum(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    reduce(builder, node, 13, |sum, _| sum)
}

/// Applies `finish` to the sum and the number of the values along the axes, by default all. Attributes: `keepdims` (1
/// by default), `noop_with_empty_axes` (0 by default).
fn reduce(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    since: i64,
    finish: fn(f64, f64) -> f64,
) -> ReadResult<ConstTensor> {
    let x = builder.constant(node, 0)?;
    let axes = reduced_axes(builder, node, since, x.shape.len())?;
    if axes.is_empty() && node.flag("noop_with_empty_axes", false)? {
        return Ok(x);
    }
    let is_reduced = |a: usize| axes.is_empty() || axes.contains(&a);
    let kept: Vec<usize> = x.shape.iter().enumerate().map(|(a, &d)| if is_reduced(a) { 1 } else { d }).collect();
    builder.charge(&kept, 8)?;
    let Some(values) = x.as_floats() else { return Err(node.invalid("inputs", "floats", "integers")) };
    let mut sums = vec![0.0f64; kept.iter().product()];
    for (i, &v) in values.iter().enumerate() {
        sums[broadcast_index(i, &x.shape, &kept)] += f64::from(v);
    }
    let count: usize = x.shape.iter().enumerate().filter(|(a, _)| is_reduced(*a)).map(|(_, &d)| d).product();
    let data = ConstData::Float(sums.into_iter().map(|sum| finish(sum, count as f64) as f32).collect());
    let shape = match node.flag("keepdims", true)? {
        false => (0..kept.len()).filter(|&a| !is_reduced(a)).map(|a| kept[a]).collect(),
        true => kept,
    };
    Ok(ConstTensor { shape, data })
}
