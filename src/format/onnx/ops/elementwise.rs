//! Arithmetic and functions of values, element by element, and casts.

use super::super::builder::GraphBuilder;
use super::super::const_tensor::ConstTensor;
use super::super::node::{OnnxNode, ReadResult, unsupported};
use super::super::proto::DataType;
use super::super::value::{Activation, OnnxValue};
use super::compose::{self, Operand, operand};
use super::quantize;
use crate::layers::{Clip, Relu};

/// Takes the two inputs of an operator as operands. Before operator set 7, the attribute `axis` says where the shape of
/// a constant second operand begins in the first one's; ones are then added at its right.
fn two_operands(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<[Operand; 2]> {
    let operands = (0..node.input_count()).map(|i| operand(builder, node, i)).collect::<ReadResult<Vec<_>>>()?;
    let Ok(mut operands) = <[Operand; 2]>::try_from(operands) else {
        return Err(node.invalid("inputs", 2, node.input_count()));
    };
    if let [Operand::Computed(x), Operand::Constant(c)] = &mut operands
        && node.opset < 7
        && node.attribute("axis").is_some()
    {
        let rank = x.dims.len() + 1;
        let end = node.axis(node.int("axis", 0)?, rank)? + c.shape.len();
        c.shape.extend(std::iter::repeat_n(1, rank.saturating_sub(end)));
    }
    Ok(operands)
}

/// Computes `scale * x + shift`, in the layer that made `x` where possible.
fn with_constant(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    x: &Activation,
    c: &ConstTensor,
    coefficients: fn(f64) -> (f64, f64),
) -> ReadResult<Activation> {
    let sole = builder.is_last_reader(node);
    compose::with_constant_folded(builder, node, x, c, coefficients, sole)
}

fn constants_only<T>() -> ReadResult<T> {
    unsupported("an operation on constants")
}

/// Add of values that broadcast, or of a value and a constant for each channel.
pub fn add(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    match two_operands(builder, node)? {
        [Operand::Computed(a), Operand::Computed(b)] => compose::add(builder, node, &[a, b]),
        [Operand::Computed(x), Operand::Constant(c)] | [Operand::Constant(c), Operand::Computed(x)] => {
            with_constant(builder, node, &x, &c, |c| (1.0, c))
        }
        [Operand::Constant(_), Operand::Constant(_)] => constants_only(),
    }
}

/// Sub, with the operands of [`add`].
pub fn sub(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    match two_operands(builder, node)? {
        [Operand::Computed(a), Operand::Computed(b)] => {
            let negative = compose::negate(builder, node, &b)?;
            compose::add(builder, node, &[a, negative])
        }
        [Operand::Computed(x), Operand::Constant(c)] => with_constant(builder, node, &x, &c, |c| (1.0, -c)),
        [Operand::Constant(c), Operand::Computed(x)] => with_constant(builder, node, &x, &c, |c| (-1.0, c)),
        [Operand::Constant(_), Operand::Constant(_)] => constants_only(),
    }
}

/// Mul, with the operands of [`add`]. A product with the scale of a DynamicQuantizeLinear ends in floats.
pub fn mul<'a>(builder: &mut GraphBuilder<'a>, node: &OnnxNode) -> ReadResult<Vec<OnnxValue<'a>>> {
    if let Some(value) = quantize::rescaled(builder, node)? {
        return Ok(vec![value]);
    }
    let y = match two_operands(builder, node)? {
        [Operand::Computed(a), Operand::Computed(b)] => compose::multiply(builder, node, &a, &b),
        [Operand::Computed(x), Operand::Constant(c)] | [Operand::Constant(c), Operand::Computed(x)] => {
            with_constant(builder, node, &x, &c, |c| (c, 0.0))
        }
        [Operand::Constant(_), Operand::Constant(_)] => constants_only(),
    };
    Ok(vec![OnnxValue::Float(y?)])
}

/// Div, with the operands of [`add`]; a divisor that the network computes must be positive.
pub fn div(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    match two_operands(builder, node)? {
        [Operand::Computed(a), Operand::Computed(b)] => {
            let inverse = compose::power(builder, node, ".inverse", &b, -1.0)?;
            compose::multiply(builder, node, &a, &inverse)
        }
        [Operand::Constant(c), Operand::Computed(x)] => {
            let inverse = compose::power(builder, node, ".inverse", &x, -1.0)?;
            compose::scale(builder, node, "", &inverse, &c)
        }
        [Operand::Computed(x), Operand::Constant(c)] => with_constant(builder, node, &x, &c, |c| (1.0 / c, 0.0)),
        [Operand::Constant(_), Operand::Constant(_)] => constants_only(),
    }
}

/// Sum of any number of values and constants.
pub fn sum(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let (mut computed, mut constants) = (vec![], vec![]);
    for i in 0..node.input_count() {
        match operand(builder, node, i)? {
            Operand::Computed(x) => computed.push(x),
            Operand::Constant(c) => constants.push(c),
        }
    }
    let mut y = match &computed[..] {
        [] => return unsupported("a sum of constants"),
        [one] => one.share(),
        many => compose::add(builder, node, many)?,
    };
    for c in constants {
        y = compose::shift(builder, node, ".shift", &y, &c)?;
    }
    Ok(y)
}

/// Max of values and of one constant number.
pub fn max(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    extreme(builder, node, Extreme::Max)
}

/// Min of values and of one constant number.
pub fn min(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    extreme(builder, node, Extreme::Min)
}

#[derive(Clone, Copy, PartialEq)]
enum Extreme {
    Max,
    Min,
}

fn extreme(builder: &mut GraphBuilder, node: &OnnxNode, which: Extreme) -> ReadResult<Activation> {
    let (mut y, mut bound): (Option<Activation>, _) = (None, None);
    for i in 0..node.input_count() {
        y = match (operand(builder, node, i)?, y) {
            (Operand::Computed(x), None) => Some(x),
            (Operand::Computed(x), Some(y)) => Some(extreme_of_two(builder, node, which, &y, &x)?),
            (Operand::Constant(c), y) => {
                bound = Some(c);
                y
            }
        };
    }
    match (y, bound.as_ref().map(ConstTensor::as_floats)) {
        (Some(y), None) => Ok(y),
        (Some(y), Some(Some(&[bound]))) => {
            let layer = match which {
                Extreme::Max => Clip { min: bound, max: f32::MAX },
                Extreme::Min => Clip { min: f32::MIN, max: bound },
            };
            builder.emit_elementwise(node, "", layer, &y)
        }
        _ => unsupported("bounds: expected values that the network computes, and one number"),
    }
}

/// Computes the maximum as `a + max(b - a, 0)`, and the minimum as `a - max(a - b, 0)`.
fn extreme_of_two(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    which: Extreme,
    a: &Activation,
    b: &Activation,
) -> ReadResult<Activation> {
    let (from, minus) = if which == Extreme::Max { (b, a) } else { (a, b) };
    let minus = compose::negate(builder, node, minus)?;
    let difference = compose::add(builder, node, &[from.clone(), minus])?;
    let mut excess = builder.emit_elementwise(node, ".excess", Relu {}, &difference)?;
    if which == Extreme::Min {
        excess = compose::negate(builder, node, &excess)?;
    }
    compose::add(builder, node, &[a.clone(), excess])
}

/// Neg.
pub fn neg(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    compose::negate(builder, node, &x)
}

/// Abs, as `max(x, 0) + max(-x, 0)`.
pub fn abs(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    let parts = compose::positive_and_negative_parts(builder, node, &x)?;
    compose::add(builder, node, &parts)
}

/// Reciprocal of positive numbers.
pub fn reciprocal(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    compose::power(builder, node, "", &x, -1.0)
}

/// Sqrt of a value that is known to be never negative.
pub fn sqrt(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    power_of_nonnegative(builder, node, &x, 0.5)
}

/// Pow with one constant exponent: 2, or any exponent for a value that is known to be never negative.
pub fn pow(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    match builder.constant(node, 1)?.into_tensor().data[..] {
        [2.0] => compose::multiply(builder, node, &x, &x),
        [exponent] => power_of_nonnegative(builder, node, &x, exponent),
        _ => unsupported("exponent: expected one number"),
    }
}

fn power_of_nonnegative(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    x: &Activation,
    exponent: f32,
) -> ReadResult<Activation> {
    if !builder.is_never_negative(builder.preferred_alias(x)) {
        return unsupported(format!(
            "power {exponent}: expected numbers that are never negative, such as sums of squares"
        ));
    }
    compose::power(builder, node, "", x, exponent)
}

/// Cast of floats or integers to float, float16 or double, all of which the network holds as floats.
pub fn cast<'a>(builder: &mut GraphBuilder<'a>, node: &OnnxNode) -> ReadResult<Vec<OnnxValue<'a>>> {
    let to = node.int("to", 0)?;
    // bfloat16 would lose half of the digits.
    let is = |kinds: &[DataType]| kinds.iter().any(|&kind| to == i64::from(i32::from(kind)));
    let is_float = is(&[DataType::Float, DataType::Float16, DataType::Double]);
    match builder.input(node, 0)? {
        OnnxValue::Float(x) | OnnxValue::Integer(x) if is_float => Ok(vec![OnnxValue::Float(x.share())]),
        OnnxValue::DynamicQuantized(x, source) if is(&[DataType::Float]) => {
            Ok(vec![OnnxValue::DynamicQuantized(x, source)])
        }
        _ => unsupported(format!("attribute `to`: data type {to} of a value computed by the network")),
    }
}
