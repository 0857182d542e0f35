//! Transpose: orders of axes that move no number, permutations, and the channel shuffle of ShuffleNet. Exporters write
//! the shuffle as Reshape (C to g x C/g), Transpose (to C/g x g) and Reshape (back to C).

use super::super::builder::GraphBuilder;
use super::super::node::{OnnxNode, ReadResult, unsupported};
use super::super::shape::permutation;
use super::super::value::Activation;
use crate::graph::Value;
use crate::layers::ChannelShuffle;

/// Transpose that keeps the batch first and moves at most three groups of neighbouring axes. Attribute: `perm`.
pub fn transpose(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    if builder.is_channels_first(node.input(0)) {
        return Ok(x.share());
    }
    let perm = permutation(node, x.dims.len() + 1)?;
    if perm[0] != 0 {
        return unsupported(format!("attribute `perm`: expected the batch first, got {perm:?} of {}", x.shape_text()));
    }
    // Moving an axis of one element moves no number.
    let moved: Vec<usize> = perm.iter().skip(1).map(|&a| a - 1).filter(|&a| x.dims[a] != 1).collect();
    let dims: Vec<usize> = perm[1..].iter().map(|&a| x.dims[a - 1]).collect();
    if moved.is_sorted() {
        return Ok(x.view(dims));
    }
    if let Some((map, groups)) = shuffled_map(builder, &x, &perm) {
        let value = builder.emit(node, "", ChannelShuffle { groups }, &[map], vec![])?;
        return Ok(Activation::new(value, &dims));
    }
    let Some((view, order)) = three_axes(&x.dims, &moved) else {
        let shape = x.shape_text();
        return unsupported(format!("attribute `perm`: expected up to three groups of axes, got {perm:?} of {shape}"));
    };
    let value = builder.permuted(node, "", &x, view, order)?;
    Ok(Activation::new(value, &dims))
}

/// Returns the map whose channels a transpose shuffles, and the number of groups; `None` for any other transpose.
fn shuffled_map(builder: &GraphBuilder, x: &Activation, perm: &[usize]) -> Option<(Value, usize)> {
    let ([groups, rest, spatial @ ..], [0, 2, 1, last @ ..]) = (&x.dims[..], perm) else { return None };
    if !last.is_sorted() {
        return None;
    }
    let area: usize = spatial.iter().product();
    let is_whole = |v: &&Value| {
        let shape = builder.shape(**v);
        let (c, h, w) = shape.chw();
        shape.is_map() && c == groups * rest && h * w == area
    };
    x.aliases.iter().find(is_whole).map(|&map| (map, *groups))
}

/// Expresses a transpose as a permutation of three axes: the shape with axes that stay neighbours merged into one, and
/// their new order. `moved` lists the axes of more than one element in their new order. `None` for more than three.
fn three_axes(dims: &[usize], moved: &[usize]) -> Option<([usize; 3], [usize; 3])> {
    // First axis and size of each merged axis, in the new order.
    let mut merged: Vec<(usize, usize)> = vec![];
    let mut previous = usize::MAX;
    for &a in moved {
        let is_next = previous < a && dims[previous + 1..a].iter().all(|&d| d == 1);
        match merged.last_mut().filter(|_| is_next) {
            Some(block) => block.1 *= dims[a],
            None => merged.push((a, dims[a])),
        }
        previous = a;
    }
    if merged.len() > 3 {
        return None;
    }
    merged.resize(3, (usize::MAX, 1));
    let rank = |block: usize| merged.iter().enumerate().filter(|&(i, b)| (b.0, i) < (merged[block].0, block)).count();
    let order = [rank(0), rank(1), rank(2)];
    let mut view = [1; 3];
    (0..3).for_each(|i| view[order[i]] = merged[i].1);
    Some((view, order))
}
