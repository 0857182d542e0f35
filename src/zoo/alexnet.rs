use super::options::Options;
use crate::error::Result;
use crate::graph::{Builder, Graph, Value};
use crate::layers::{AdaptiveAvgPool2d, Conv2d, Dropout, Flatten, Linear, LocalResponseNorm, MaxPool2d, Padding, Relu};

/// What makes an AlexNet with groups and local response normalisation.
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
/// normalisation, overlapping pooling, dropout. Input 3x227x227. Layer names and the normalisation's constants are
/// those of the Caffe model `bvlc_alexnet` (k = 1, where the paper has 2).
pub fn alexnet(options: Options) -> Result<Graph> {
    let first = Conv2d::new(96, 11).stride(4);
    let form = AlexNet { side: 227, first, channels: [256, 384, 384, 256], hidden: 4096, classes: 1000 };
    build("alexnet", form, options)
}

/// AlexNet scaled to images of 32x32: the first convolution is 5x5 at stride 1, and all layers are narrower.
pub fn alexnet_cifar(options: Options) -> Result<Graph> {
    let first = Conv2d::new(48, 5).padding(Padding::Same);
    let form = AlexNet { side: 32, first, channels: [128, 192, 192, 128], hidden: 512, classes: 10 };
    build("alexnet-cifar", form, options)
}

fn build(name: &str, form: AlexNet, options: Options) -> Result<Graph> {
    let norm = LocalResponseNorm { size: 5, alpha: 1e-4, beta: 0.75, k: 1.0 };
    let same = |c, k| Conv2d::new(c, k).padding(Padding::Same);
    let [c2, c3, c4, c5] = form.channels;
    let convolutions = [form.first, same(c2, 5).groups(2), same(c3, 3), same(c4, 3).groups(2), same(c5, 3).groups(2)];
    let mut b = Builder::new(name, [3, form.side, form.side]);
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
        x = b.add(format!("fc{i}"), Linear::new(form.hidden), x);
        x = b.add(format!("relu{i}"), Relu {}, x);
        x = b.add(format!("drop{i}"), Dropout { p: 0.5 }, x);
    }
    let x = b.add("fc8", Linear::new(options.classes.unwrap_or(form.classes)), x);
    b.finish(x)
}

/// AlexNet in the form of torchvision (after Krizhevsky, "One weird trick", 2014): no groups, no normalisation. Input
/// 3x224x224. Layer names are torchvision's.
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
