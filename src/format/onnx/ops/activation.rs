//! Activation functions.

use super::super::builder::GraphBuilder;
use super::super::const_tensor::ConstTensor;
use super::super::node::{OnnxNode, ReadResult};
use super::super::value::Activation;
use super::compose::{self, Operand};
use crate::layers::{Clip, HardSigmoid, HardSwish, LeakyRelu, Relu, Sigmoid, Tanh};

/// Relu.
pub fn relu(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    builder.emit_elementwise(node, "", Relu {}, &x)
}

/// Sigmoid.
pub fn sigmoid(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    builder.emit_elementwise(node, "", Sigmoid {}, &x)
}

/// Tanh.
pub fn tanh(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    builder.emit_elementwise(node, "", Tanh {}, &x)
}

/// HardSwish (operator set 14).
pub fn hard_swish(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    builder.emit_elementwise(node, "", HardSwish {}, &x)
}

/// HardSigmoid. Attributes: `alpha` (0.2 by default), `beta` (0.5 by default).
pub fn hard_sigmoid(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    let layer = HardSigmoid { alpha: node.float("alpha", 0.2)?, beta: node.float("beta", 0.5)? };
    builder.emit_elementwise(node, "", layer, &x)
}

/// Clip: bounds are the attributes `min` and `max` before operator set 11, and inputs 1 and 2 from then on. The upper
/// bound wins over a larger lower bound.
pub fn clip(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    let mut bound = |name, i, default: f32| match node.opset {
        ..11 => node.float(name, default),
        _ => match builder.maybe_constant(node, i)? {
            None => Ok(default),
            Some(bound) => bound
                .first_float()
                .ok_or_else(|| node.invalid(format!("input `{name}`"), "one float", "another constant")),
        },
    };
    // A model file cannot store infinities.
    let finite = |v: f32| v.clamp(f32::MIN, f32::MAX);
    let (min, max) = (finite(bound("min", 1, f32::MIN)?), finite(bound("max", 2, f32::MAX)?));
    if min == 0.0 && max == f32::MAX {
        return builder.emit_elementwise(node, "", Relu {}, &x);
    }
    builder.emit_elementwise(node, "", Clip { min: min.min(max), max }, &x)
}

/// LeakyRelu. Attribute: `alpha`, the slope below zero (0.01 by default).
pub fn leaky_relu(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    let slope = node.float("alpha", 0.01)?;
    match slope > 0.0 {
        true => builder.emit_elementwise(node, "", LeakyRelu { slope }, &x),
        false => with_slopes(builder, node, &x, &ConstTensor::scalar(slope)),
    }
}

/// PRelu: a leaky ReLU whose slope is input 1. Before operator set 7, a vector is one slope for each channel.
pub fn p_relu(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    let mut slope = match compose::operand(builder, node, 1)? {
        Operand::Constant(slope) => slope,
        Operand::Computed(slope) => return with_computed_slopes(builder, node, &x, &slope),
    };
    if node.opset < 7 && slope.shape.len() == 1 && !x.dims.is_empty() {
        slope.shape.extend(std::iter::repeat_n(1, x.dims.len() - 1));
    }
    match slope.as_floats() {
        Some(&[one]) if one > 0.0 => builder.emit_elementwise(node, "", LeakyRelu { slope: one }, &x),
        _ => with_slopes(builder, node, &x, &slope),
    }
}

/// Computes `max(x, 0) - slope * max(-x, 0)` for slopes of any sign, one for each channel.
fn with_slopes(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    x: &Activation,
    slope: &ConstTensor,
) -> ReadResult<Activation> {
    let [positive, negative] = compose::positive_and_negative_parts(builder, node, x)?;
    let negative = compose::with_constant(builder, node, ".slope", &negative, slope, |slope| (-slope, 0.0))?;
    compose::add(builder, node, &[positive, negative])
}

/// Computes `max(x, 0) - slope * max(-x, 0)` for slopes that the network computes.
fn with_computed_slopes(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    x: &Activation,
    slope: &Activation,
) -> ReadResult<Activation> {
    let [positive, negative] = compose::positive_and_negative_parts(builder, node, x)?;
    let product = compose::multiply(builder, node, &negative, slope)?;
    let negative = compose::negate(builder, node, &product)?;
    compose::add(builder, node, &[positive, negative])
}

/// Elu. Attribute: `alpha` (1 by default).
pub fn elu(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    exponential_unit(builder, node, &x, node.float("alpha", 1.0)?)
}

/// Selu. Attributes: `alpha` (1.6732632 by default), `gamma` (1.050701 by default).
pub fn selu(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    let y = exponential_unit(builder, node, &x, node.float("alpha", 1.673_263_2)?)?;
    let gamma = ConstTensor::scalar(node.float("gamma", 1.050_701)?);
    compose::scale(builder, node, ".gamma", &y, &gamma)
}

/// Computes `max(x, 0) + alpha * (exp(min(x, 0)) - 1)`, with `exp(x) = s / (1 - s)` for the sigmoid s of x.
fn exponential_unit(builder: &mut GraphBuilder, node: &OnnxNode, x: &Activation, alpha: f32) -> ReadResult<Activation> {
    let [positive, negative] = compose::positive_and_negative_parts(builder, node, x)?;
    // For n = max(-x, 0), the sigmoid of n is 1 - s.
    let sigmoid = builder.emit_elementwise(node, ".sigmoid", Sigmoid {}, &negative)?;
    let inverse = compose::power(builder, node, ".inverse", &sigmoid, -1.0)?;
    // s / (1 - s) - 1 = 1 / (1 - s) - 2.
    let alpha = ConstTensor::scalar(alpha);
    let negative = compose::with_constant(builder, node, ".alpha", &inverse, &alpha, |alpha| (alpha, alpha * -2.0))?;
    compose::add(builder, node, &[positive, negative])
}
