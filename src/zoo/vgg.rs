use super::Options;
use crate::error::Result;
use crate::graph::{Builder, Graph, Value};
use crate::layers::{AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, Padding, Relu};

/// What makes a VGG (Simonyan and Zisserman, 2014; the notes' section 2.3, figure 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vgg {
    /// 'Same' 3x3 convolutions in each of the five stages.
    pub convolutions: [usize; 5],
    /// Whether each convolution is followed by a batch normalisation.
    pub batch_norm: bool,
}

/// Configuration D: 13 convolutions and 3 linear layers.
pub fn vgg16(options: Options) -> Result<Graph> {
    vgg("vgg16", Vgg { convolutions: [2, 2, 3, 3, 3], batch_norm: false }, options)
}

/// Configuration E: 16 convolutions and 3 linear layers.
pub fn vgg19(options: Options) -> Result<Graph> {
    vgg("vgg19", Vgg { convolutions: [2, 2, 4, 4, 4], batch_norm: false }, options)
}

/// A VGG. Input 3x224x224; layer names are torchvision's.
pub fn vgg(name: &str, form: Vgg, options: Options) -> Result<Graph> {
    let mut b = Builder::new(name, [3, 224, 224]);
    let mut x = Value::INPUT;
    let mut count = 0;
    let mut next = || {
        count += 1;
        format!("features.{}", count - 1)
    };
    for (convolutions, channels) in form.convolutions.into_iter().zip([64, 128, 256, 512, 512]) {
        for _ in 0..convolutions {
            x = b.add(next(), Conv2d::new(channels, 3).padding(Padding::all(1)), x);
            if form.batch_norm {
                x = b.add(next(), BatchNorm2d::default(), x);
            }
            x = b.add(next(), Relu {}, x);
        }
        x = b.add(next(), MaxPool2d::new(2, 2), x);
    }
    x = b.add("avgpool", AdaptiveAvgPool2d { output: [7, 7] }, x);
    x = b.add("flatten", Flatten {}, x);
    for i in [0, 3] {
        x = b.add(format!("classifier.{i}"), Linear::new(4096), x);
        x = b.add(format!("classifier.{}", i + 1), Relu {}, x);
        x = b.add(format!("classifier.{}", i + 2), Dropout { p: 0.5 }, x);
    }
    let x = b.add("classifier.6", Linear::new(options.classes.unwrap_or(1000)), x);
    b.finish(x)
}
