//! Operators that move the values of constants: other shapes, parts, stacks and orders.

use super::super::builder::GraphBuilder;
use super::super::const_tensor::ConstTensor;
use super::super::node::{OnnxNode, ReadResult, unsupported};
use super::super::shape::{self, PadAmounts, ShapeRule, permutation, positions, size, slice_ranges, split_sizes};

/// Identity.
pub fn identity(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    builder.constant(node, 0)
}

/// Shape, with the attributes `start` and `end` (operator set 15).
pub fn shape(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    let shape: Vec<i64> = builder.constant(node, 0)?.shape.iter().map(|&d| d as i64).collect();
    shape::shape_slice(node, &shape)
}

/// Reshape.
pub fn reshape(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    in_shape(builder, node, shape::reshaped)
}

/// Flatten.
pub fn flatten(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    in_shape(builder, node, shape::flattened)
}

/// Squeeze.
pub fn squeeze(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    in_shape(builder, node, shape::squeezed)
}

/// Unsqueeze.
pub fn unsqueeze(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    in_shape(builder, node, shape::unsqueezed)
}

/// Gives a constant the shape that a rule computes.
fn in_shape(builder: &mut GraphBuilder, node: &OnnxNode, rule: ShapeRule) -> ReadResult<ConstTensor> {
    let x = builder.constant(node, 0)?;
    let from: Vec<i64> = x.shape.iter().map(|&d| d as i64).collect();
    let shape = rule(builder, node, &from)?;
    let shape = shape.iter().map(|&d| size(d)).collect::<ReadResult<Vec<usize>>>()?;
    builder.charge(&shape, 0)?;
    Ok(ConstTensor { shape, data: x.data })
}

/// Concat along the attribute `axis`.
pub fn concat(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    let parts = (0..node.input_count()).map(|i| builder.constant(node, i)).collect::<ReadResult<Vec<_>>>()?;
    let Some(first) = parts.first() else { return Err(node.invalid("inputs", "at least one", "none")) };
    let axis = node.axis(node.int("axis", 0)?, first.shape.len())?;
    let others = |s: &[usize]| (s.len() == first.shape.len()).then(|| [&s[..axis], &s[axis + 1..]].concat());
    let same_type = |p: &ConstTensor| p.data.data_type() == first.data.data_type();
    if !parts.iter().all(|p| same_type(p) && others(&p.shape) == others(&first.shape)) {
        return Err(node.invalid("inputs", "one type, and shapes that differ in the axis only", "others"));
    }
    let mut shape = first.shape.clone();
    shape[axis] = parts.iter().map(|p| p.shape[axis]).sum();
    builder.charge(&shape, 8)?;
    let outer: usize = shape[..axis].iter().product();
    let mut data = first.data.gather(&[]);
    for o in 0..outer {
        for part in &parts {
            let count = part.data.len() / outer;
            data.extend_from(&part.data, o * count..(o + 1) * count);
        }
    }
    Ok(ConstTensor { shape, data })
}

/// Tile: each axis repeated as often as input 1 says.
pub fn tile(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    let (x, repeats) = (builder.constant(node, 0)?, builder.maybe_integers(node, 1)?.unwrap_or_default());
    let repeated = |(&d, &times): (&usize, &i64)| usize::try_from(times).ok().and_then(|times| d.checked_mul(times));
    let shape: Option<Vec<usize>> = x.shape.iter().zip(&repeats).map(repeated).collect();
    let Some(shape) = shape.filter(|shape| shape.len() == repeats.len() && repeats.len() == x.shape.len()) else {
        return Err(node.invalid("input 1", format!("{} counts", x.shape.len()), format!("{repeats:?}")));
    };
    builder.charge(&shape, 16)?;
    Ok(ConstTensor { data: x.data.gather(&positions(&shape, &x.shape, |i, a| i % x.shape[a])), shape })
}

/// Gather: the indices of input 1 along the attribute `axis` (0 by default).
pub fn gather(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    let (x, at) = (builder.constant(node, 0)?, builder.constant(node, 1)?);
    let Some(indices) = at.to_integers() else { return Err(node.invalid("input 1", "integers", "floats")) };
    let axis = node.axis(node.int("axis", 0)?, x.shape.len())?;
    let indices = node.axes(indices, x.shape[axis])?;
    let shape = [&x.shape[..axis], &at.shape, &x.shape[axis + 1..]].concat();
    builder.charge(&shape, 16)?;
    let outer: usize = x.shape[..axis].iter().product();
    let inner: usize = x.shape[axis + 1..].iter().product();
    let mut positions = vec![];
    for o in 0..outer {
        for &i in &indices {
            positions.extend((0..inner).map(|p| (o * x.shape[axis] + i) * inner + p));
        }
    }
    Ok(ConstTensor { shape, data: x.data.gather(&positions) })
}

/// Slice.
pub fn slice(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    let x = builder.constant(node, 0)?;
    let ranges = slice_ranges(builder, node, x.shape.len())?;
    let resolved: Vec<(i64, usize)> = ranges.iter().zip(&x.shape).map(|(range, &size)| range.resolve(size)).collect();
    let shape: Vec<usize> = resolved.iter().map(|&(_, count)| count).collect();
    builder.charge(&shape, 16)?;
    let source = |i: usize, a: usize| (resolved[a].0 + i as i64 * ranges[a].step) as usize;
    Ok(ConstTensor { data: x.data.gather(&positions(&shape, &x.shape, source)), shape })
}

/// Transpose.
pub fn transpose(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    let x = builder.constant(node, 0)?;
    let perm = permutation(node, x.shape.len())?;
    transposed(builder, node, &x, &perm)
}

/// Puts the axes of a constant in the order `perm`.
pub fn transposed(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    x: &ConstTensor,
    perm: &[usize],
) -> ReadResult<ConstTensor> {
    if perm.len() != x.shape.len() {
        return Err(node.invalid("input", format!("{} dimensions", perm.len()), x.shape.len()));
    }
    let shape: Vec<usize> = perm.iter().map(|&a| x.shape[a]).collect();
    builder.charge(&shape, 16)?;
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
    Ok(ConstTensor { data: x.data.gather(&positions), shape })
}

/// Pad in mode "constant"; negative amounts crop.
pub fn pad(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    let mut x = builder.constant(node, 0)?;
    let rank = x.shape.len();
    let PadAmounts { amounts, value, mode } = shape::pad_amounts(builder, node, rank)?;
    if mode != "constant" || value.data.len() != 1 || value.data.data_type() != x.data.data_type() {
        return unsupported("padding with more than one value, or with a value of another type");
    }
    let grown = |a: usize| x.shape[a] as i64 + amounts[a][0] + amounts[a][1];
    let shape = (0..rank).map(|a| usize::try_from(grown(a)).ok()).collect::<Option<Vec<usize>>>();
    let shape = shape.ok_or_else(|| node.invalid("pads", "amounts that leave a size of 0 or more", "others"))?;
    builder.charge(&shape, 16)?;
    // The padding's value is appended to the values, at this position.
    let padding = x.data.len();
    x.data.extend_from(&value.data, 0..1);
    let source = |mut i: usize| {
        let (mut at, mut stride) = (0, 1);
        for a in (0..rank).rev() {
            let index = (i % shape[a]) as i64 - amounts[a][0];
            let Some(index) = usize::try_from(index).ok().filter(|&i| i < x.shape[a]) else { return padding };
            at += index * stride;
            stride *= x.shape[a];
            i /= shape[a];
        }
        at
    };
    let positions: Vec<usize> = (0..shape.iter().product()).map(source).collect();
    Ok(ConstTensor { data: x.data.gather(&positions), shape })
}

/// Split along the attribute `axis` (0 by default).
pub fn split(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Vec<ConstTensor>> {
    let x = builder.constant(node, 0)?;
    let axis = node.axis(node.int("axis", 0)?, x.shape.len())?;
    let size = x.shape[axis];
    let sizes = split_sizes(builder, node, size)?;
    builder.charge(&x.shape, 16)?;
    let inner: usize = x.shape[axis + 1..].iter().product();
    let outer = x.data.len().checked_div(size * inner).unwrap_or(0);
    let mut start = 0;
    let part = |own: usize| {
        let positions: Vec<usize> =
            (0..outer).flat_map(|o| (0..own * inner).map(move |i| (o * size + start) * inner + i)).collect();
        start += own;
        let mut shape = x.shape.clone();
        shape[axis] = own;
        ConstTensor { shape, data: x.data.gather(&positions) }
    };
    Ok(sizes.into_iter().map(part).collect())
}
