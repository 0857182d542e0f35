//! ResNets and their plain twins.

use super::options::Options;
use crate::error::Result;
use crate::graph::{Builder, Graph, Value};
use crate::layers::{
    BatchNorm2d, Conv2d, Flatten, GlobalAvgPool, Linear, MaxPool2d, Pad, Padding, Relu, Slice, Window,
};

/// The block that a ResNet repeats (He et al., 2016, figure 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3, 1x1, the last with four times the channels.
    Bottleneck,
}

/// The path around a block (the notes' equation 3e).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortcut {
    /// No path: the network is the notes' "plain" one (equations (2)).
    Plain,
    /// The identity; where shapes change, every second pixel and zeros for the new channels (option A, without parameters).
    Zeros,
    /// The identity; where shapes change, a 1x1 convolution (option B).
    Projection,
}

/// The description of a ResNet (He et al., 2016; the notes' section 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResNet {
    /// The number of blocks in each stage. The first block of each stage but the first halves height and width.
    pub blocks: Vec<usize>,
    /// The channels of the first stage; each next stage doubles them.
    pub width: usize,
    /// The block that the stages repeat.
    pub block: Block,
    /// The path around each block.
    pub shortcut: Shortcut,
    /// Whether the input is `[3, 224, 224]` and the network begins with a 7x7 convolution of stride 2 and a pooling; otherwise
    /// the input is `[3, 32, 32]` and the network begins with a 3x3 convolution.
    pub large_images: bool,
}

impl ResNet {
    /// Returns the description of a ResNet for ImageNet.
    pub fn imagenet(blocks: [usize; 4], block: Block) -> Self {
        let blocks = blocks.to_vec();
        ResNet { blocks, width: 64, block, shortcut: Shortcut::Projection, large_images: true }
    }

    /// Returns the description of a ResNet for CIFAR of depth `6n + 2`, at least 8 (section 4.2 of the paper).
    ///
    /// # Panics
    /// Panics in debug builds for a depth below 2.
    pub fn cifar(depth: usize) -> Self {
        let blocks = vec![(depth - 2) / 6; 3];
        ResNet { blocks, width: 16, block: Block::Basic, shortcut: Shortcut::Zeros, large_images: false }
    }

    /// Removes the shortcuts (the notes' figure 6).
    pub fn plain(self) -> Self {
        ResNet { shortcut: Shortcut::Plain, ..self }
    }
}

/// Makes the ResNet of this description, or its plain twin (the notes' section 3, figures 7 to 10). Layer names are
/// torchvision's.
///
/// # Shapes
/// Input `[3, 224, 224]` and 1000 classes for large images, otherwise `[3, 32, 32]` and 10 classes; `options.classes` replaces
/// the number of classes.
///
/// # Errors
/// Returns [`crate::Error::Layer`] when a number of channels or classes is 0. Other options are ignored.
///
/// # Examples
/// ```
/// use convoke::zoo::{Options, ResNet, resnet};
/// let graph = resnet("resnet20", &ResNet::cifar(20), Options::default())?;
/// assert_eq!(graph.costs().iter().map(|row| row.parameters).sum::<u64>(), 269_722);
/// # Ok::<(), convoke::Error>(())
/// ```
pub fn resnet(name: &str, config: &ResNet, options: Options) -> Result<Graph> {
    let side = if config.large_images { 224 } else { 32 };
    let mut b = Builder::new(name, [3, side, side]);
    let mut x = stem(&mut b, config);
    let mut channels = config.width;
    for (stage, &blocks) in config.blocks.iter().enumerate() {
        let width = config.width << stage;
        for i in 0..blocks {
            let stride = if stage > 0 && i == 0 { 2 } else { 1 };
            let side = side_of(config, stage, stride);
            let position = BlockPosition { name: format!("layer{}.{i}", stage + 1), channels, side, stride };
            x = block(&mut b, config, &position, width, x);
            channels = out_channels(config.block, width);
        }
    }
    x = b.add("avgpool", GlobalAvgPool {}, x);
    x = b.add("flatten", Flatten {}, x);
    let classes = options.classes.unwrap_or(if config.large_images { 1000 } else { 10 });
    let x = b.add("fc", Linear::new(classes), x);
    b.finish(x)
}

/// Position of a residual block in the network.
struct BlockPosition {
    name: String,
    /// The channels of the block's input.
    channels: usize,
    /// Height and width of the block's input.
    side: usize,
    stride: usize,
}

fn out_channels(block: Block, width: usize) -> usize {
    match block {
        Block::Basic => width,
        Block::Bottleneck => 4 * width,
    }
}

fn side_of(config: &ResNet, stage: usize, stride: usize) -> usize {
    let first = if config.large_images { 56 } else { 32 };
    (first >> stage) * stride
}

fn stem(b: &mut Builder, config: &ResNet) -> Value {
    if !config.large_images {
        let x = conv_bn(b, "conv1", "bn1", conv(config.width, 3, 1), Value::INPUT);
        return b.add("relu", Relu {}, x);
    }
    let x = conv_bn(b, "conv1", "bn1", conv(config.width, 7, 2), Value::INPUT);
    let x = b.add("relu", Relu {}, x);
    let window = Window { stride: [2; 2], padding: Padding::all(1), ..Window::new(3) };
    b.add("maxpool", MaxPool2d { window }, x)
}

fn conv(channels: usize, kernel: usize, stride: usize) -> Conv2d {
    Conv2d::new(channels, kernel).stride(stride).padding(Padding::all(kernel / 2)).no_bias()
}

fn conv_bn(b: &mut Builder, conv: &str, bn: &str, layer: Conv2d, x: Value) -> Value {
    let x = b.add(conv, layer, x);
    b.add(bn, BatchNorm2d::default(), x)
}

fn block(b: &mut Builder, config: &ResNet, position: &BlockPosition, width: usize, input: Value) -> Value {
    // The stride sits in the 3x3 convolution, as in torchvision ("v1.5"); the paper has it in the first 1x1.
    let layers = match config.block {
        Block::Basic => vec![conv(width, 3, position.stride), conv(width, 3, 1)],
        Block::Bottleneck => vec![conv(width, 1, 1), conv(width, 3, position.stride), conv(4 * width, 1, 1)],
    };
    let name = &position.name;
    let last = layers.len();
    let mut x = input;
    for (i, layer) in (1..).zip(layers) {
        x = conv_bn(b, &format!("{name}.conv{i}"), &format!("{name}.bn{i}"), layer, x);
        if i < last {
            x = b.add(format!("{name}.relu{i}"), Relu {}, x);
        }
    }
    if let Some(shortcut) = shortcut(b, config, position, out_channels(config.block, width), input) {
        x = b.sum(format!("{name}.add"), &[x, shortcut]);
    }
    b.add(format!("{name}.relu"), Relu {}, x)
}

fn shortcut(b: &mut Builder, config: &ResNet, position: &BlockPosition, channels: usize, x: Value) -> Option<Value> {
    let name = &position.name;
    let same_shape = position.stride == 1 && position.channels == channels;
    match config.shortcut {
        Shortcut::Plain => None,
        _ if same_shape => Some(x),
        Shortcut::Projection => {
            let (conv_name, bn_name) = (format!("{name}.downsample.0"), format!("{name}.downsample.1"));
            Some(conv_bn(b, &conv_name, &bn_name, conv(channels, 1, position.stride), x))
        }
        Shortcut::Zeros => {
            let (c, side, stride) = (position.channels, position.side, position.stride);
            let slice = Slice { start: [0; 3], end: [c, side, side], step: [1, stride, stride] };
            let x = b.add(format!("{name}.subsample"), slice, x);
            let (before, after) = ((channels - c) / 2, (channels - c).div_ceil(2));
            let pad = Pad { before: [before, 0, 0], after: [after, 0, 0], value: 0.0 };
            Some(b.add(format!("{name}.zeros"), pad, x))
        }
    }
}
