//! Pad.

use std::ops::Range;

use super::super::builder::GraphBuilder;
use super::super::node::{OnnxNode, ReadError, ReadResult, unsupported};
use super::super::shape::{PadAmounts, pad_amounts};
use super::super::value::{Activation, OnnxValue};
use super::window::squeezed_like;
use crate::graph::Value;
use crate::layers::{Add, Pad, Slice};

/// Pad of channels, height and width, by up to 32768 elements at each end. Attribute: `mode`, with "constant", "edge",
/// "reflect" or "wrap".
pub fn pad(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    // The padding's value would be quantized, whereas the network holds the floats that quantized values stand for.
    if let Some(OnnxValue::Quantized(..)) = builder.peek(node, 0) {
        return unsupported("input 0: expected floats, got quantized values");
    }
    let x = builder.activation(node, 0)?;
    let PadAmounts { amounts, value, mode } = pad_amounts(builder, node, x.dims.len() + 1)?;
    let value =
        value.first_float().ok_or_else(|| ReadError::Unsupported("input `constant_value`: expected a float".into()))?;
    let amount = |v: i64| usize::try_from(v).ok().filter(|&v| v <= 1 << 15);
    let both = |[before, after]: [i64; 2]| Some([amount(before)?, amount(after)?]);
    let Some(amounts) = amounts.iter().copied().map(both).collect::<Option<Vec<_>>>() else {
        return unsupported(format!("pads: expected 0 to 32768, got {amounts:?}"));
    };
    if amounts.iter().all(|a| *a == [0; 2]) {
        return Ok(x.share());
    }
    if amounts[0] != [0; 2] {
        return unsupported("padding of the batch");
    }
    let map = builder.unsqueezed_map(node, &x)?;
    if mode != "constant" {
        return pad_with_own_values(builder, node, &x, &amounts, &mode);
    }
    let side = |s: usize| std::array::from_fn(|a| amounts.get(a + 1).map_or(0, |amount| amount[s]));
    let layer = Pad { before: side(0), after: side(1), value };
    let y = builder.emit_activation(node, "", layer, &[map], vec![])?;
    Ok(squeezed_like(y, &x))
}

/// Pads one axis after the other, each as a sum of slices that are padded with zeros to their places. A slice takes
/// consecutive indices, so a reflected row is a slice of one row.
fn pad_with_own_values(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    x: &Activation,
    amounts: &[[usize; 2]],
    mode: &str,
) -> ReadResult<Activation> {
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
            terms.push(placed_slice(builder, node, &x, a, from..from + end - start, [start, total - end])?);
            start = end;
        }
        let mut dims = x.dims.clone();
        dims[a] = total;
        let value = builder.emit(node, "", Add {}, &terms, vec![])?;
        x = Activation::new(value, &dims);
    }
    Ok(x)
}

/// Takes a range of an axis and adds zeros before and after it.
fn placed_slice(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    x: &Activation,
    axis: usize,
    range: Range<usize>,
    zeros: [usize; 2],
) -> ReadResult<Value> {
    let map = builder.unsqueezed_map(node, x)?;
    let (c, h, w) = builder.shape(map).chw();
    let mut part = Slice { start: [0; 3], end: [c, h, w], step: [1; 3] };
    (part.start[axis], part.end[axis]) = (range.start, range.end);
    let mut pad = Pad { before: [0; 3], after: [0; 3], value: 0.0 };
    [pad.before[axis], pad.after[axis]] = zeros;
    let part = builder.emit(node, ".part", part, &[map], vec![])?;
    builder.emit(node, ".placed", pad, &[part], vec![])
}
