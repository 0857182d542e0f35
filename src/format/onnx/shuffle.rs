//! Transposes: those that move no number, and the channel shuffle of ShuffleNet, which exporters write as
//! Reshape (C to g x C/g), Transpose (to C/g x g), Reshape (back to C).

use super::constants::permutation;
use super::node::{Op, Step, unsupported};
use super::reader::{Activation, Reader};
use crate::layers::ChannelShuffle;

pub(super) fn transpose<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    let perm = permutation(op, x.dims.len() + 1)?;
    let refuse = || unsupported(format!("attribute `perm`: expected a channel shuffle, got {perm:?} of {}", x.text()));
    if perm[0] != 0 {
        return refuse();
    }
    // Axes of one element may go anywhere.
    let moved: Vec<usize> = perm.iter().skip(1).map(|&a| a - 1).filter(|&a| x.dims[a] != 1).collect();
    let dims = perm[1..].iter().map(|&a| x.dims[a - 1]).collect();
    if moved.is_sorted() {
        return Ok(x.view(dims));
    }
    let [groups, rest, spatial @ ..] = &x.dims[..] else { return refuse() };
    let swaps = perm[1..3] == [2, 1] && perm[3..].iter().copied().eq(3..perm.len());
    let area: usize = spatial.iter().product();
    let is_whole = |v: &&crate::graph::Value| {
        let (c, h, w) = reader.shape(**v).chw();
        reader.shape(**v).is_map() && c == groups * rest && h * w == area
    };
    match x.forms.iter().find(is_whole) {
        Some(&map) if swaps => {
            let value = reader.emit(op, "", ChannelShuffle { groups: *groups }, &[map], vec![])?;
            Ok(Activation::new(value, &x.dims).view(dims))
        }
        _ => refuse(),
    }
}
