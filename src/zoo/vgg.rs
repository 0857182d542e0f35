use super::options::Options;
use crate::error::Result;
use crate::graph::{Builder, Graph, Value};
use crate::layers::{AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, Padding, Relu};

/// What makes a VGG (Simonyan and Zisserman, 2014; the notes' section 2.3, figure 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vgg {
    /// Of each stage: its 'same' 3x3 convolutions and their feature maps. A stage ends in a 2x2 pooling.
    pub stages: Vec<[usize; 2]>,
    /// Outputs of each of the two hidden linear layers.
    pub hidden: usize,
    /// Whether each convolution is followed by a batch normalisation.
    pub batch_norm: bool,
    /// Height and width of the image.
    pub side: usize,
}

impl Vgg {
    /// An ImageNet form, with this many convolutions in each stage.
    pub fn imagenet(convolutions: [usize; 5]) -> Self {
        let stages =
            convolutions.into_iter().zip([64, 128, 256, 512, 512]).map(|(n, channels)| [n, channels]).collect();
        Vgg { stages, hidden: 4096, batch_norm: false, side: 224 }
    }

    /// A form scaled to images of 32x32: six convolutions, with batch normalisation.
    pub fn cifar() -> Self {
        Vgg { stages: vec![[2, 32], [2, 64], [2, 128]], hidden: 256, batch_norm: true, side: 32 }
    }
}

/// Configuration D: 13 convolutions and 3 linear layers.
pub fn vgg16(options: Options) -> Result<Graph> {
    vgg("vgg16", &Vgg::imagenet([2, 2, 3, 3, 3]), options)
}

/// Configuration E: 16 convolutions and 3 linear layers.
pub fn vgg19(options: Options) -> Result<Graph> {
    vgg("vgg19", &Vgg::imagenet([2, 2, 4, 4, 4]), options)
}

/// A VGG for images of 32x32.
pub fn vgg9(options: Options) -> Result<Graph> {
    vgg("vgg9", &Vgg::cifar(), options)
}

/// A VGG. Input 3 x side x side; layer names are torchvision's.
pub fn vgg(name: &str, form: &Vgg, options: Options) -> Result<Graph> {
    let large_images = form.side >= 224;
    let mut b = Builder::new(name, [3, form.side, form.side]);
    let mut x = Value::INPUT;
    let mut count = 0;
    let mut next = || {
        count += 1;
        format!("features.{}", count - 1)
    };
    for &[convolutions, channels] in &form.stages {
        for _ in 0..convolutions {
            x = b.add(next(), Conv2d::new(channels, 3).padding(Padding::all(1)), x);
            if form.batch_norm {
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
        x = b.add(format!("classifier.{i}"), Linear::new(form.hidden), x);
        x = b.add(format!("classifier.{}", i + 1), Relu {}, x);
        x = b.add(format!("classifier.{}", i + 2), Dropout { p: 0.5 }, x);
    }
    let x = b.add("classifier.6", Linear::new(options.classes.unwrap_or(if large_images { 1000 } else { 10 })), x);
    b.finish(x)
}
