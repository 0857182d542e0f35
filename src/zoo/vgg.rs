//! VGG networks.

use super::options::Options;
use crate::error::Result;
use crate::graph::{Builder, Graph, Value};
use crate::layers::{AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, Padding, Relu};

/// The description of a VGG (Simonyan and Zisserman, 2014; the notes' section 2.3, figure 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vgg {
    /// For each stage `[n, c]`: n 3x3 convolutions of c feature maps, followed by a 2x2 pooling.
    pub stages: Vec<[usize; 2]>,
    /// The outputs of each of the two hidden linear layers.
    pub hidden: usize,
    /// Whether each convolution is followed by a batch normalization.
    pub batch_norm: bool,
    /// Height and width of the image in pixels. From 224 on, an adaptive pooling to 7x7 precedes the linear layers.
    pub side: usize,
}

impl Vgg {
    /// Returns the description of a VGG for ImageNet with these numbers of convolutions in its stages.
    pub fn imagenet(convolutions: [usize; 5]) -> Self {
        let stages =
            convolutions.into_iter().zip([64, 128, 256, 512, 512]).map(|(n, channels)| [n, channels]).collect();
        Vgg { stages, hidden: 4096, batch_norm: false, side: 224 }
    }

    /// Returns the description of a VGG for images of 32x32: six convolutions, with batch normalization.
    pub fn cifar() -> Self {
        Vgg { stages: vec![[2, 32], [2, 64], [2, 128]], hidden: 256, batch_norm: true, side: 32 }
    }
}

/// VGG-16, configuration D (Simonyan and Zisserman, 2014; the notes' section 2.3): 13 convolutions and 3 linear layers. Layer
/// names are torchvision's.
///
/// # Shapes
/// Input `[3, 224, 224]`; 1000 classes unless `options.classes` says otherwise; 138,357,544 parameters.
///
/// # Errors
/// Returns [`crate::Error::Layer`] for `options.classes` of 0. Other options are ignored.
///
/// # Examples
/// ```
/// use convoke::zoo::{Options, vgg16};
/// let graph = vgg16(Options::default())?;
/// assert_eq!(graph.input().to_string(), "3x224x224");
/// assert_eq!(graph.costs().iter().map(|row| row.parameters).sum::<u64>(), 138_357_544);
/// # Ok::<(), convoke::Error>(())
/// ```
pub fn vgg16(options: Options) -> Result<Graph> {
    vgg("vgg16", &Vgg::imagenet([2, 2, 3, 3, 3]), options)
}

/// VGG-19, configuration E (Simonyan and Zisserman, 2014): 16 convolutions and 3 linear layers. Layer names are
/// torchvision's.
///
/// # Shapes
/// Input `[3, 224, 224]`; 1000 classes unless `options.classes` says otherwise; 143,667,240 parameters.
///
/// # Errors
/// Returns [`crate::Error::Layer`] for `options.classes` of 0. Other options are ignored.
///
/// # Examples
/// ```
/// use convoke::zoo::{Options, vgg19};
/// let graph = vgg19(Options::default())?;
/// assert_eq!(graph.input().to_string(), "3x224x224");
/// assert_eq!(graph.costs().iter().map(|row| row.parameters).sum::<u64>(), 143_667_240);
/// # Ok::<(), convoke::Error>(())
/// ```
pub fn vgg19(options: Options) -> Result<Graph> {
    vgg("vgg19", &Vgg::imagenet([2, 2, 4, 4, 4]), options)
}

/// A VGG for images of 32x32: six convolutions with batch normalization and 3 linear layers.
///
/// # Shapes
/// Input `[3, 32, 32]`; 10 classes unless `options.classes` says otherwise; 880,810 parameters.
///
/// # Errors
/// Returns [`crate::Error::Layer`] for `options.classes` of 0. Other options are ignored.
///
/// # Examples
/// ```
/// use convoke::zoo::{Options, vgg9};
/// let graph = vgg9(Options::default())?;
/// assert_eq!(graph.input().to_string(), "3x32x32");
/// assert_eq!(graph.costs().iter().map(|row| row.parameters).sum::<u64>(), 880_810);
/// # Ok::<(), convoke::Error>(())
/// ```
pub fn vgg9(options: Options) -> Result<Graph> {
    vgg("vgg9", &Vgg::cifar(), options)
}

/// Makes the VGG of this description. Layer names are torchvision's.
///
/// # Shapes
/// Input `[3, side, side]`; 1000 classes from a side of 224 on, otherwise 10; `options.classes` replaces the number of classes.
///
/// # Errors
/// Returns [`crate::Error::Layer`] when a number of feature maps or classes is 0, or the side is too small for the poolings.
/// Other options are ignored.
///
/// # Examples
/// ```
/// use convoke::zoo::{Options, Vgg, vgg};
/// let graph = vgg("vgg9", &Vgg::cifar(), Options::default())?;
/// assert_eq!(graph.classes(), 10);
/// # Ok::<(), convoke::Error>(())
/// ```
pub fn vgg(name: &str, config: &Vgg, options: Options) -> Result<Graph> {
    let large_images = config.side >= 224;
    let mut b = Builder::new(name, [3, config.side, config.side]);
    let mut x = Value::INPUT;
    let mut count = 0;
    let mut next = || {
        count += 1;
        format!("features.{}", count - 1)
    };
    for &[convolutions, channels] in &config.stages {
        for _ in 0..convolutions {
            x = b.add(next(), Conv2d::new(channels, 3).padding(Padding::all(1)), x);
            if config.batch_norm {
                x = b.add(next(), BatchNorm2d::default(), x);
            }
            x = b.add(next(), Relu {}, x);
        }
        x = b.add(next(), MaxPool2d::new(2, 2), x);
    }
    if large_images {
        x = b.add("avgpool", AdaptiveAvgPool2d { output: [7, 7] }, x);
    }
    x = b.add("flatten", Flatten {}, x);
    for i in [0, 3] {
        x = b.add(format!("classifier.{i}"), Linear::new(config.hidden), x);
        x = b.add(format!("classifier.{}", i + 1), Relu {}, x);
        x = b.add(format!("classifier.{}", i + 2), Dropout { p: 0.5 }, x);
    }
    let x = b.add("classifier.6", Linear::new(options.classes.unwrap_or(if large_images { 1000 } else { 10 })), x);
    b.finish(x)
}
