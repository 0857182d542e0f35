//! Convolutions.

use std::sync::Arc;

use super::super::builder::GraphBuilder;
use super::super::node::{OnnxNode, ReadResult, unsupported};
use super::super::value::Activation;
use super::window::{squeezed_like, window};
use crate::graph::Param;
use crate::layers::Conv2d;
use crate::tensor::{Tensor, dims};

/// Conv over one or two spatial dimensions, with weights `[out, in / group, kh, kw]` or `[out, in / group, k]`.
/// Attributes: `group`, `kernel_shape`, `strides`, `dilations`, `pads`, `auto_pad`.
pub fn conv(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    let weight = builder.layer_weights(node, 1, false)?;
    let bias = node.input(2).map(|_| builder.float_tensor(node, 2)).transpose()?;
    convolve(builder, node, &x, weight, bias)
}

/// Adds a convolution with a node's attributes and these weights.
pub fn convolve(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    x: &Activation,
    mut weight: Arc<Param>,
    bias: Option<Tensor>,
) -> ReadResult<Activation> {
    let map = builder.unsqueezed_map(node, x)?;
    let &[out_channels, _, ref kernel @ ..] = weight.shape() else {
        return unsupported(format!("weights: expected 3 or 4 dimensions, got {}", dims(weight.shape())));
    };
    let given = node.ints("kernel_shape").map(|k| k.iter().map(|&k| usize::try_from(k).unwrap_or(0)));
    if given.is_some_and(|given| !given.eq(kernel.iter().copied())) {
        return Err(node.invalid("attribute `kernel_shape`", format!("{} as the weights", dims(kernel)), "another"));
    }
    let window = window(node, kernel, x)?;
    Arc::make_mut(&mut weight).shape_mut().resize(4, 1);
    let groups = node.int("group", 1)?;
    let groups = usize::try_from(groups).map_err(|_| node.invalid("attribute `group`", "1 or more", groups))?;
    let layer = Conv2d { out_channels, window, groups, bias: bias.is_some() };
    let params = std::iter::once(weight).chain(bias.map(Arc::from)).collect();
    let y = builder.emit_activation(node, "", layer, &[map], params)?;
    Ok(squeezed_like(y, x))
}
