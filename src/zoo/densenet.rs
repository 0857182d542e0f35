//! DenseNets.

use super::options::Options;
use crate::error::Result;
use crate::graph::{Builder, Graph, Value};
use crate::layers::{AvgPool2d, BatchNorm2d, Conv2d, Flatten, GlobalAvgPool, Linear, MaxPool2d, Padding, Relu, Window};

/// The description of a DenseNet (Huang et al., 2017; the notes' section 6, figures 16 and 17).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DenseNet {
    /// The number of layers in each dense block, at least one block.
    pub layers: Vec<usize>,
    /// k, the growth rate of the notes' equation (5): the feature maps that each layer adds.
    pub growth: usize,
    /// The feature maps before the first block, `k[0]` in equation (5).
    pub start: usize,
    /// Whether a 1x1 convolution first reduces the input of each layer to 4k maps, and each transition halves the number of
    /// maps ("BC" in the paper).
    pub bottleneck: bool,
    /// Whether the input is `[3, 224, 224]` and the network begins with a 7x7 convolution of stride 2 and a pooling; otherwise
    /// the input is `[3, 32, 32]` and the network begins with a 3x3 convolution.
    pub large_images: bool,
}

impl DenseNet {
    /// Returns the description of a DenseNet for ImageNet.
    pub fn imagenet(layers: [usize; 4], growth: usize, start: usize) -> Self {
        DenseNet { layers: layers.to_vec(), growth, start, bottleneck: true, large_images: true }
    }

    /// Returns the description of a DenseNet for CIFAR of depth `3n + 4`, at least 7, without bottlenecks.
    ///
    /// # Panics
    /// Panics in debug builds for a depth below 4.
    pub fn cifar(depth: usize, growth: usize) -> Self {
        DenseNet { layers: vec![(depth - 4) / 3; 3], growth, start: 16, bottleneck: false, large_images: false }
    }
}

/// Makes the DenseNet of this description. Layer names are torchvision's.
///
/// # Shapes
/// Input `[3, 224, 224]` and 1000 classes for large images, otherwise `[3, 32, 32]` and 10 classes; `options.classes` replaces
/// the number of classes.
///
/// # Errors
/// Returns [`crate::Error::Layer`] when a number of maps or classes is 0. Other options are ignored.
///
/// # Examples
/// ```
/// use convoke::zoo::{DenseNet, Options, densenet};
/// let graph = densenet("densenet40", &DenseNet::cifar(40, 12), Options::default())?;
/// assert_eq!(graph.costs().iter().map(|row| row.parameters).sum::<u64>(), 1_019_722);
/// # Ok::<(), convoke::Error>(())
/// ```
pub fn densenet(name: &str, config: &DenseNet, options: Options) -> Result<Graph> {
    let side = if config.large_images { 224 } else { 32 };
    let mut b = Builder::new(name, [3, side, side]);
    let mut x = stem(&mut b, config);
    let mut channels = config.start;
    for (i, &layers) in (1..).zip(&config.layers) {
        x = dense_block(&mut b, config, i, layers, x);
        channels += layers * config.growth;
        if i < config.layers.len() {
            channels = if config.bottleneck { channels / 2 } else { channels };
            x = transition(&mut b, &format!("features.transition{i}"), channels, x);
        }
    }
    x = b.add("features.norm5", BatchNorm2d::default(), x);
    x = b.add("relu5", Relu {}, x);
    x = b.add("avgpool", GlobalAvgPool {}, x);
    x = b.add("flatten", Flatten {}, x);
    let classes = options.classes.unwrap_or(if config.large_images { 1000 } else { 10 });
    let x = b.add("classifier", Linear::new(classes), x);
    b.finish(x)
}

fn stem(b: &mut Builder, config: &DenseNet) -> Value {
    if !config.large_images {
        return b.add("features.conv0", Conv2d::new(config.start, 3).padding(Padding::all(1)).no_bias(), Value::INPUT);
    }
    let conv = Conv2d::new(config.start, 7).stride(2).padding(Padding::all(3)).no_bias();
    let x = b.add("features.conv0", conv, Value::INPUT);
    let x = b.add("features.norm0", BatchNorm2d::default(), x);
    let x = b.add("features.relu0", Relu {}, x);
    let window = Window { stride: [2; 2], padding: Padding::all(1), ..Window::new(3) };
    b.add("features.pool0", MaxPool2d { window }, x)
}

/// Appends a dense block (equation (4)): each layer sees all maps before it and adds `growth` maps.
fn dense_block(b: &mut Builder, config: &DenseNet, block: usize, layers: usize, mut x: Value) -> Value {
    for i in 1..=layers {
        let name = format!("features.denseblock{block}.denselayer{i}");
        let new = dense_layer(b, config, &name, x);
        x = b.concat(format!("{name}.concat"), &[x, new]);
    }
    x
}

fn dense_layer(b: &mut Builder, config: &DenseNet, name: &str, x: Value) -> Value {
    let three = Conv2d::new(config.growth, 3).padding(Padding::all(1)).no_bias();
    let x = b.add(format!("{name}.norm1"), BatchNorm2d::default(), x);
    let x = b.add(format!("{name}.relu1"), Relu {}, x);
    if !config.bottleneck {
        return b.add(format!("{name}.conv1"), three, x);
    }
    let x = b.add(format!("{name}.conv1"), Conv2d::new(4 * config.growth, 1).no_bias(), x);
    let x = b.add(format!("{name}.norm2"), BatchNorm2d::default(), x);
    let x = b.add(format!("{name}.relu2"), Relu {}, x);
    b.add(format!("{name}.conv2"), three, x)
}

/// Appends a transition layer (the notes' section 6): batch normalization, 1x1 convolution, pooling.
fn transition(b: &mut Builder, name: &str, channels: usize, x: Value) -> Value {
    let x = b.add(format!("{name}.norm"), BatchNorm2d::default(), x);
    let x = b.add(format!("{name}.relu"), Relu {}, x);
    let x = b.add(format!("{name}.conv"), Conv2d::new(channels, 1).no_bias(), x);
    b.add(format!("{name}.pool"), AvgPool2d::new(2, 2), x)
}
