//! The windows of convolutions and poolings over one or two spatial dimensions.

use super::super::node::{OnnxNode, ReadResult, unsupported};
use super::super::value::Activation;
use crate::layers::{Padding, Window};
use crate::tensor::dims;

/// Reads `strides`, `dilations`, `pads` and `auto_pad` for a kernel over the value `x`. A line `NxCxL` gets the window
/// of its map `NxCxLx1`. Automatic padding is converted to numbers.
pub fn window(node: &OnnxNode, kernel: &[usize], x: &Activation) -> ReadResult<Window> {
    let is_line = x.dims.len() == 2;
    let (kernel, input) = match (kernel, &x.dims[..]) {
        (&[h, w], &[_, ih, iw]) => ([h, w], [ih, iw]),
        (&[h], &[_, ih]) => ([h, 1], [ih, 1]),
        _ => {
            let (x, kernel) = (x.shape_text(), dims(kernel));
            return unsupported(format!("kernel: expected the spatial dimensions of {x}, got {kernel}"));
        }
    };
    let stride = spatial_counts(node, "strides", is_line)?;
    let dilation = spatial_counts(node, "dilations", is_line)?;
    if stride.contains(&0) || dilation.contains(&0) || kernel.contains(&0) {
        return Err(node.invalid("kernel, strides and dilations", "1 or more", "0"));
    }
    let mut window = Window { kernel, stride, padding: Padding::NONE, dilation, ceil_mode: false };
    let auto_pad = node.string("auto_pad")?.unwrap_or_default();
    window.padding = match auto_pad.as_str() {
        "" | "NOTSET" if is_line => {
            Padding::Explicit(node.counts("pads", 0).map(|[before, after]| [before, 0, after, 0])?)
        }
        "" | "NOTSET" => Padding::Explicit(node.counts("pads", 0)?),
        "VALID" => Padding::NONE,
        "SAME_UPPER" | "SAME_LOWER" => {
            let [top, left, bottom, right] = Window { padding: Padding::Same, ..window }.pads(input);
            Padding::Explicit(match auto_pad.as_str() {
                "SAME_UPPER" => [top, left, bottom, right],
                _ => [bottom, right, top, left],
            })
        }
        other => return Err(node.invalid("attribute `auto_pad`", "NOTSET, VALID, SAME_UPPER or SAME_LOWER", other)),
    };
    Ok(window)
}

/// Reads a count for each spatial dimension, 1 by default.
fn spatial_counts(node: &OnnxNode, name: &str, is_line: bool) -> ReadResult<[usize; 2]> {
    if is_line { node.counts(name, 1).map(|[length]| [length, 1]) } else { node.counts(name, 1) }
}

/// Gives a layer's output the number of dimensions of `x`, from which the layer's input was made by
/// [`GraphBuilder::unsqueezed_map`](super::super::builder::GraphBuilder::unsqueezed_map).
pub fn squeezed_like(mut y: Activation, x: &Activation) -> Activation {
    y.dims.truncate(x.dims.len());
    y
}
