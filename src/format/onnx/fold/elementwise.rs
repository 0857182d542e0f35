//! Arithmetic and functions of constants, element by element.

use super::super::builder::GraphBuilder;
use super::super::const_tensor::{ConstData, ConstTensor, broadcast, broadcast_index};
use super::super::node::{OnnxNode, ReadError, ReadResult, unsupported};
use super::super::number_types::{SmallFloat, power_of_two};
use super::super::proto::DataType;
use crate::tensor::Tensor;

/// A function of two numbers; on integers, `None` for an overflow or a division by zero.
#[derive(Clone, Copy)]
pub struct Binary {
    floats: fn(f32, f32) -> f32,
    integers: fn(i64, i64) -> Option<i64>,
}

pub const ADD: Binary = Binary { floats: |x, y| x + y, integers: i64::checked_add };
pub const MUL: Binary = Binary { floats: |x, y| x * y, integers: i64::checked_mul };
const SUB: Binary = Binary { floats: |x, y| x - y, integers: i64::checked_sub };
const DIV: Binary = Binary { floats: |x, y| x / y, integers: i64::checked_div };
const MAX: Binary = Binary { floats: f32::max, integers: |x, y| Some(x.max(y)) };
const MIN: Binary = Binary { floats: f32::min, integers: |x, y| Some(x.min(y)) };
const POW: Binary = Binary {
    floats: |x, y| f64::from(x).powf(f64::from(y)) as f32,
    integers: |x, y| u32::try_from(y).ok().and_then(|y| x.checked_pow(y)),
};

/// Add.
pub fn add(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    over_inputs(builder, node, ADD)
}

/// Sub.
pub fn sub(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    over_inputs(builder, node, SUB)
}

/// Mul.
pub fn mul(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    over_inputs(builder, node, MUL)
}

/// Div; integers are divided towards zero.
pub fn div(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    over_inputs(builder, node, DIV)
}

/// Sum of any number of inputs.
pub fn sum(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    over_inputs(builder, node, ADD)
}

/// Max of any number of inputs.
pub fn max(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    over_inputs(builder, node, MAX)
}

/// Min of any number of inputs.
pub fn min(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    over_inputs(builder, node, MIN)
}

/// Pow; the types may differ, and the result has the type of the base.
pub fn pow(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    let (base, exponent) = (builder.constant(node, 0)?, builder.constant(node, 1)?);
    let kind = base.data.data_type();
    if kind == exponent.data.data_type() {
        return binary(builder, node, POW, &base, &exponent);
    }
    let [base, exponent] = [base, exponent].map(|x| ConstTensor::from(x.into_tensor()));
    let shape = broadcast_shape(builder, node, &base, &exponent)?;
    let (Some(x), Some(y)) = (base.as_floats(), exponent.as_floats()) else { unreachable!("converted above") };
    let powers = positions(&shape, &base, &exponent).map(|(i, j)| f64::from(x[i]).powf(f64::from(y[j])));
    let data = match kind {
        DataType::Float => ConstData::Float(powers.map(|v| v as f32).collect()),
        _ => ConstData::from_integers(powers.map(|v| v as i64).collect(), kind),
    };
    Ok(ConstTensor { shape, data })
}

/// Applies a function from the first input to the last.
fn over_inputs(builder: &mut GraphBuilder, node: &OnnxNode, function: Binary) -> ReadResult<ConstTensor> {
    let first = builder.constant(node, 0)?;
    (1..node.input_count()).try_fold(first, |a, i| {
        let b = builder.constant(node, i)?;
        binary(builder, node, function, &a, &b)
    })
}

/// Returns the shape to which two constants broadcast, and counts a constant of this shape against the budget.
fn broadcast_shape(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    a: &ConstTensor,
    b: &ConstTensor,
) -> ReadResult<Vec<usize>> {
    let Some(shape) = broadcast(&a.shape, &b.shape) else {
        return Err(node.invalid("shapes", "two that broadcast", format!("{:?} and {:?}", a.shape, b.shape)));
    };
    builder.charge(&shape, 8)?;
    Ok(shape)
}

/// Returns the flat positions in `a` and `b` of each element of the shape to which they broadcast.
fn positions<'s>(
    shape: &'s [usize],
    a: &'s ConstTensor,
    b: &'s ConstTensor,
) -> impl Iterator<Item = (usize, usize)> + 's {
    let at = |i: usize| (broadcast_index(i, shape, &a.shape), broadcast_index(i, shape, &b.shape));
    (0..shape.iter().product()).map(at)
}

/// Applies a function to two constants of one type, which broadcast.
pub fn binary(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    function: Binary,
    a: &ConstTensor,
    b: &ConstTensor,
) -> ReadResult<ConstTensor> {
    let shape = broadcast_shape(builder, node, a, b)?;
    let pairs = positions(&shape, a, b);
    let kind = a.data.data_type();
    let data = match (&a.data, &b.data) {
        (ConstData::Float(x), ConstData::Float(y)) => {
            ConstData::Float(pairs.map(|(i, j)| (function.floats)(x[i], y[j])).collect())
        }
        (_, other) if kind == other.data_type() => {
            let (Some(x), Some(y)) = (a.to_integers(), b.to_integers()) else {
                return unsupported("arithmetic on these types");
            };
            // uint64 is held in `i64` and could not wrap around.
            let fits = |v: &i64| kind != DataType::Uint64 || *v >= 0;
            let value = |(i, j): (usize, usize)| (function.integers)(x[i], y[j]).filter(fits);
            let values: Option<Vec<i64>> = pairs.map(value).collect();
            let overflow = || ReadError::Unsupported("arithmetic that overflows or divides by zero".into());
            ConstData::from_integers(values.ok_or_else(overflow)?, kind)
        }
        _ => return unsupported("arithmetic on these types"),
    };
    Ok(ConstTensor { shape, data })
}

/// Clip: bounds are the attributes `min` and `max` before operator set 11, and inputs 1 and 2 from then on. The upper
/// bound wins over a larger lower bound.
pub fn clip(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    let mut x = builder.constant(node, 0)?;
    for (i, name, function) in [(1, "min", MAX), (2, "max", MIN)] {
        let bound = match node.opset {
            ..11 => node.maybe_float(name)?.map(ConstTensor::scalar),
            _ => builder.maybe_constant(node, i)?,
        };
        if let Some(bound) = bound {
            x = binary(builder, node, function, &x, &bound)?;
        }
    }
    Ok(x)
}

/// Applies a function to each float.
fn unary(builder: &mut GraphBuilder, node: &OnnxNode, function: fn(f32) -> f32) -> ReadResult<ConstTensor> {
    let x = builder.constant(node, 0)?;
    builder.charge(&x.shape, 8)?;
    let Some(values) = x.as_floats() else { return unsupported("a function of integers") };
    let data = ConstData::Float(values.iter().map(|&v| function(v)).collect());
    Ok(ConstTensor { shape: x.shape, data })
}

/// Applies a function to each number, in its type.
fn unary_of_any_type(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    floats: fn(f32) -> f32,
    integers: fn(i64) -> i64,
) -> ReadResult<ConstTensor> {
    let x = builder.constant(node, 0)?;
    builder.charge(&x.shape, 8)?;
    let data = match (x.as_floats(), x.to_integers()) {
        (_, Some(values)) => ConstData::from_integers(values.into_iter().map(integers).collect(), x.data.data_type()),
        (values, None) => ConstData::Float(values.unwrap_or_default().iter().map(|&v| floats(v)).collect()),
    };
    Ok(ConstTensor { shape: x.shape, data })
}

/// The exponential, rounded once.
pub fn exp_of(v: f32) -> f32 {
    f64::from(v).exp() as f32
}

/// Neg.
pub fn neg(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    unary_of_any_type(builder, node, |v| -v, i64::wrapping_neg)
}

/// Abs.
pub fn abs(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    unary_of_any_type(builder, node, f32::abs, i64::wrapping_abs)
}

/// Sqrt.
pub fn sqrt(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    unary(builder, node, f32::sqrt)
}

/// Reciprocal.
pub fn reciprocal(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    unary(builder, node, f32::recip)
}

/// Exp.
pub fn exp(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    unary(builder, node, exp_of)
}

/// Relu.
pub fn relu(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    unary(builder, node, |v| v.max(0.0))
}

/// Sigmoid.
pub fn sigmoid(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    unary(builder, node, |v| 1.0 / (1.0 + exp_of(-v)))
}

/// Softplus.
pub fn softplus(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    unary(builder, node, |v| (1.0 + exp_of(v)).ln())
}

/// Tanh.
pub fn tanh(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    unary(builder, node, |v| 1.0 - 2.0 / (1.0 + exp_of(2.0 * v)))
}

/// Cast to the data type of the attribute `to`. Floats beyond the largest number of a float of 8 bits or fewer saturate
/// unless `saturate` is 0 (operator set 19); `round_mode` is float8e8m0's, "up" by default (operator set 24).
pub fn cast(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    let x = builder.constant(node, 0)?;
    builder.charge(&x.shape, 8)?;
    let to = node.int("to", 0)?;
    let kind = i32::try_from(to).ok().and_then(|to| DataType::try_from(to).ok());
    let Some(kind) = kind.filter(|&kind| kind != DataType::Undefined) else {
        return unsupported(format!("attribute `to`: data type {to}"));
    };
    let saturate = node.flag("saturate", true)?;
    let round: &dyn Fn(f32) -> f32 = match kind {
        DataType::Float | DataType::Double => &|v| v,
        DataType::Float16 => &|v| half::f16::from_f32(v).to_f32(),
        DataType::Bfloat16 => &|v| half::bf16::from_f32(v).to_f32(),
        DataType::Float8e8m0 => {
            let mode = node.string("round_mode")?.unwrap_or_else(|| "up".into());
            &move |v| power_of_two(v, &mode)
        }
        _ => match SmallFloat::of(kind) {
            Some(small) => &move |v| small.round(v, saturate),
            None => return Ok(cast_to_integers(x, kind)),
        },
    };
    let Tensor { shape, data } = x.into_tensor();
    Ok(ConstTensor { shape, data: ConstData::Float(data.into_iter().map(round).collect()) })
}

/// Converts to integers: floats lose their fraction, and become true where they are not zero.
fn cast_to_integers(x: ConstTensor, kind: DataType) -> ConstTensor {
    let whole = |v: f32| if kind == DataType::Bool { i64::from(v != 0.0) } else { v as i64 };
    let values = match (x.as_floats(), x.to_integers()) {
        (_, Some(values)) => values,
        (values, None) => values.unwrap_or_default().iter().map(|&v| whole(v)).collect(),
    };
    ConstTensor { shape: x.shape, data: ConstData::from_integers(values, kind) }
}
