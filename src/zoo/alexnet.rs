//! AlexNet and its variants.

use super::options::Options;
use crate::error::Result;
use crate::graph::{Builder, Graph, Value};
use crate::layers::{AdaptiveAvgPool2d, Conv2d, Dropout, Flatten, Linear, LocalResponseNorm, MaxPool2d, Padding, Relu};

/// The sizes of an AlexNet with groups and local response normalization.
struct AlexNet {
    side: usize,
    first: Conv2d,
    /// Feature maps of the second to the fifth convolution.
    channels: [usize; 4],
    /// Outputs of each of the two hidden linear layers.
    hidden: usize,
    classes: usize,
}

/// AlexNet as published (Krizhevsky et al., 2012; the notes' section 2.2, figure 4): two groups, local response
/// normalization, overlapping pooling, dropout. Layer names and the constants of the normalization are those of the Caffe
/// model `bvlc_alexnet` (k = 1, where the paper has 2).
///
/// # Shapes
/// Input `[3, 227, 227]`; 1000 classes unless `options.classes` says otherwise; 60,965,224 parameters.
///
/// # Errors
/// Returns [`crate::Error::Layer`] for `options.classes` of 0. Other options are ignored.
///
/// # Examples
/// ```
/// use convoke::zoo::{Options, alexnet};
/// let graph = alexnet(Options::default())?;
/// assert_eq!(graph.input().to_string(), "3x227x227");
/// assert_eq!(graph.costs().iter().map(|row| row.parameters).sum::<u64>(), 60_965_224);
/// # Ok::<(), convoke::Error>(())
/// ```
pub fn alexnet(options: Options) -> Result<Graph> {
    let first = Conv2d::new(96, 11).stride(4);
    let config = AlexNet { side: 227, first, channels: [256, 384, 384, 256], hidden: 4096, classes: 1000 };
    build("alexnet", config, options)
}

/// AlexNet scaled to images of 32x32: the first convolution is 5x5 at stride 1, and all layers are narrower.
///
/// # Shapes
/// Input `[3, 32, 32]`; 10 classes unless `options.classes` says otherwise; 1,436,874 parameters.
///
/// # Errors
/// Returns [`crate::Error::Layer`] for `options.classes` of 0. Other options are ignored.
///
/// # Examples
/// ```
/// use convoke::zoo::{Options, alexnet_cifar};
/// let graph = alexnet_cifar(Options::default())?;
/// assert_eq!(graph.input().to_string(), "3x32x32");
/// assert_eq!(graph.costs().iter().map(|row| row.parameters).sum::<u64>(), 1_436_874);
/// # Ok::<(), convoke::Error>(())
/// ```
pub fn alexnet_cifar(options: Options) -> Result<Graph> {
    let first = Conv2d::new(48, 5).padding(Padding::Same);
    let config = AlexNet { side: 32, first, channels: [128, 192, 192, 128], hidden: 512, classes: 10 };
    build("alexnet-cifar", config, options)
}

fn build(name: &str, config: AlexNet, options: Options) -> Result<Graph> {
    let norm = LocalResponseNorm { size: 5, alpha: 1e-4, beta: 0.75, k: 1.0 };
    let same = |c, k| Conv2d::new(c, k).padding(Padding::Same);
    let [c2, c3, c4, c5] = config.channels;
    let convolutions = [config.first, same(c2, 5).groups(2), same(c3, 3), same(c4, 3).groups(2), same(c5, 3).groups(2)];
    let mut b = Builder::new(name, [3, config.side, config.side]);
    let mut x = Value::INPUT;
    for (i, conv) in (1..).zip(convolutions) {
        x = b.add(format!("conv{i}"), conv, x);
        x = b.add(format!("relu{i}"), Relu {}, x);
        if i <= 2 {
            x = b.add(format!("norm{i}"), norm, x);
        }
        if [1, 2, 5].contains(&i) {
            x = b.add(format!("pool{i}"), MaxPool2d::new(3, 2), x);
        }
    }
    x = b.add("flatten", Flatten {}, x);
    for i in [6, 7] {
        x = b.add(format!("fc{i}"), Linear::new(config.hidden), x);
        x = b.add(format!("relu{i}"), Relu {}, x);
        x = b.add(format!("drop{i}"), Dropout { p: 0.5 }, x);
    }
    let x = b.add("fc8", Linear::new(options.classes.unwrap_or(config.classes)), x);
    b.finish(x)
}

/// AlexNet as torchvision has it (after Krizhevsky, "One weird trick", 2014): no groups, no normalization. Layer names are
/// torchvision's.
///
/// # Shapes
/// Input `[3, 224, 224]`; 1000 classes unless `options.classes` says otherwise; 61,100,840 parameters.
///
/// # Errors
/// Returns [`crate::Error::Layer`] for `options.classes` of 0. Other options are ignored.
///
/// # Examples
/// ```
/// use convoke::zoo::{Options, alexnet_torchvision};
/// let graph = alexnet_torchvision(Options::default())?;
/// assert_eq!(graph.input().to_string(), "3x224x224");
/// assert_eq!(graph.costs().iter().map(|row| row.parameters).sum::<u64>(), 61_100_840);
/// # Ok::<(), convoke::Error>(())
/// ```
pub fn alexnet_torchvision(options: Options) -> Result<Graph> {
    let padded = |c, k, p| Conv2d::new(c, k).padding(Padding::all(p));
    let features = [
        (0, padded(64, 11, 2).stride(4), true),
        (3, padded(192, 5, 2), true),
        (6, padded(384, 3, 1), false),
        (8, padded(256, 3, 1), false),
        (10, padded(256, 3, 1), true),
    ];
    let mut b = Builder::new("alexnet-torchvision", [3, 224, 224]);
    let mut x = Value::INPUT;
    for (i, conv, pooled) in features {
        x = b.add(format!("features.{i}"), conv, x);
        x = b.add(format!("features.{}", i + 1), Relu {}, x);
        if pooled {
            x = b.add(format!("features.{}", i + 2), MaxPool2d::new(3, 2), x);
        }
    }
    x = b.add("avgpool", AdaptiveAvgPool2d { output: [6, 6] }, x);
    x = b.add("flatten", Flatten {}, x);
    for i in [0, 3] {
        x = b.add(format!("classifier.{i}"), Dropout { p: 0.5 }, x);
        x = b.add(format!("classifier.{}", i + 1), Linear::new(4096), x);
        x = b.add(format!("classifier.{}", i + 2), Relu {}, x);
    }
    let x = b.add("classifier.6", Linear::new(options.classes.unwrap_or(1000)), x);
    b.finish(x)
}
