//! Operators that move numbers: other shapes, parts, stacks and frames of values.

use super::constants::{Range, ranges, reshaped, text};
use super::host::Host;
use super::linear::unframed;
use super::node::{Op, Step, Stop, unsupported};
use super::reader::{Activation, BATCH, Reader, Val};
use crate::graph::Value;
use crate::layers::{Add, Concat, Flatten, Layer, Pad, Slice};

/// Reshape, Flatten, Squeeze and Unsqueeze: another view of the numbers, and where it is a vector of what was a map, a
/// flatten.
pub(super) fn reshape<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    let from: Vec<i64> = std::iter::once(BATCH).chain(x.dims.iter().map(|&d| d as i64)).collect();
    let to = reshaped(reader, op, &from)?;
    let sample: Option<Vec<usize>> =
        to.iter().skip(1).map(|&d| usize::try_from(d).ok().filter(|_| d < BATCH / 2)).collect();
    let (Some(&BATCH), Some(sample)) = (to.first(), sample) else {
        return unsupported(format!(
            "shape: expected the batch N first and alone, got {} of {}",
            text(&to),
            text(&from)
        ));
    };
    let mut y = x.view(sample);
    let is_vector = |v: &Value| !reader.shape(*v).is_map();
    if y.dims.len() == 1 && !y.forms.iter().any(is_vector) {
        let value = reader.emit(op, "", Flatten {}, &[y.forms[0]], vec![])?;
        y.forms.push(value);
    }
    Ok(y)
}

pub(super) fn concat<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let parts = (0..op.proto.input.len()).map(|i| reader.activation(op, i)).collect::<Step<Vec<_>>>()?;
    let Some(first) = parts.first() else { return Err(op.invalid("inputs", "at least one", "none")) };
    let rank = first.dims.len() + 1;
    let axis = op.axis(op.int("axis", 1)?, rank)?;
    if axis != 1 {
        return unsupported(format!("attribute `axis`: expected 1 (channels), got {axis}"));
    }
    if let Some(other) = parts.iter().find(|p| p.dims.len() + 1 != rank || p.dims[1..] != first.dims[1..]) {
        return Err(op.invalid("shapes", format!("NxC and then as {}", first.text()), other.text()));
    }
    let mut dims = first.dims.clone();
    dims[0] = parts.iter().map(|p| p.dims[0]).sum();
    if parts.len() == 1 {
        return Ok(first.view(dims));
    }
    // Stacks along the first dimension are stacks of the numbers, whatever the view.
    let maps = parts.iter().map(|p| reader.map(op, p)).collect::<Step<Vec<_>>>();
    let values = match maps {
        Ok(maps) => maps,
        Err(_) => parts.iter().map(|p| reader.vector(op, p)).collect::<Step<_>>()?,
    };
    let value = reader.emit(op, "", Concat {}, &values, vec![])?;
    Ok(Activation::new(value, &dims))
}

pub(super) fn slice<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    let ranges = ranges(reader, op, x.dims.len() + 1)?;
    let whole = |r: &Range| r.start == 0 && r.step == 1 && r.end >= BATCH / 2;
    if ranges[0].as_ref().is_some_and(|r| !whole(r)) {
        return unsupported("a slice of the batch");
    }
    let mut layer = Slice { start: [0; 3], end: [0; 3], step: [1; 3] };
    let map = reader.frame(op, &x)?;
    let sizes = reader.shape(map).dims().to_vec();
    for (a, &size) in sizes.iter().enumerate() {
        let range = ranges.get(a + 1).copied().flatten().unwrap_or(Range { start: 0, end: i64::MAX, step: 1 });
        let (start, count) = range.resolve(size);
        if range.step < 0 || count == 0 {
            return unsupported(format!("axis {}: expected a forward range that is not empty", a + 1));
        }
        layer.start[a] = start as usize;
        // The step may be larger than the axis; then one is taken.
        layer.step[a] = usize::try_from(range.step).unwrap_or(usize::MAX).min(size);
        layer.end[a] = layer.start[a] + (count - 1) * layer.step[a] + 1;
    }
    if sizes == count_of(&layer) {
        return Ok(x.view(x.dims.clone()));
    }
    let y = reader.push(op, layer, &[map], vec![])?;
    Ok(unframed(y, &x))
}

fn count_of(slice: &Slice) -> [usize; 3] {
    std::array::from_fn(|a| (slice.end[a] - slice.start[a]).div_ceil(slice.step[a]))
}

/// Parts of a map along channels, height or width.
pub(super) fn split<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Vec<Val<'a>>> {
    let x = reader.activation(op, 0)?;
    let axis = op.axis(op.int("axis", 0)?, x.dims.len() + 1)?;
    let sizes = if op.opset < 13 { op.ints("split").map(<[i64]>::to_vec) } else { reader.maybe_ints(op, 1)? };
    if axis == 0 {
        return unsupported("a split of the batch");
    }
    let map = reader.frame(op, &x)?;
    let (parts, size) = (op.proto.output.len(), x.dims[axis - 1]);
    let even = || {
        (0..parts).map(|i| (size.div_ceil(parts) as i64).min(size as i64 - (size.div_ceil(parts) * i) as i64)).collect()
    };
    let sizes: Vec<i64> = sizes.unwrap_or_else(even);
    let valid = sizes.len() == parts && sizes.iter().all(|&s| s > 0 && s <= size as i64);
    if !valid || sizes.iter().sum::<i64>() != size as i64 {
        return Err(op.invalid("split", format!("{parts} positive sizes of {size} together"), format!("{sizes:?}")));
    }
    let (c, h, w) = reader.shape(map).chw();
    let mut layer = Slice { start: [0; 3], end: [c, h, w], step: [1; 3] };
    let mut outputs = vec![];
    for (i, &part) in sizes.iter().enumerate() {
        layer.end[axis - 1] = layer.start[axis - 1] + part as usize;
        let value = reader.emit(op, &format!(".{i}"), layer, &[map], vec![])?;
        outputs.push(Val::Act(unframed(Activation::new(value, &count_of(&layer)), &x)));
        layer.start[axis - 1] = layer.end[axis - 1];
    }
    Ok(outputs)
}

/// Pad with a constant, or with what the map holds; amounts are attributes before opset 11, inputs since, with axes since opset 18.
pub(super) fn pad<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    let rank = x.dims.len() + 1;
    let Padding { amounts, value, mode } = padding(reader, op, rank)?;
    let value = value.to_floats().and_then(|v| v.first().copied());
    let value = value.ok_or_else(|| Stop::Unsupported("input `constant_value`: expected a float".into()))?;
    let amount = |v: i64| usize::try_from(v).ok().filter(|&v| v <= 1 << 15);
    let each = |[before, after]: [i64; 2]| Some([amount(before)?, amount(after)?]);
    let Some(amounts) = amounts.iter().copied().map(each).collect::<Option<Vec<_>>>() else {
        return unsupported(format!("pads: expected 0 to 32768, got {amounts:?}"));
    };
    if amounts.iter().all(|a| *a == [0; 2]) {
        return Ok(x.view(x.dims.clone()));
    }
    if amounts[0] != [0; 2] {
        return unsupported("padding of the batch");
    }
    let map = reader.frame(op, &x)?;
    if mode != "constant" {
        return mirrored(reader, op, &x, &amounts, &mode);
    }
    let side = |s: usize| std::array::from_fn(|a| amounts.get(a + 1).map_or(0, |amount| amount[s]));
    let layer: Layer = Pad { before: side(0), after: side(1), value }.into();
    let y = reader.push(op, layer, &[map], vec![])?;
    Ok(unframed(y, &x))
}

/// What a `Pad` adds before and after each axis, the batch's included.
pub(super) struct Padding {
    pub amounts: Vec<[i64; 2]>,
    pub value: Host,
    pub mode: String,
}

/// Attributes before opset 11, inputs since.
pub(super) fn padding<'a>(reader: &mut Reader<'a>, op: &Op<'a>, rank: usize) -> Step<Padding> {
    let mode = op.string("mode")?.unwrap_or_else(|| "constant".into());
    let (pads, value, axes) = if op.opset < 11 {
        (op.ints("pads").map(<[i64]>::to_vec), Some(Host::scalar(op.float("value", 0.0)?)), None)
    } else {
        (reader.maybe_ints(op, 1)?, reader.maybe_constant(op, 2)?, reader.maybe_ints(op, 3)?)
    };
    let axes = axes.unwrap_or_else(|| (0..rank as i64).collect());
    let axes = axes.into_iter().map(|a| op.axis(a, rank)).collect::<Step<Vec<usize>>>()?;
    let pads = pads.unwrap_or_default();
    if pads.len() != 2 * axes.len() {
        return Err(op.invalid("pads", format!("{} values", 2 * axes.len()), pads.len()));
    }
    let mut amounts = vec![[0; 2]; rank];
    for (i, &axis) in axes.iter().enumerate() {
        amounts[axis] = [pads[i], pads[i + axes.len()]].map(|v| v.clamp(-(1 << 40), 1 << 40));
    }
    Ok(Padding { amounts, value: value.unwrap_or_else(|| Host::scalar(0.0)), mode })
}

/// Pads axis after axis: the sum of slices, each padded with zeros to its place. Each takes a run of consecutive
/// indices, so a reflected row is one alone.
fn mirrored<'a>(
    reader: &mut Reader<'a>,
    op: &Op<'a>,
    x: &Activation,
    amounts: &[[usize; 2]],
    mode: &str,
) -> Step<Activation> {
    let mut x = x.clone();
    for (a, &[before, after]) in amounts[1..].iter().enumerate().filter(|(_, amount)| **amount != [0; 2]) {
        let n = x.dims[a];
        let source = |o: usize| match mode {
            "edge" => Ok(o.saturating_sub(before).min(n - 1)),
            "wrap" => Ok((o + n - before % n) % n),
            "reflect" if before.max(after) < n => Ok(o.abs_diff(before).min((2 * (n - 1) + before).abs_diff(o))),
            _ => unsupported(format!("attribute `mode`: {mode} of {n}")),
        };
        let total = before + n + after;
        let (mut start, mut terms) = (0, vec![]);
        while start < total {
            let from = source(start)?;
            let mut end = start + 1;
            while end < total && source(end)? == from + end - start {
                end += 1;
            }
            terms.push(placed(reader, op, &x, a, from..from + end - start, [start, total - end])?);
            start = end;
        }
        let mut dims = x.dims.clone();
        dims[a] = total;
        let value = reader.emit(op, "", Add {}, &terms, vec![])?;
        x = Activation::new(value, &dims);
    }
    Ok(x)
}

/// A range of an axis between so many zeros.
fn placed<'a>(
    reader: &mut Reader<'a>,
    op: &Op<'a>,
    x: &Activation,
    axis: usize,
    range: std::ops::Range<usize>,
    zeros: [usize; 2],
) -> Step<Value> {
    let map = reader.frame(op, x)?;
    let (c, h, w) = reader.shape(map).chw();
    let mut part = Slice { start: [0; 3], end: [c, h, w], step: [1; 3] };
    (part.start[axis], part.end[axis]) = (range.start, range.end);
    let mut pad = Pad { before: [0; 3], after: [0; 3], value: 0.0 };
    [pad.before[axis], pad.after[axis]] = zeros;
    let part = reader.emit(op, ".part", part, &[map], vec![])?;
    reader.emit(op, ".placed", pad, &[part], vec![])
}
