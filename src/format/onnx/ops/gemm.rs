//! Matrix products.

use std::sync::Arc;

use super::super::adaptive::adaptive_matrix;
use super::super::builder::GraphBuilder;
use super::super::const_tensor::{ConstTensor, broadcast, broadcast_index};
use super::super::node::{OnnxNode, ReadError, ReadResult, unsupported};
use super::super::value::Activation;
use super::compose;
use crate::graph::Param;
use crate::layers::{AdaptiveAvgPool2d, Linear};
use crate::tensor::{Tensor, dims};

/// Gemm, `alpha * x * B + beta * C`, as a linear layer whose weights are multiplied by alpha and beta. Attributes:
/// `alpha`, `beta`, `transB`; `transA` must be 0.
pub fn gemm(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    if node.flag("transA", false)? {
        return unsupported("attribute `transA`: expected 0 (the first dimension is the batch), got 1");
    }
    let (alpha, beta) = (node.float("alpha", 1.0)?, node.float("beta", 1.0)?);
    let is_transposed = node.flag("transB", false)?;
    let mut weight = builder.layer_weights(node, 1, !is_transposed)?;
    if alpha != 1.0 {
        Arc::make_mut(&mut weight).values_mut().data.iter_mut().for_each(|w| *w *= alpha);
    }
    if !builder.is_constant(node, 2) {
        let product = linear(builder, node, &x, weight, None)?;
        let c = builder.activation(node, 2)?;
        let c = if beta == 1.0 { c } else { compose::scale(builder, node, ".beta", &c, &ConstTensor::scalar(beta))? };
        return compose::add(builder, node, &[product, c]);
    }
    let out = weight.shape().first().copied().unwrap_or(1);
    let bias = match builder.maybe_constant(node, 2)? {
        None => None,
        Some(c) => Some(broadcast_bias(builder, node, &c, out)?.map(|c| c * beta)),
    };
    linear(builder, node, &x, weight, bias)
}

/// Broadcasts C of a Gemm to one value for each output.
fn broadcast_bias(builder: &mut GraphBuilder, node: &OnnxNode, c: &ConstTensor, out: usize) -> ReadResult<Tensor> {
    let row = [1, out];
    let Some(values) = c.as_floats() else { return Err(node.invalid("input 2", "floats", "integers")) };
    if broadcast(&c.shape, &row).as_deref() != Some(&row) {
        return unsupported(format!("input C: expected a row of {out} values, got {}", dims(&c.shape)));
    }
    builder.charge(&row, 4)?;
    let data = (0..out).map(|i| values[broadcast_index(i, &row, &c.shape)]).collect();
    Ok(Tensor { shape: vec![out], data })
}

/// Adds a linear layer with weights `[out, in]` and a bias `[out]`.
pub fn linear(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    x: &Activation,
    weight: Arc<Param>,
    bias: Option<Tensor>,
) -> ReadResult<Activation> {
    if weight.shape().len() != 2 {
        return unsupported(format!("weights: expected a matrix, got {}", dims(weight.shape())));
    }
    if x.dims.len() != 1 {
        return unsupported(format!("input shape: expected vectors NxF, got {}", x.shape_text()));
    }
    let vector = builder.vector(node, x)?;
    let layer = Linear { out_features: weight.shape()[0], bias: bias.is_some() };
    let params = std::iter::once(weight).chain(bias.map(Arc::from)).collect();
    builder.emit_activation(node, "", layer, &[vector], params)
}

/// MatMul of vectors `NxF` and a constant matrix `[in, out]`, as a linear layer. A product of maps and a matrix that
/// `writer.rs` writes for an adaptive average pooling becomes that pooling.
pub fn mat_mul(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    if builder.is_constant(node, 0) {
        let matrix = builder.float_tensor(node, 0)?;
        let x = builder.activation(node, 1)?;
        return adaptive_avg_pool(builder, node, &x, &matrix, 0);
    }
    let x = builder.activation(node, 0)?;
    let weight = builder.layer_weights(node, 1, true)?;
    if x.dims.len() == 3 {
        return adaptive_avg_pool(builder, node, &x, &weight.values(), 1);
    }
    linear(builder, node, &x, weight, None)
}

/// Adds the pooling along `axis` (0 height, 1 width) that a matrix `[out, in]` of means describes.
fn adaptive_avg_pool(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    x: &Activation,
    matrix: &Tensor,
    axis: usize,
) -> ReadResult<Activation> {
    let not_linear =
        || ReadError::Unsupported(format!("input shapes: expected NxF times a matrix, got {}", x.shape_text()));
    let map = builder.map(node, x).map_err(|_| not_linear())?;
    let mut output = [x.dims[1], x.dims[2]];
    let &[out, input] = &matrix.shape[..] else { return Err(not_linear()) };
    if input != output[axis] || out == 0 || *matrix != adaptive_matrix(out, input) {
        return Err(not_linear());
    }
    output[axis] = out;
    builder.emit_activation(node, "", AdaptiveAvgPool2d { output }, &[map], vec![])
}
