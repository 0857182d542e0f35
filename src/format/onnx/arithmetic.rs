//! Arithmetic of constants: what a converter leaves to be computed of weights and shapes. As the formulas say, and no
//! faster; [`Reader::charge`] limits it.

use super::constants::transposed_host;
use super::host::{Data, Host, broadcast, broadcast_index};
use super::node::{Op, Step, Stop, unsupported};
use super::proto::DataType;
use super::reader::Reader;
use super::views;

/// The value of an operator of constants.
pub(super) fn evaluate<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Host> {
    match op.proto.op_type.as_str() {
        "Neg" | "Abs" | "Sqrt" | "Reciprocal" | "Exp" | "Relu" | "Sigmoid" | "Softplus" | "Tanh" => {
            function(reader, op)
        }
        "Clip" => clip(reader, op),
        "ReduceMean" | "ReduceSum" => reduce(reader, op),
        "MatMul" => {
            let (a, b) = (reader.constant(op, 0)?, reader.constant(op, 1)?);
            matmul(reader, op, &a, &b)
        }
        "Gemm" => gemm(reader, op),
        "Softmax" | "LogSoftmax" => softmax(reader, op),
        "Pad" => pad(reader, op),
        kind => {
            let first = reader.constant(op, 0)?;
            (1..op.proto.input.len()).try_fold(first, |a, i| {
                let b = reader.constant(op, i)?;
                pair(reader, op, kind, &a, &b)
            })
        }
    }
}

/// Of two numbers.
fn of_floats(kind: &str) -> fn(f32, f32) -> f32 {
    match kind {
        "Add" | "Sum" => |x, y| x + y,
        "Sub" => |x, y| x - y,
        "Mul" => |x, y| x * y,
        "Div" => |x, y| x / y,
        "Max" => f32::max,
        "Min" => f32::min,
        _ => |x, y| f64::from(x).powf(f64::from(y)) as f32,
    }
}

fn of_integers(kind: &str) -> fn(i64, i64) -> Option<i64> {
    match kind {
        "Add" | "Sum" => i64::checked_add,
        "Sub" => i64::checked_sub,
        "Mul" => i64::checked_mul,
        "Div" => i64::checked_div,
        "Max" => |x, y| Some(x.max(y)),
        "Min" => |x, y| Some(x.min(y)),
        _ => |x, y| u32::try_from(y).ok().and_then(|y| x.checked_pow(y)),
    }
}

fn exp(v: f32) -> f32 {
    f64::from(v).exp() as f32
}

fn pair<'a>(reader: &mut Reader<'a>, op: &Op<'a>, kind: &str, a: &Host, b: &Host) -> Step<Host> {
    let Some(shape) = broadcast(&a.shape, &b.shape) else {
        return Err(op.invalid("shapes", "two that broadcast", format!("{:?} and {:?}", a.shape, b.shape)));
    };
    reader.charge(&shape, 8)?;
    let n: usize = shape.iter().product();
    let at = |i: usize| (broadcast_index(i, &shape, &a.shape), broadcast_index(i, &shape, &b.shape));
    let own = a.data.kind();
    let data = match (&a.data, &b.data) {
        (Data::Float(x), Data::Float(y)) => {
            let f = of_floats(kind);
            Data::Float((0..n).map(at).map(|(i, j)| f(x[i], y[j])).collect())
        }
        (_, other) if own == other.kind() => {
            let (Some(x), Some(y)) = (a.to_ints(), b.to_ints()) else {
                return unsupported("arithmetic on these types");
            };
            let f = of_integers(kind);
            // What is held in 64 bits has no room to wrap around in.
            let fits = |v: &i64| own != DataType::Uint64 || *v >= 0;
            let values: Option<Vec<i64>> = (0..n).map(at).map(|(i, j)| f(x[i], y[j]).filter(fits)).collect();
            let overflow = || Stop::Unsupported("arithmetic that overflows or divides by zero".into());
            Data::whole(values.ok_or_else(overflow)?, own)
        }
        // The result has the type of the base.
        _ if kind == "Pow" => {
            let (x, y) = (a.clone().into_tensor().data, b.clone().into_tensor().data);
            let powers = (0..n).map(at).map(|(i, j)| f64::from(x[i]).powf(f64::from(y[j])));
            match own {
                DataType::Float => Data::Float(powers.map(|v| v as f32).collect()),
                _ => Data::whole(powers.map(|v| v as i64).collect(), own),
            }
        }
        _ => return unsupported("arithmetic on these types"),
    };
    Ok(Host { shape, data })
}

fn function<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Host> {
    let x = reader.constant(op, 0)?;
    reader.charge(&x.shape, 8)?;
    let kind = op.proto.op_type.as_str();
    let data = match (&x.data, x.to_ints()) {
        (Data::Float(v), _) => {
            let f: fn(f32) -> f32 = match kind {
                "Neg" => |v| -v,
                "Abs" => f32::abs,
                "Sqrt" => f32::sqrt,
                "Exp" => exp,
                "Relu" => |v| v.max(0.0),
                "Sigmoid" => |v| 1.0 / (1.0 + exp(-v)),
                "Softplus" => |v| (1.0 + exp(v)).ln(),
                "Tanh" => |v| 1.0 - 2.0 / (1.0 + exp(2.0 * v)),
                _ => f32::recip,
            };
            Data::Float(v.iter().map(|&v| f(v)).collect())
        }
        (data, Some(ints)) if matches!(kind, "Neg" | "Abs") => {
            let f = if kind == "Neg" { i64::wrapping_neg } else { i64::wrapping_abs };
            Data::whole(ints.into_iter().map(f).collect(), data.kind())
        }
        _ => return unsupported("a function of integers"),
    };
    Ok(Host { shape: x.shape, data })
}

/// Bounds as attributes before opset 11, as inputs since.
fn clip<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Host> {
    let mut x = reader.constant(op, 0)?;
    // The upper bound wins.
    for (i, name, kind) in [(1, "min", "Max"), (2, "max", "Min")] {
        let bound = match op.opset {
            ..11 => op.maybe_float(name)?.map(Host::scalar),
            _ => reader.maybe_constant(op, i)?,
        };
        if let Some(bound) = bound {
            x = pair(reader, op, kind, &x, &bound)?;
        }
    }
    Ok(x)
}

fn floats(op: &Op, host: &Host) -> Step<Vec<f32>> {
    host.to_floats().map(<[f32]>::to_vec).ok_or_else(|| op.invalid("inputs", "floats", "integers"))
}

fn reduce<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Host> {
    let x = reader.constant(op, 0)?;
    let is_sum = op.proto.op_type == "ReduceSum";
    let as_input = if is_sum { 13 } else { 18 };
    let axes = if op.opset < as_input { op.ints("axes").map(<[i64]>::to_vec) } else { reader.maybe_ints(op, 1)? };
    let axes = axes.unwrap_or_default().into_iter().map(|a| op.axis(a, x.shape.len())).collect::<Step<Vec<usize>>>()?;
    if axes.is_empty() && op.int("noop_with_empty_axes", 0)? != 0 {
        return Ok(x);
    }
    let gone = |a: usize| axes.is_empty() || axes.contains(&a);
    let kept: Vec<usize> = x.shape.iter().enumerate().map(|(a, &d)| if gone(a) { 1 } else { d }).collect();
    reader.charge(&kept, 8)?;
    let mut sums = vec![0.0f64; kept.iter().product()];
    for (i, v) in floats(op, &x)?.into_iter().enumerate() {
        sums[broadcast_index(i, &x.shape, &kept)] += f64::from(v);
    }
    let count: usize = x.shape.iter().enumerate().filter(|(a, _)| gone(*a)).map(|(_, &d)| d).product();
    let scale = if is_sum { 1.0 } else { 1.0 / count as f64 };
    let shape = match op.int("keepdims", 1)? {
        0 => (0..kept.len()).filter(|&a| !gone(a)).map(|a| kept[a]).collect(),
        _ => kept,
    };
    Ok(Host { shape, data: Data::Float(sums.into_iter().map(|s| (s * scale) as f32).collect()) })
}

/// Products of the matrices in the last two dimensions; the others broadcast.
pub(super) fn matmul(reader: &mut Reader, op: &Op, a: &Host, b: &Host) -> Step<Host> {
    let (x, y) = (floats(op, a)?, floats(op, b)?);
    // A vector is a matrix of one row, or of one column.
    let left = if a.shape.len() == 1 { vec![1, a.shape[0]] } else { a.shape.clone() };
    let right = if b.shape.len() == 1 { vec![b.shape[0], 1] } else { b.shape.clone() };
    let wrong = || op.invalid("shapes", "matrices that fit", format!("{:?} and {:?}", a.shape, b.shape));
    let ([outer @ .., m, k], [outer_right @ .., k_right, n]) = (&left[..], &right[..]) else { return Err(wrong()) };
    let batch = broadcast(outer, outer_right).filter(|_| k == k_right).ok_or_else(wrong)?;
    reader.charge(&[&batch[..], &[*m, *n]].concat(), 4)?;
    // And as many bytes as multiplications: they take time.
    reader.charge(&[&batch[..], &[*m, *n, *k]].concat(), 1)?;
    let (m, n, k) = (*m, *n, *k);
    let count = if m * n == 0 { 0 } else { batch.iter().product::<usize>() };
    let mut data = Vec::with_capacity(count * m * n);
    for s in 0..count {
        let (i, j) = (broadcast_index(s, &batch, outer) * m * k, broadcast_index(s, &batch, outer_right) * k * n);
        let dot =
            |r: usize, c: usize| (0..k).map(|p| f64::from(x[i + r * k + p]) * f64::from(y[j + p * n + c])).sum::<f64>();
        data.extend((0..m * n).map(|at| dot(at / n, at % n) as f32));
    }
    let ends = [(a.shape.len() > 1).then_some(m), (b.shape.len() > 1).then_some(n)];
    Ok(Host { shape: batch.into_iter().chain(ends.into_iter().flatten()).collect(), data: Data::Float(data) })
}

fn gemm<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Host> {
    let mut factor = |i: usize, name: &str| {
        let x = reader.constant(op, i)?;
        if op.int(name, 0)? == 0 { Ok(x) } else { transposed_host(reader, op, &x, &[1, 0]) }
    };
    let (a, b) = (factor(0, "transA")?, factor(1, "transB")?);
    let product = matmul(reader, op, &a, &b)?;
    let mut y = pair(reader, op, "Mul", &product, &Host::scalar(op.float("alpha", 1.0)?))?;
    if let Some(c) = reader.maybe_constant(op, 2)? {
        let c = pair(reader, op, "Mul", &c, &Host::scalar(op.float("beta", 1.0)?))?;
        y = pair(reader, op, "Add", &y, &c)?;
    }
    Ok(y)
}

fn softmax<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Host> {
    let x = reader.constant(op, 0)?;
    let rank = x.shape.len();
    let axis = op.axis(op.int("axis", if op.opset < 13 { 1 } else { -1 })?, rank)?;
    reader.charge(&x.shape, 8)?;
    // Before opset 13 it went over all dimensions from the axis on.
    let last = if op.opset < 13 { rank } else { axis + 1 };
    let size: usize = x.shape[axis..last].iter().product();
    let inner: usize = x.shape[last..].iter().product();
    let mut data = floats(op, &x)?;
    for start in (0..data.len()).filter(|i| (i / inner).is_multiple_of(size)) {
        let at = |i: usize| start + i * inner;
        let max = (0..size).map(|i| data[at(i)]).fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = (0..size).map(|i| exp(data[at(i)] - max)).sum();
        for i in 0..size {
            let shifted = data[at(i)] - max;
            data[at(i)] = if op.proto.op_type == "Softmax" { exp(shifted) / sum } else { shifted - sum.ln() };
        }
    }
    Ok(Host { shape: x.shape, data: Data::Float(data) })
}

/// With a constant, or, by fewer than none, cropped.
fn pad<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Host> {
    let x = reader.constant(op, 0)?;
    let rank = x.shape.len();
    let views::Padding { amounts, value, mode } = views::padding(reader, op, rank)?;
    if mode != "constant" || value.data.len() != 1 || value.data.kind() != x.data.kind() {
        return unsupported("padding with other values than one of the same type");
    }
    let grown = |a: usize| x.shape[a] as i64 + amounts[a][0] + amounts[a][1];
    let shape = (0..rank).map(|a| usize::try_from(grown(a)).ok()).collect::<Option<Vec<usize>>>();
    let shape = shape.ok_or_else(|| op.invalid("pads", "some that leave a size of 0 or more", "others"))?;
    reader.charge(&shape, 16)?;
    // The value stands behind the last of the others.
    let all = x.data.len();
    let source = |mut i: usize| {
        let (mut at, mut stride) = (0, 1);
        for a in (0..rank).rev() {
            let place = (i % shape[a]) as i64 - amounts[a][0];
            let Some(place) = usize::try_from(place).ok().filter(|&p| p < x.shape[a]) else { return all };
            at += place * stride;
            stride *= x.shape[a];
            i /= shape[a];
        }
        at
    };
    let at: Vec<usize> = (0..shape.iter().product()).map(source).collect();
    let data = match (&x.data, &value.data) {
        (Data::Float(x), Data::Float(v)) => Data::Float(at.iter().map(|&i| *x.get(i).unwrap_or(&v[0])).collect()),
        (data, _) => {
            let (ints, v) = (x.to_ints().unwrap_or_default(), value.to_ints().unwrap_or_default());
            Data::whole(at.iter().map(|&i| *ints.get(i).unwrap_or(&v[0])).collect(), data.kind())
        }
    };
    Ok(Host { shape, data })
}

/// The parts of a split along an axis.
pub(super) fn split<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Vec<Host>> {
    let x = reader.constant(op, 0)?;
    let axis = op.axis(op.int("axis", 0)?, x.shape.len())?;
    let sizes = if op.opset < 13 { op.ints("split").map(<[i64]>::to_vec) } else { reader.maybe_ints(op, 1)? };
    let (size, parts) = (x.shape[axis], op.proto.output.len());
    let sizes: Vec<usize> = match sizes {
        Some(sizes) => sizes.into_iter().map(|s| usize::try_from(s).unwrap_or(usize::MAX)).collect(),
        // The last is smaller where they cannot be equal.
        None => {
            let each = size.div_ceil(parts.max(1));
            (0..parts).map(|i| each.min(size.saturating_sub(i * each))).collect()
        }
    };
    let total = sizes.iter().try_fold(0usize, |sum, &s| sum.checked_add(s));
    if sizes.len() != parts || total != Some(size) {
        return Err(op.invalid("split", format!("{parts} sizes of {size} together"), format!("{sizes:?}")));
    }
    reader.charge(&x.shape, 16)?;
    let inner: usize = x.shape[axis + 1..].iter().product();
    let outer = x.data.len().checked_div(size * inner).unwrap_or(0);
    let mut start = 0;
    let part = |own: usize| {
        let at: Vec<usize> =
            (0..outer).flat_map(|o| (0..own * inner).map(move |i| (o * size + start) * inner + i)).collect();
        start += own;
        let mut shape = x.shape.clone();
        shape[axis] = own;
        Host { shape, data: x.data.gather(&at) }
    };
    Ok(sizes.into_iter().map(part).collect())
}
