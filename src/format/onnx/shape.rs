//! Shape arithmetic that constants and values of the network share: the parameters of operators that move values.

use super::builder::GraphBuilder;
use super::const_tensor::ConstTensor;
use super::node::{OnnxNode, ReadError, ReadResult, unsupported};
use super::value::BATCH;

/// Formats a shape for messages, with [`BATCH`] as `N`.
pub(super) fn text(shape: &[i64]) -> String {
    let dim = |d: &i64| if *d == BATCH { "N".to_string() } else { d.to_string() };
    shape.iter().map(dim).collect::<Vec<_>>().join("x")
}

/// Converts a dimension of shape arithmetic to a size.
pub(super) fn size(dim: i64) -> ReadResult<usize> {
    match dim {
        d if d >= BATCH / 2 => unsupported("a constant whose shape depends on the batch size"),
        d => usize::try_from(d).map_err(|_| ReadError::Unsupported(format!("expected a size, got {d}"))),
    }
}

/// Shape: the part of a shape that the attributes `start` and `end` choose (since operator set 15).
pub(super) fn shape_slice(node: &OnnxNode, shape: &[i64]) -> ReadResult<ConstTensor> {
    let rank = shape.len() as i64;
    let clamp = |i: i64| if i < 0 { i.saturating_add(rank) } else { i }.clamp(0, rank) as usize;
    let (start, end) = (clamp(node.int("start", 0)?), clamp(node.int("end", rank)?));
    Ok(ConstTensor::integers(shape.get(start..end).unwrap_or_default().to_vec()))
}

/// Returns the flat position in a tensor of shape `from` of each element of `shape`. `source(i, a)` is the index along
/// axis `a` that index `i` of the new tensor is read from.
pub(super) fn positions(shape: &[usize], from: &[usize], source: impl Fn(usize, usize) -> usize) -> Vec<usize> {
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

/// Transpose: the attribute `perm`, by default the axes in reverse.
pub(super) fn permutation(node: &OnnxNode, rank: usize) -> ReadResult<Vec<usize>> {
    let Some(perm) = node.ints("perm") else { return Ok((0..rank).rev().collect()) };
    let perm = node.axes(perm.iter().copied(), rank)?;
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank) {
        let expected = format!("each of 0 to {} once", rank.max(1) - 1);
        return Err(node.invalid("attribute `perm`", expected, format!("{perm:?}")));
    }
    Ok(perm)
}

/// The range that a Slice takes of one axis; bounds may count from the end, and lie outside.
#[derive(Clone, Copy)]
pub(super) struct SliceRange {
    pub start: i64,
    pub end: i64,
    /// Not zero; negative to go backwards.
    pub step: i64,
}

impl SliceRange {
    /// A whole axis.
    pub(super) const FULL: SliceRange = SliceRange { start: 0, end: i64::MAX, step: 1 };

    /// Returns the first index and the number of indices for an axis of `size`.
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

/// Slice: the range of each of `rank` axes. `starts`, `ends` and `axes` are attributes before operator set 10, and
/// inputs 1 to 3 from then on, with the steps as input 4.
pub(super) fn slice_ranges(builder: &mut GraphBuilder, node: &OnnxNode, rank: usize) -> ReadResult<Vec<SliceRange>> {
    let mut list = |name, i| builder.integers_since(node, name, 10, i);
    let (starts, ends, axes) = (list("starts", 1)?, list("ends", 2)?, list("axes", 3)?);
    let steps = if node.opset < 10 { None } else { builder.maybe_integers(node, 4)? };
    let (starts, ends) = (starts.unwrap_or_default(), ends.unwrap_or_default());
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] || steps.contains(&0) {
        return Err(node.invalid("ranges", "starts, ends, axes and non-zero steps of one number", "others"));
    }
    let mut ranges = vec![SliceRange::FULL; rank];
    for (i, axis) in node.axes(axes, rank)?.into_iter().enumerate() {
        ranges[axis] = SliceRange { start: starts[i], end: ends[i], step: steps[i] };
    }
    Ok(ranges)
}

/// Split: the sizes of the outputs along an axis of `size`. The sizes are the attribute `split` before operator set 13,
/// and input 1 from then on; without them the outputs are equal, but the last may be smaller.
pub(super) fn split_sizes(builder: &mut GraphBuilder, node: &OnnxNode, size: usize) -> ReadResult<Vec<usize>> {
    let parts = node.proto.output.len();
    let sizes = match builder.integers_since(node, "split", 13, 1)? {
        Some(sizes) => sizes.into_iter().map(|s| usize::try_from(s).unwrap_or(usize::MAX)).collect(),
        None => {
            let each = size.div_ceil(parts.max(1));
            (0..parts).map(|i| each.min(size.saturating_sub(i * each))).collect::<Vec<_>>()
        }
    };
    let total = sizes.iter().try_fold(0usize, |sum, &s| sum.checked_add(s));
    if sizes.len() != parts || total != Some(size) {
        return Err(node.invalid("split", format!("{parts} sizes of {size} together"), format!("{sizes:?}")));
    }
    Ok(sizes)
}

/// Computes the shape that an operator gives to a value of a shape, in which [`BATCH`] may stand for the batch.
pub(super) type ShapeRule = fn(&mut GraphBuilder, &OnnxNode, &[i64]) -> ReadResult<Vec<i64>>;

/// Flatten: two dimensions, of which the second begins at the attribute `axis` (1 by default).
pub(super) fn flattened(_: &mut GraphBuilder, node: &OnnxNode, from: &[i64]) -> ReadResult<Vec<i64>> {
    let axis = node.int("axis", 1)?;
    let axis = if axis == from.len() as i64 { from.len() } else { node.axis(axis, from.len().max(1))? };
    Ok(vec![product(&from[..axis])?, product(&from[axis..])?])
}

/// Squeeze: without the dimensions of one named by `axes`, by default all dimensions of one. `axes` is an attribute
/// before operator set 13, and input 1 from then on.
pub(super) fn squeezed(builder: &mut GraphBuilder, node: &OnnxNode, from: &[i64]) -> ReadResult<Vec<i64>> {
    let axes = builder.integers_since(node, "axes", 13, 1)?;
    let axes = axes.map(|axes| node.axes(axes, from.len())).transpose()?;
    let is_dropped = |a: usize| axes.as_ref().map_or(from[a] == 1, |axes| axes.contains(&a));
    if let Some(a) = (0..from.len()).find(|&a| is_dropped(a) && from[a] != 1) {
        return Err(node.invalid(format!("axis {a}"), "a dimension of 1", from[a]));
    }
    Ok((0..from.len()).filter(|&a| !is_dropped(a)).map(|a| from[a]).collect())
}

/// Unsqueeze: with dimensions of one at `axes` of the result. `axes` is an attribute before operator set 13, and input
/// 1 from then on.
pub(super) fn unsqueezed(builder: &mut GraphBuilder, node: &OnnxNode, from: &[i64]) -> ReadResult<Vec<i64>> {
    let axes = builder.integers_since(node, "axes", 13, 1)?.ok_or_else(|| node.invalid("axes", "a list", "none"))?;
    let rank = from.len() + axes.len();
    let axes = node.axes(axes, rank)?;
    let mut rest = from.iter();
    let dim = |a: usize| if axes.contains(&a) { Some(1) } else { rest.next().copied() };
    let shape = (0..rank).map(dim).collect::<Option<_>>();
    shape.ok_or_else(|| node.invalid("axes", "each once", format!("{axes:?}")))
}

/// Reshape: the shape of input 1, in which one dimension may be -1 (the rest of the elements), and 0 copies a dimension
/// unless the attribute `allowzero` is set (since operator set 14).
pub(super) fn reshaped(builder: &mut GraphBuilder, node: &OnnxNode, from: &[i64]) -> ReadResult<Vec<i64>> {
    let target = builder.maybe_integers(node, 1)?.ok_or_else(|| node.invalid("input 1", "a shape", "none"))?;
    let keeps_zeros = node.flag("allowzero", false)?;
    let mut shape = vec![];
    for (a, &d) in target.iter().enumerate() {
        let copied = || from.get(a).copied().ok_or_else(|| node.invalid("shape", "0 for an existing dimension", a));
        shape.push(if d == 0 && !keeps_zeros { copied()? } else { d });
    }
    // A batch size that the file declares may be any other.
    if from.first() == Some(&BATCH) && shape.first().is_some_and(|&d| builder.is_batch(d)) {
        shape[0] = BATCH;
    }
    let total = product(from)?;
    let misfit =
        || ReadError::Unsupported(format!("shape: expected the elements of {}, got {}", text(from), text(&target)));
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

fn product(dims: &[i64]) -> ReadResult<i64> {
    let overflow = || ReadError::Unsupported("a product of dimensions that overflows".into());
    dims.iter().try_fold(1i64, |n, &d| n.checked_mul(d)).ok_or_else(overflow)
}

/// The parameters of a Pad.
pub(super) struct PadAmounts {
    /// Elements added before and after each axis, the batch's included; negative ones are cropped.
    pub amounts: Vec<[i64; 2]>,
    /// The value of the elements in mode "constant"; 0 by default.
    pub value: ConstTensor,
    /// The attribute `mode`: "constant" by default, "edge", "reflect" or "wrap".
    pub mode: String,
}

/// Pad: the amounts for `rank` axes. `pads` and `value` are attributes before operator set 11, and inputs 1 and 2 from
/// then on; input 3 names the axes (since operator set 18).
pub(super) fn pad_amounts(builder: &mut GraphBuilder, node: &OnnxNode, rank: usize) -> ReadResult<PadAmounts> {
    let mode = node.string("mode")?.unwrap_or_else(|| "constant".into());
    let pads = builder.integers_since(node, "pads", 11, 1)?.unwrap_or_default();
    let (value, axes) = match node.opset {
        ..11 => (Some(ConstTensor::scalar(node.float("value", 0.0)?)), None),
        _ => (builder.maybe_constant(node, 2)?, builder.maybe_integers(node, 3)?),
    };
    let axes = node.axes(axes.unwrap_or_else(|| (0..rank as i64).collect()), rank)?;
    if pads.len() != 2 * axes.len() {
        return Err(node.invalid("pads", format!("{} values", 2 * axes.len()), pads.len()));
    }
    let mut amounts = vec![[0; 2]; rank];
    for (i, &axis) in axes.iter().enumerate() {
        amounts[axis] = [pads[i], pads[i + axes.len()]].map(|v| v.clamp(-(1 << 40), 1 << 40));
    }
    Ok(PadAmounts { amounts, value: value.unwrap_or_else(|| ConstTensor::scalar(0.0)), mode })
}

/// Reduce operators: the attribute `axes` before operator set `since`, and input 1 from then on. Empty for all axes.
pub(super) fn reduced_axes(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    since: i64,
    rank: usize,
) -> ReadResult<Vec<usize>> {
    let axes = builder.integers_since(node, "axes", since, 1)?;
    node.axes(axes.unwrap_or_default(), rank)
}
