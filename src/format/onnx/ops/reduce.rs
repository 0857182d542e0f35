//! Means and sums over dimensions of a sample.

use super::super::builder::GraphBuilder;
use super::super::const_tensor::ConstTensor;
use super::super::node::{OnnxNode, ReadResult, unsupported};
use super::super::shape::reduced_axes;
use super::super::value::Activation;
use super::compose;
use super::window::squeezed_like;
use crate::layers::{AvgPool2d, GlobalAvgPool, Layer, Window};

/// ReduceMean. `axes` is an attribute before operator set 18, and input 1 from then on; `keepdims` is 1 by default.
pub fn reduce_mean(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let (x, axes) = reduced(builder, node, 18)?;
    let y = mean(builder, node, &x, &axes)?;
    without_reduced(node, y, &axes)
}

/// ReduceSum. `axes` is an attribute before operator set 13, and input 1 from then on; `keepdims` is 1 by default.
pub fn reduce_sum(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let (x, axes) = reduced(builder, node, 13)?;
    let count: usize = axes.iter().map(|&a| x.dims[a - 1]).product();
    let y = mean(builder, node, &x, &axes)?;
    let y = compose::scale(builder, node, ".sum", &y, &ConstTensor::scalar(count as f32))?;
    without_reduced(node, y, &axes)
}

/// Takes the input and the axes, sorted and without the batch.
fn reduced(builder: &mut GraphBuilder, node: &OnnxNode, since: i64) -> ReadResult<(Activation, Vec<usize>)> {
    let x = builder.activation(node, 0)?;
    let mut axes = reduced_axes(builder, node, since, x.dims.len() + 1)?;
    if axes.is_empty() || axes.contains(&0) {
        return unsupported(format!("axes: expected some without the batch, got {axes:?} of {}", x.shape_text()));
    }
    axes.sort_unstable();
    axes.dedup();
    Ok((x, axes))
}

/// Removes the reduced dimensions unless `keepdims` is set.
fn without_reduced(node: &OnnxNode, y: Activation, axes: &[usize]) -> ReadResult<Activation> {
    if node.flag("keepdims", true)? {
        return Ok(y);
    }
    Ok(y.view((1..=y.dims.len()).filter(|a| !axes.contains(a)).map(|a| y.dims[a - 1]).collect()))
}

/// Computes the means over axes; the reduced dimensions become 1.
fn mean(builder: &mut GraphBuilder, node: &OnnxNode, x: &Activation, axes: &[usize]) -> ReadResult<Activation> {
    let y = spatial_mean(builder, node, x, axes)?;
    if !axes.contains(&1) {
        return Ok(y);
    }
    let n = y.dims[0];
    builder.charge(&[n], 4)?;
    compose::pointwise(builder, node, ".channels", &y, 1, vec![1.0 / n as f32; n])
}

/// Computes the means over height and width, as far as the axes name them.
fn spatial_mean(builder: &mut GraphBuilder, node: &OnnxNode, x: &Activation, axes: &[usize]) -> ReadResult<Activation> {
    let spatial = x.dims.len().saturating_sub(1);
    let is_mean = |a: usize| a > spatial || axes.contains(&(a + 1));
    if !axes.iter().any(|&a| a > 1) {
        return Ok(x.clone());
    }
    let map = builder.unsqueezed_map(node, x)?;
    let (_, h, w) = builder.shape(map).chw();
    let layer: Layer = if is_mean(1) && is_mean(2) {
        GlobalAvgPool {}.into()
    } else {
        let kernel = if is_mean(1) { [h, 1] } else { [1, w] };
        AvgPool2d { window: Window { kernel, ..Window::new(1) }, count_include_pad: false }.into()
    };
    let y = builder.emit_activation(node, "", layer, &[map], vec![])?;
    Ok(squeezed_like(y, x))
}
