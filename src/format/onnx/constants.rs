//! Operators whose inputs are all known while reading: shape arithmetic and weights that a converter computes.

use super::arithmetic;
use super::host::{Data, Host, each};
use super::maxima;
use super::node::{Op, Step, Stop, unsupported};
use super::numbers::{SmallFloat, power_of_two};
use super::proto::DataType;
use super::quantized;
use super::reader::{BATCH, Reader, Val};
use crate::tensor::Tensor;

/// Whether [`evaluate`] knows an operator.
pub(super) fn knows(kind: &str) -> bool {
    const KNOWN: &[&str] = &[
        "Abs",
        "Add",
        "Cast",
        "Clip",
        "Concat",
        "Constant",
        "ConstantOfShape",
        "DequantizeLinear",
        "Div",
        "DynamicQuantizeLinear",
        "Exp",
        "Flatten",
        "Gather",
        "Gemm",
        "Identity",
        "LogSoftmax",
        "MatMul",
        "Max",
        "MaxPool",
        "Min",
        "Mul",
        "Neg",
        "Pad",
        "Pow",
        "QLinearMatMul",
        "QuantizeLinear",
        "Reciprocal",
        "ReduceMean",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Shape",
        "Sigmoid",
        "Slice",
        "Softmax",
        "Softplus",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Sum",
        "Tanh",
        "Tile",
        "Transpose",
        "Unsqueeze",
    ];
    KNOWN.contains(&kind)
}

/// The values of an operator of constants.
pub(super) fn evaluate<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Vec<Val<'a>>> {
    let values = match op.proto.op_type.as_str() {
        "DequantizeLinear" => return Ok(vec![quantized::dequantize_constant(reader, op)?]),
        "MaxPool" => maxima::max_pool(reader, op)?,
        "Split" => arithmetic::split(reader, op)?,
        "DynamicQuantizeLinear" => quantized::quantize_dynamically(reader, op)?,
        _ => vec![value(reader, op)?],
    };
    Ok(values.into_iter().map(Val::Const).collect())
}

fn value<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Host> {
    match op.proto.op_type.as_str() {
        "Constant" => constant(reader, op),
        "ConstantOfShape" => constant_of_shape(reader, op),
        "Shape" => {
            let shape = reader.constant(op, 0)?.shape;
            shape_slice(op, shape.iter().map(|&d| d as i64).collect())
        }
        "Identity" => reader.constant(op, 0),
        "Cast" => {
            let x = reader.constant(op, 0)?;
            reader.charge(&x.shape, 8)?;
            cast(op, x)
        }
        "Concat" => concat(reader, op),
        "Tile" => tile(reader, op),
        "Gather" => gather(reader, op),
        "Slice" => slice(reader, op),
        "Transpose" => transpose(reader, op),
        "QuantizeLinear" => quantized::quantize_constant(reader, op),
        "QLinearMatMul" => quantized::multiply_constants(reader, op),
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => {
            let x = reader.constant(op, 0)?;
            let from: Vec<i64> = x.shape.iter().map(|&d| d as i64).collect();
            let shape = reshaped(reader, op, &from)?;
            let shape = shape.iter().map(|&d| size(d)).collect::<Step<Vec<usize>>>()?;
            reader.charge(&shape, 0)?;
            Ok(Host { shape, data: x.data })
        }
        _ => arithmetic::evaluate(reader, op),
    }
}

fn constant<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Host> {
    if let Some(tensor) = op.tensor("value")? {
        return reader.decode(tensor);
    }
    if let Some(value) = op.maybe_float("value_float")? {
        return Ok(Host::scalar(value));
    }
    if let Some(value) = op.maybe_int("value_int")? {
        return Ok(Host::int(value));
    }
    if let Some(values) = op.ints("value_ints") {
        return Ok(Host::ints(values.to_vec()));
    }
    match op.attribute("value_floats") {
        Some(a) => Ok(Host { shape: vec![a.floats.len()], data: Data::Float(a.floats.clone()) }),
        None => unsupported("expected a constant of numbers, got another kind"),
    }
}

fn constant_of_shape<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Host> {
    let shape = reader.maybe_ints(op, 0)?.ok_or_else(|| op.invalid("input 0", "a shape", "none"))?;
    let shape = shape.into_iter().map(size).collect::<Step<Vec<usize>>>()?;
    reader.charge(&shape, 8)?;
    let value = match op.tensor("value")? {
        Some(tensor) => reader.decode(tensor)?.data,
        None => Data::Float(vec![0.0]),
    };
    if value.len() != 1 {
        return Err(op.invalid("attribute `value`", "one value", value.len()));
    }
    let n = shape.iter().product();
    Ok(Host { shape, data: each!(value, v => vec![v[0]; n]) })
}

/// A number as the size of a dimension.
fn size(dim: i64) -> Step<usize> {
    match dim {
        d if d >= BATCH / 2 => unsupported("a constant whose shape depends on the batch size"),
        d => usize::try_from(d).map_err(|_| Stop::Unsupported(format!("expected a size, got {d}"))),
    }
}

/// The range of a shape that the attributes `start` and `end` choose (opset 15).
pub(super) fn shape_slice(op: &Op, shape: Vec<i64>) -> Step<Host> {
    let rank = shape.len() as i64;
    let clamp = |i: i64| if i < 0 { i.saturating_add(rank) } else { i }.clamp(0, rank) as usize;
    let (start, end) = (clamp(op.int("start", 0)?), clamp(op.int("end", rank)?));
    Ok(Host::ints(shape.get(start..end).unwrap_or_default().to_vec()))
}

fn cast(op: &Op, x: Host) -> Step<Host> {
    let to = i32::try_from(op.int("to", 0)?).ok().and_then(|to| DataType::try_from(to).ok());
    let Some(to) = to.filter(|&to| to != DataType::Undefined) else {
        return unsupported(format!("attribute `to`: data type {}", op.int("to", 0)?));
    };
    let saturate = op.int("saturate", 1)? != 0;
    let float: &dyn Fn(f32) -> f32 = match to {
        DataType::Float | DataType::Double => &|v| v,
        DataType::Float16 => &|v| half::f16::from_f32(v).to_f32(),
        DataType::Bfloat16 => &|v| half::bf16::from_f32(v).to_f32(),
        DataType::Float8e8m0 => {
            let mode = op.string("round_mode")?.unwrap_or_else(|| "up".into());
            &move |v| power_of_two(v, &mode)
        }
        _ => match SmallFloat::of(to) {
            Some(small) => &move |v| small.round(v, saturate),
            None => {
                let whole = |v: f32| if to == DataType::Bool { i64::from(v != 0.0) } else { v as i64 };
                let data = match (&x.data, x.to_ints()) {
                    (Data::Float(v), _) => Data::whole(v.iter().map(|&v| whole(v)).collect(), to),
                    (_, ints) => Data::whole(ints.unwrap_or_default(), to),
                };
                return Ok(Host { shape: x.shape, data });
            }
        },
    };
    let Tensor { shape, data } = x.into_tensor();
    Ok(Host { shape, data: Data::Float(data.into_iter().map(float).collect()) })
}

fn concat<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Host> {
    let parts: Vec<Host> = (0..op.proto.input.len()).map(|i| reader.constant(op, i)).collect::<Step<_>>()?;
    let Some(first) = parts.first() else { return Err(op.invalid("inputs", "at least one", "none")) };
    let axis = op.axis(op.int("axis", 0)?, first.shape.len())?;
    let others = |s: &[usize]| (s.len() == first.shape.len()).then(|| [&s[..axis], &s[axis + 1..]].concat());
    let same_type = |p: &Host| p.data.kind() == first.data.kind();
    if !parts.iter().all(|p| same_type(p) && others(&p.shape) == others(&first.shape)) {
        return Err(op.invalid("inputs", "one type, and shapes that differ in the axis only", "others"));
    }
    let mut shape = first.shape.clone();
    shape[axis] = parts.iter().map(|p| p.shape[axis]).sum();
    reader.charge(&shape, 8)?;
    let outer: usize = shape[..axis].iter().product();
    let mut data = first.data.gather(&[]);
    for o in 0..outer {
        for part in &parts {
            let run = part.data.len() / outer;
            append(&mut data, &part.data, o * run, run);
        }
    }
    Ok(Host { shape, data })
}

fn append(to: &mut Data, from: &Data, start: usize, count: usize) {
    match (to, from) {
        (Data::Float(to), Data::Float(from)) => to.extend_from_slice(&from[start..][..count]),
        (Data::Int(to, _), Data::Int(from, _)) => to.extend_from_slice(&from[start..][..count]),
        (Data::Int8(to), Data::Int8(from)) => to.extend_from_slice(&from[start..][..count]),
        (Data::Uint8(to), Data::Uint8(from)) => to.extend_from_slice(&from[start..][..count]),
        _ => unreachable!("one type was checked"),
    }
}

/// Each axis as often as it is said.
fn tile<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Host> {
    let (x, repeats) = (reader.constant(op, 0)?, reader.maybe_ints(op, 1)?.unwrap_or_default());
    let repeated = |(&d, &times): (&usize, &i64)| usize::try_from(times).ok().and_then(|times| d.checked_mul(times));
    let shape: Option<Vec<usize>> = x.shape.iter().zip(&repeats).map(repeated).collect();
    let Some(shape) = shape.filter(|shape| shape.len() == repeats.len() && repeats.len() == x.shape.len()) else {
        return Err(op.invalid("input 1", format!("{} counts", x.shape.len()), format!("{repeats:?}")));
    };
    reader.charge(&shape, 16)?;
    Ok(Host { data: x.data.gather(&positions(&shape, &x.shape, |i, a| i % x.shape[a])), shape })
}

fn gather<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Host> {
    let (x, at) = (reader.constant(op, 0)?, reader.constant(op, 1)?);
    let Some(indices) = at.to_ints() else { return Err(op.invalid("input 1", "integers", "floats")) };
    let axis = op.axis(op.int("axis", 0)?, x.shape.len())?;
    let indices = indices.into_iter().map(|i| op.axis(i, x.shape[axis])).collect::<Step<Vec<usize>>>()?;
    let shape = [&x.shape[..axis], &at.shape, &x.shape[axis + 1..]].concat();
    reader.charge(&shape, 16)?;
    let outer: usize = x.shape[..axis].iter().product();
    let inner: usize = x.shape[axis + 1..].iter().product();
    let mut positions = vec![];
    for o in 0..outer {
        for &i in &indices {
            positions.extend((0..inner).map(|p| (o * x.shape[axis] + i) * inner + p));
        }
    }
    Ok(Host { shape, data: x.data.gather(&positions) })
}

/// A range of one axis as a slice takes it.
#[derive(Clone, Copy)]
pub(super) struct Range {
    pub start: i64,
    pub end: i64,
    pub step: i64,
}

impl Range {
    /// First index and count, for an axis of `size`.
    pub(super) fn resolve(self, size: usize) -> (i64, usize) {
        let n = size as i64;
        let from_end = |i: i64| if i < 0 { i.saturating_add(n) } else { i };
        let (low, high) = if self.step > 0 { (0, n) } else { (-1, n - 1) };
        let start = from_end(self.start).clamp(low.max(0), high.max(0));
        let end = from_end(self.end).clamp(low, high);
        let distance = if self.step > 0 { end - start } else { start - end };
        (start, (distance.max(0) as u64).div_ceil(self.step.unsigned_abs()) as usize)
    }
}

/// The ranges of every axis of a slice over `rank` dimensions; attributes before opset 10, inputs since.
pub(super) fn ranges<'a>(reader: &mut Reader<'a>, op: &Op<'a>, rank: usize) -> Step<Vec<Option<Range>>> {
    let (starts, ends, axes, steps) = if op.opset < 10 {
        let ints = |name| op.ints(name).map(<[i64]>::to_vec);
        (ints("starts"), ints("ends"), ints("axes"), None)
    } else {
        let mut ints = |i| reader.maybe_ints(op, i);
        (ints(1)?, ints(2)?, ints(3)?, ints(4)?)
    };
    let (starts, ends) = (starts.unwrap_or_default(), ends.unwrap_or_default());
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] || steps.contains(&0) {
        return Err(op.invalid("ranges", "as many starts as ends, axes and non-zero steps", "others"));
    }
    let mut ranges = vec![None; rank];
    for (i, &axis) in axes.iter().enumerate() {
        ranges[op.axis(axis, rank)?] = Some(Range { start: starts[i], end: ends[i], step: steps[i] });
    }
    Ok(ranges)
}

fn slice<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Host> {
    let x = reader.constant(op, 0)?;
    let ranges = ranges(reader, op, x.shape.len())?;
    let full = Range { start: 0, end: i64::MAX, step: 1 };
    let resolved: Vec<(i64, usize, i64)> = (ranges.iter().zip(&x.shape))
        .map(|(range, &size)| {
            let range = range.unwrap_or(full);
            let (start, count) = range.resolve(size);
            (start, count, range.step)
        })
        .collect();
    let shape: Vec<usize> = resolved.iter().map(|r| r.1).collect();
    reader.charge(&shape, 16)?;
    let source = |i: usize, a: usize| (resolved[a].0 + i as i64 * resolved[a].2) as usize;
    Ok(Host { data: x.data.gather(&positions(&shape, &x.shape, source)), shape })
}

fn transpose<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Host> {
    let x = reader.constant(op, 0)?;
    let perm = permutation(op, x.shape.len())?;
    transposed_host(reader, op, &x, &perm)
}

/// The axes of a constant in another order.
pub(super) fn transposed_host(reader: &mut Reader, op: &Op, x: &Host, perm: &[usize]) -> Step<Host> {
    if perm.len() != x.shape.len() {
        return Err(op.invalid("input", format!("{} dimensions", perm.len()), x.shape.len()));
    }
    let shape: Vec<usize> = perm.iter().map(|&a| x.shape[a]).collect();
    reader.charge(&shape, 16)?;
    // Strides of the input in the order of the output's axes.
    let stride = |axis: usize| x.shape[axis + 1..].iter().product::<usize>();
    let strides: Vec<usize> = perm.iter().map(|&a| stride(a)).collect();
    let position = |mut i: usize| {
        let mut at = 0;
        for a in (0..shape.len()).rev() {
            at += i % shape[a] * strides[a];
            i /= shape[a];
        }
        at
    };
    let positions: Vec<usize> = (0..x.data.len()).map(position).collect();
    Ok(Host { data: x.data.gather(&positions), shape })
}

/// The axes of a transpose; reversed where the attribute is missing.
pub(super) fn permutation(op: &Op, rank: usize) -> Step<Vec<usize>> {
    let Some(perm) = op.ints("perm") else { return Ok((0..rank).rev().collect()) };
    let perm = perm.iter().map(|&a| op.axis(a, rank)).collect::<Step<Vec<usize>>>()?;
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank) {
        return Err(op.invalid(
            "attribute `perm`",
            format!("each of 0 to {} once", rank.max(1) - 1),
            format!("{perm:?}"),
        ));
    }
    Ok(perm)
}

/// For each position of `shape`, the flat position in `from` of the coordinates that `source` names.
fn positions(shape: &[usize], from: &[usize], source: impl Fn(usize, usize) -> usize) -> Vec<usize> {
    let n: usize = shape.iter().product();
    let position = |mut i: usize| {
        let (mut at, mut stride) = (0, 1);
        for a in (0..shape.len()).rev() {
            at += source(i % shape[a], a) * stride;
            i /= shape[a];
            stride *= from[a];
        }
        at
    };
    (0..n).map(position).collect()
}

/// The shape that Reshape, Squeeze, Unsqueeze or Flatten gives to a value of shape `from`, in which the batch may stand
/// as [`BATCH`].
pub(super) fn reshaped<'a>(reader: &mut Reader<'a>, op: &Op<'a>, from: &[i64]) -> Step<Vec<i64>> {
    match op.proto.op_type.as_str() {
        "Reshape" => reshape(reader, op, from),
        "Flatten" => {
            let axis = op.int("axis", 1)?;
            let axis = if axis == from.len() as i64 { from.len() } else { op.axis(axis, from.len().max(1))? };
            Ok(vec![product(&from[..axis])?, product(&from[axis..])?])
        }
        "Squeeze" => {
            let axes = axes(reader, op, from.len())?;
            let drop = |a: usize| axes.as_ref().map_or(from[a] == 1, |axes| axes.contains(&a));
            if let Some(a) = (0..from.len()).find(|&a| drop(a) && from[a] != 1) {
                return Err(op.invalid(format!("axis {a}"), "a dimension of 1", from[a]));
            }
            Ok((0..from.len()).filter(|&a| !drop(a)).map(|a| from[a]).collect())
        }
        _ => {
            let list = axes_list(op, reader)?;
            let rank = from.len() + list.len();
            let axes = list.iter().map(|&a| op.axis(a, rank)).collect::<Step<Vec<usize>>>()?;
            let mut rest = from.iter();
            let dim = |a: usize| if axes.contains(&a) { Some(1) } else { rest.next().copied() };
            (0..rank)
                .map(dim)
                .collect::<Option<_>>()
                .ok_or_else(|| op.invalid("axes", "each once", format!("{axes:?}")))
        }
    }
}

/// The attribute or (since opset 13) input `axes`, as it stands.
fn axes_list<'a>(op: &Op<'a>, reader: &mut Reader<'a>) -> Step<Vec<i64>> {
    let axes = if op.opset < 13 { op.ints("axes").map(<[i64]>::to_vec) } else { reader.maybe_ints(op, 1)? };
    axes.ok_or_else(|| op.invalid("axes", "a list", "none"))
}

fn axes<'a>(reader: &mut Reader<'a>, op: &Op<'a>, rank: usize) -> Step<Option<Vec<usize>>> {
    let given = if op.opset < 13 { op.ints("axes").is_some() } else { op.input(1).is_some() };
    if !given {
        return Ok(None);
    }
    axes_list(op, reader)?.into_iter().map(|a| op.axis(a, rank)).collect::<Step<_>>().map(Some)
}

fn product(dims: &[i64]) -> Step<i64> {
    let overflow = || Stop::Unsupported("a product of dimensions that overflows".into());
    dims.iter().try_fold(1i64, |n, &d| n.checked_mul(d)).ok_or_else(overflow)
}

fn reshape<'a>(reader: &mut Reader<'a>, op: &Op<'a>, from: &[i64]) -> Step<Vec<i64>> {
    let target = reader.maybe_ints(op, 1)?.ok_or_else(|| op.invalid("input 1", "a shape", "none"))?;
    let keep_zeros = op.int("allowzero", 0)? != 0;
    let mut shape = vec![];
    for (a, &d) in target.iter().enumerate() {
        let copied = || from.get(a).copied().ok_or_else(|| op.invalid("shape", "0 for an existing dimension", a));
        shape.push(if d == 0 && !keep_zeros { copied()? } else { d });
    }
    // A batch size that the file fixes is free again here.
    if from.first() == Some(&BATCH) && shape.first().is_some_and(|&d| reader.is_batch(d)) {
        shape[0] = BATCH;
    }
    let total = product(from)?;
    let misfit = || Stop::Unsupported(format!("shape: expected the elements of {}, got {}", text(from), text(&target)));
    let free: Vec<usize> = (0..shape.len()).filter(|&a| shape[a] == -1).collect();
    match free[..] {
        [] => {}
        [a] => {
            let rest: Vec<i64> = shape.iter().copied().filter(|&d| d != -1).collect();
            let rest = product(&rest)?;
            shape[a] = total.checked_rem(rest).filter(|&r| r == 0).map(|_| total / rest).ok_or_else(misfit)?;
        }
        _ => return Err(misfit()),
    }
    if shape.iter().any(|&d| d < 0) || product(&shape)? != total {
        return Err(misfit());
    }
    Ok(shape)
}

/// A shape as messages show it.
pub(super) fn text(shape: &[i64]) -> String {
    let dim = |d: &i64| if *d == BATCH { "N".to_string() } else { d.to_string() };
    shape.iter().map(dim).collect::<Vec<_>>().join("x")
}
