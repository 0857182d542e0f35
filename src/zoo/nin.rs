//! Network in network.

use super::options::Options;
use crate::error::Result;
use crate::graph::{Builder, Graph, Value};
use crate::layers::{AvgPool2d, Conv2d, Dropout, Flatten, GlobalAvgPool, Layer, MaxPool2d, Padding, Relu, Window};

/// Network in network for CIFAR (Lin et al., 2013; the notes' section 4): three "mlpconv" blocks, each a convolution
/// followed by two 1x1 convolutions, and global average pooling in place of linear layers.
///
/// # Shapes
/// Input `[3, 32, 32]`; 10 classes unless `options.classes` says otherwise; 966,986 parameters.
///
/// # Errors
/// Returns [`crate::Error::Layer`] for `options.classes` of 0. Other options are ignored.
///
/// # Examples
/// ```
/// use convoke::zoo::{Options, nin};
/// let graph = nin(Options::default())?;
/// assert_eq!(graph.input().to_string(), "3x32x32");
/// assert_eq!(graph.costs().iter().map(|row| row.parameters).sum::<u64>(), 966_986);
/// # Ok::<(), convoke::Error>(())
/// ```
pub fn nin(options: Options) -> Result<Graph> {
    let classes = options.classes.unwrap_or(10);
    let window = Window { stride: [2; 2], ceil_mode: true, ..Window::new(3) };
    let blocks: [(usize, [usize; 3], Option<Layer>); 3] = [
        (5, [192, 160, 96], Some(MaxPool2d { window }.into())),
        (5, [192, 192, 192], Some(AvgPool2d { window, count_include_pad: true }.into())),
        (3, [192, 192, classes], None),
    ];
    let mut b = Builder::new("nin", [3, 32, 32]);
    let mut x = Value::INPUT;
    for (i, (kernel, channels, pool)) in (1..).zip(blocks) {
        for (j, c) in channels.into_iter().enumerate() {
            let kernel = if j == 0 { kernel } else { 1 };
            let name = if j == 0 { format!("conv{i}") } else { format!("cccp{}", 2 * (i - 1) + j) };
            x = b.add(&name, Conv2d::new(c, kernel).padding(Padding::Same), x);
            x = b.add(format!("relu_{name}"), Relu {}, x);
        }
        if let Some(pool) = pool {
            x = b.add(format!("pool{i}"), pool, x);
            x = b.add(format!("drop{i}"), Dropout { p: 0.5 }, x);
        }
    }
    x = b.add("global", GlobalAvgPool {}, x);
    let x = b.add("flatten", Flatten {}, x);
    b.finish(x)
}
