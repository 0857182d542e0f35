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

/// What goes around a block (the notes' equation 3e); without it the network is the notes' "plain" one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortcut {
    /// None: equations (2).
    Plain,
    /// Option A: where shapes change, every second pixel and zeros for the new channels; no parameters.
    Zeros,
    /// Option B: where shapes change, a 1x1 convolution.
    Projection,
}

/// What makes a ResNet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResNet {
    /// Blocks in each stage; the first block of every stage but the first halves the map.
    pub blocks: Vec<usize>,
    /// Channels of the first stage; each next stage has twice as many.
    pub width: usize,
    /// The block.
    pub block: Block,
    /// Its shortcut.
    pub shortcut: Shortcut,
    /// Whether it begins, for large images, with a 7x7 convolution of stride 2 and a pooling; else with a 3x3.
    pub large_images: bool,
}

impl ResNet {
    /// An ImageNet form.
    pub fn imagenet(blocks: [usize; 4], block: Block) -> Self {
        let blocks = blocks.to_vec();
        ResNet { blocks, width: 64, block, shortcut: Shortcut::Projection, large_images: true }
    }

    /// A CIFAR form of depth 6n + 2 (section 4.2 of the paper).
    pub fn cifar(depth: usize) -> Self {
        let blocks = vec![(depth - 2) / 6; 3];
        ResNet { blocks, width: 16, block: Block::Basic, shortcut: Shortcut::Zeros, large_images: false }
    }

    /// The same without shortcuts: the notes' figure 6.
    pub fn plain(self) -> Self {
        ResNet { shortcut: Shortcut::Plain, ..self }
    }
}

/// A ResNet or its plain twin (the notes' section 3, figures 7 to 10). Input 3x224x224, or 3x32x32 in the small form.
/// Layer names are torchvision's.
pub fn resnet(name: &str, form: &ResNet, options: Options) -> Result<Graph> {
    let side = if form.large_images { 224 } else { 32 };
    let mut b = Builder::new(name, [3, side, side]);
    let mut x = stem(&mut b, form);
    let mut channels = form.width;
    for (stage, &blocks) in form.blocks.iter().enumerate() {
        let width = form.width << stage;
        for i in 0..blocks {
            let stride = if stage > 0 && i == 0 { 2 } else { 1 };
            let side = side_of(form, stage, stride);
            let place = BlockPlace { name: format!("layer{}.{i}", stage + 1), channels, side, stride };
            x = block(&mut b, form, &place, width, x);
            channels = out_channels(form.block, width);
        }
    }
    x = b.add("avgpool", GlobalAvgPool {}, x);
    x = b.add("flatten", Flatten {}, x);
    let classes = options.classes.unwrap_or(if form.large_images { 1000 } else { 10 });
    let x = b.add("fc", Linear::new(classes), x);
    b.finish(x)
}

/// Where a block stands.
struct BlockPlace {
    name: String,
    /// Of its input.
    channels: usize,
    /// Height and width of its input.
    side: usize,
    stride: usize,
}

fn out_channels(block: Block, width: usize) -> usize {
    match block {
        Block::Basic => width,
        Block::Bottleneck => 4 * width,
    }
}

fn side_of(form: &ResNet, stage: usize, stride: usize) -> usize {
    let first = if form.large_images { 56 } else { 32 };
    (first >> stage) * stride
}

fn stem(b: &mut Builder, form: &ResNet) -> Value {
    if !form.large_images {
        let x = conv_bn(b, "conv1", "bn1", conv(form.width, 3, 1), Value::INPUT);
        return b.add("relu", Relu {}, x);
    }
    let x = conv_bn(b, "conv1", "bn1", conv(form.width, 7, 2), Value::INPUT);
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

fn block(b: &mut Builder, form: &ResNet, place: &BlockPlace, width: usize, input: Value) -> Value {
    // The stride sits in the 3x3 convolution, as in torchvision ("v1.5"); the paper has it in the first 1x1.
    let layers = match form.block {
        Block::Basic => vec![conv(width, 3, place.stride), conv(width, 3, 1)],
        Block::Bottleneck => vec![conv(width, 1, 1), conv(width, 3, place.stride), conv(4 * width, 1, 1)],
    };
    let name = &place.name;
    let last = layers.len();
    let mut x = input;
    for (i, layer) in (1..).zip(layers) {
        x = conv_bn(b, &format!("{name}.conv{i}"), &format!("{name}.bn{i}"), layer, x);
        if i < last {
            x = b.add(format!("{name}.relu{i}"), Relu {}, x);
        }
    }
    if let Some(shortcut) = shortcut(b, form, place, out_channels(form.block, width), input) {
        x = b.sum(format!("{name}.add"), &[x, shortcut]);
    }
    b.add(format!("{name}.relu"), Relu {}, x)
}

fn shortcut(b: &mut Builder, form: &ResNet, place: &BlockPlace, channels: usize, x: Value) -> Option<Value> {
    let name = &place.name;
    let same_shape = place.stride == 1 && place.channels == channels;
    match form.shortcut {
        Shortcut::Plain => None,
        _ if same_shape => Some(x),
        Shortcut::Projection => {
            let (conv_name, bn_name) = (format!("{name}.downsample.0"), format!("{name}.downsample.1"));
            Some(conv_bn(b, &conv_name, &bn_name, conv(channels, 1, place.stride), x))
        }
        Shortcut::Zeros => {
            let (c, side, stride) = (place.channels, place.side, place.stride);
            let slice = Slice { start: [0; 3], end: [c, side, side], step: [1, stride, stride] };
            let x = b.add(format!("{name}.subsample"), slice, x);
            let (before, after) = ((channels - c) / 2, (channels - c).div_ceil(2));
            let pad = Pad { before: [before, 0, 0], after: [after, 0, 0], value: 0.0 };
            Some(b.add(format!("{name}.zeros"), pad, x))
        }
    }
}
