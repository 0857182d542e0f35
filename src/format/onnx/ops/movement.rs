//! Operators that move values: other shapes, parts and stacks.

use super::super::builder::GraphBuilder;
use super::super::node::{OnnxNode, ReadResult, unsupported};
use super::super::shape::{self, ShapeRule, SliceRange, slice_ranges, split_sizes, text};
use super::super::value::{Activation, BATCH, OnnxValue};
use super::window::squeezed_like;
use crate::layers::{Concat, Flatten, Slice};

/// Identity of any value.
pub fn identity<'a>(builder: &mut GraphBuilder<'a>, node: &OnnxNode) -> ReadResult<Vec<OnnxValue<'a>>> {
    Ok(vec![match builder.input(node, 0)? {
        OnnxValue::Float(x) => OnnxValue::Float(x.share()),
        OnnxValue::Integer(x) => OnnxValue::Integer(x.share()),
        other => other,
    }])
}

/// Shape: a constant, in which the batch size is [`BATCH`]. Attributes: `start` and `end` (operator set 15).
pub fn shape<'a>(builder: &mut GraphBuilder<'a>, node: &OnnxNode) -> ReadResult<Vec<OnnxValue<'a>>> {
    let x = builder.activation(node, 0)?;
    Ok(vec![OnnxValue::Constant(shape::shape_slice(node, &x.onnx_shape())?)])
}

/// Reshape.
pub fn reshape(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    in_shape(builder, node, shape::reshaped)
}

/// Flatten.
pub fn flatten(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    in_shape(builder, node, shape::flattened)
}

/// Squeeze.
pub fn squeeze(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    in_shape(builder, node, shape::squeezed)
}

/// Unsqueeze.
pub fn unsqueeze(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    in_shape(builder, node, shape::unsqueezed)
}

/// Gives a value the shape that a rule computes; adds a flatten where a map becomes a vector.
fn in_shape(builder: &mut GraphBuilder, node: &OnnxNode, rule: ShapeRule) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    let from = x.onnx_shape();
    let to = rule(builder, node, &from)?;
    let size = |&d: &i64| usize::try_from(d).ok().filter(|_| d < BATCH / 2);
    let sample: Option<Vec<usize>> = to.iter().skip(1).map(size).collect();
    let (Some(&BATCH), Some(sample)) = (to.first(), sample) else {
        let (to, from) = (text(&to), text(&from));
        return unsupported(format!("shape: expected the batch N first and alone, got {to} of {from}"));
    };
    let mut y = x.view(sample);
    let has_vector = y.aliases.iter().any(|&v| !builder.shape(v).is_map());
    if y.dims.len() == 1 && !has_vector {
        let value = builder.emit(node, "", Flatten {}, &[y.aliases[0]], vec![])?;
        y.aliases.push(value);
    }
    Ok(y)
}

/// Concat along channels: the attribute `axis` must be 1, or count to it from the end.
pub fn concat(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let parts = (0..node.input_count()).map(|i| builder.activation(node, i)).collect::<ReadResult<Vec<_>>>()?;
    let Some(first) = parts.first() else { return Err(node.invalid("inputs", "at least one", "none")) };
    let rank = first.dims.len() + 1;
    let axis = node.axis(node.int("axis", 1)?, rank)?;
    if axis != 1 {
        return unsupported(format!("attribute `axis`: expected 1 (channels), got {axis}"));
    }
    if let Some(other) = parts.iter().find(|p| p.dims.len() + 1 != rank || p.dims[1..] != first.dims[1..]) {
        let expected = format!("NxC and then the dimensions of {}", first.shape_text());
        return Err(node.invalid("shapes", expected, other.shape_text()));
    }
    let mut dims = first.dims.clone();
    dims[0] = parts.iter().map(|p| p.dims[0]).sum();
    if parts.len() == 1 {
        return Ok(first.view(dims));
    }
    // A stack along the first dimension of a sample is a stack of its numbers, so vectors serve for any shape.
    let maps = parts.iter().map(|p| builder.map(node, p)).collect::<ReadResult<Vec<_>>>();
    let values = match maps {
        Ok(maps) => maps,
        Err(_) => parts.iter().map(|p| builder.vector(node, p)).collect::<ReadResult<_>>()?,
    };
    let value = builder.emit(node, "", Concat {}, &values, vec![])?;
    Ok(Activation::new(value, &dims))
}

/// Slice of channels, height and width, forward only.
pub fn slice(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    let ranges = slice_ranges(builder, node, x.dims.len() + 1)?;
    let is_whole = |r: &SliceRange| r.start == 0 && r.step == 1 && r.end >= BATCH / 2;
    if !is_whole(&ranges[0]) {
        return unsupported("a slice of the batch");
    }
    let mut layer = Slice { start: [0; 3], end: [0; 3], step: [1; 3] };
    let map = builder.unsqueezed_map(node, &x)?;
    let sizes = builder.shape(map).dims().to_vec();
    for (a, &size) in sizes.iter().enumerate() {
        let range = ranges.get(a + 1).copied().unwrap_or(SliceRange::FULL);
        let (start, count) = range.resolve(size);
        if range.step < 0 || count == 0 {
            return unsupported(format!("axis {}: expected a forward range that is not empty", a + 1));
        }
        layer.start[a] = start as usize;
        // A step beyond the end of the axis takes one element, like a step of its size.
        layer.step[a] = usize::try_from(range.step).unwrap_or(usize::MAX).min(size);
        layer.end[a] = layer.start[a] + (count - 1) * layer.step[a] + 1;
    }
    if sizes == sliced_dims(&layer) {
        return Ok(x.share());
    }
    let y = builder.emit_activation(node, "", layer, &[map], vec![])?;
    Ok(squeezed_like(y, &x))
}

fn sliced_dims(slice: &Slice) -> [usize; 3] {
    std::array::from_fn(|a| (slice.end[a] - slice.start[a]).div_ceil(slice.step[a]))
}

/// Split along channels, height or width: the attribute `axis` (0, the batch, by default) must not be the batch.
pub fn split<'a>(builder: &mut GraphBuilder<'a>, node: &OnnxNode) -> ReadResult<Vec<OnnxValue<'a>>> {
    let x = builder.activation(node, 0)?;
    let axis = node.axis(node.int("axis", 0)?, x.dims.len() + 1)?;
    if axis == 0 {
        return unsupported("a split of the batch");
    }
    let size = x.dims[axis - 1];
    let sizes = split_sizes(builder, node, size)?;
    if sizes.contains(&0) {
        let expected = format!("{} positive sizes of {size} together", sizes.len());
        return Err(node.invalid("split", expected, format!("{sizes:?}")));
    }
    let map = builder.unsqueezed_map(node, &x)?;
    let (c, h, w) = builder.shape(map).chw();
    let mut layer = Slice { start: [0; 3], end: [c, h, w], step: [1; 3] };
    let mut outputs = vec![];
    for (i, &part) in sizes.iter().enumerate() {
        layer.end[axis - 1] = layer.start[axis - 1] + part;
        let value = builder.emit(node, &format!(".{i}"), layer, &[map], vec![])?;
        outputs.push(OnnxValue::Float(squeezed_like(Activation::new(value, &sliced_dims(&layer)), &x)));
        layer.start[axis - 1] = layer.end[axis - 1];
    }
    Ok(outputs)
}
