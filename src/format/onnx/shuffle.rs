//! Transposes: those that move no number, permutations, and the channel shuffle of ShuffleNet, which exporters write as
//! Reshape (C to g x C/g), Transpose (to C/g x g), Reshape (back to C).

use super::constants::permutation;
use super::node::{Op, Step, unsupported};
use super::reader::{Activation, Reader};
use crate::graph::Value;
use crate::layers::ChannelShuffle;

pub(super) fn transpose<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    if reader.is_transposed(op.input(0)) {
        return Ok(x.view(x.dims.clone()));
    }
    let perm = permutation(op, x.dims.len() + 1)?;
    if perm[0] != 0 {
        return unsupported(format!("attribute `perm`: expected the batch first, got {perm:?} of {}", x.text()));
    }
    // Axes of one element may go anywhere.
    let moved: Vec<usize> = perm.iter().skip(1).map(|&a| a - 1).filter(|&a| x.dims[a] != 1).collect();
    let dims: Vec<usize> = perm[1..].iter().map(|&a| x.dims[a - 1]).collect();
    if moved.is_sorted() {
        return Ok(x.view(dims));
    }
    if let ([groups, rest, spatial @ ..], [0, 2, 1, last @ ..]) = (&x.dims[..], &perm[..]) {
        let area: usize = spatial.iter().product();
        let is_whole = |v: &&Value| {
            let (c, h, w) = reader.shape(**v).chw();
            reader.shape(**v).is_map() && c == groups * rest && h * w == area
        };
        if let Some(&map) = x.forms.iter().find(is_whole).filter(|_| last.is_sorted()) {
            let value = reader.emit(op, "", ChannelShuffle { groups: *groups }, &[map], vec![])?;
            return Ok(Activation::new(value, &dims));
        }
    }
    // Axes that stay neighbours are one: (first axis, size).
    let mut blocks: Vec<(usize, usize)> = vec![];
    let mut previous = usize::MAX;
    for &a in &moved {
        let is_next = previous < a && x.dims[previous + 1..a].iter().all(|&d| d == 1);
        match blocks.last_mut().filter(|_| is_next) {
            Some(block) => block.1 *= x.dims[a],
            None => blocks.push((a, x.dims[a])),
        }
        previous = a;
    }
    if blocks.len() > 3 {
        return unsupported(format!(
            "attribute `perm`: expected up to three groups of axes, got {perm:?} of {}",
            x.text()
        ));
    }
    blocks.resize(3, (usize::MAX, 1));
    let rank = |block: usize| blocks.iter().enumerate().filter(|&(i, b)| (b.0, i) < (blocks[block].0, block)).count();
    let order = [rank(0), rank(1), rank(2)];
    let mut view = [1; 3];
    (0..3).for_each(|i| view[order[i]] = blocks[i].1);
    let value = reader.permuted(op, "", &x, view, order)?;
    Ok(Activation::new(value, &dims))
}
