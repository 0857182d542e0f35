//! Poolings, in windows and over whole maps.

use super::super::builder::GraphBuilder;
use super::super::node::{OnnxNode, ReadResult};
use super::super::value::Activation;
use super::window::{squeezed_like, window};
use crate::layers::{AvgPool2d, GlobalAvgPool, MaxPool2d, Window};

/// Reads the window of a pooling from `kernel_shape` (required), `ceil_mode` and the attributes of [`window`].
fn pool_window(node: &OnnxNode, x: &Activation) -> ReadResult<Window> {
    let Some(kernel) = node.ints("kernel_shape") else {
        return Err(node.invalid("attribute `kernel_shape`", "a list", "none"));
    };
    let kernel: Vec<usize> = kernel.iter().map(|&k| usize::try_from(k).unwrap_or(0)).collect();
    let mut window = window(node, &kernel, x)?;
    window.ceil_mode = node.flag("ceil_mode", false)?;
    Ok(window)
}

/// MaxPool over one or two spatial dimensions. Attributes: `kernel_shape`, `strides`, `dilations`, `pads`, `auto_pad`,
/// `ceil_mode`. The second output, indices, is not computed.
pub fn max_pool(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    let map = builder.unsqueezed_map(node, &x)?;
    let layer = MaxPool2d { window: pool_window(node, &x)? };
    let y = builder.emit_activation(node, "", layer, &[map], vec![])?;
    Ok(squeezed_like(y, &x))
}

/// AveragePool over one or two spatial dimensions. Attributes: `count_include_pad` and the
/// attributes of [`max_pool`].
pub fn average_pool(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    average(builder, node, &x)
}

/// Adds an average pooling with a node's attributes.
pub fn average(builder: &mut GraphBuilder, node: &OnnxNode, x: &Activation) -> ReadResult<Activation> {
    let count_include_pad = node.flag("count_include_pad", false)?;
    let map = builder.unsqueezed_map(node, x)?;
    let layer = AvgPool2d { window: pool_window(node, x)?, count_include_pad };
    let y = builder.emit_activation(node, "", layer, &[map], vec![])?;
    Ok(squeezed_like(y, x))
}

/// GlobalAveragePool: the mean of each feature map.
pub fn global_average_pool(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    global_average(builder, node, &x)
}

/// Adds an average pooling over whole maps.
pub fn global_average(builder: &mut GraphBuilder, node: &OnnxNode, x: &Activation) -> ReadResult<Activation> {
    let map = builder.unsqueezed_map(node, x)?;
    let y = builder.emit_activation(node, "", GlobalAvgPool {}, &[map], vec![])?;
    Ok(squeezed_like(y, x))
}

/// GlobalMaxPool: the maximum of each feature map, as a pooling with one window.
pub fn global_max_pool(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Activation> {
    let x = builder.activation(node, 0)?;
    let map = builder.unsqueezed_map(node, &x)?;
    let (_, height, width) = builder.shape(map).chw();
    let window = Window { kernel: [height, width], ..Window::new(1) };
    let y = builder.emit_activation(node, "", MaxPool2d { window }, &[map], vec![])?;
    Ok(squeezed_like(y, &x))
}
