use super::Options;
use crate::error::Result;
use crate::graph::{Builder, Graph, Value};
use crate::layers::{AdaptiveAvgPool2d, Conv2d, Dropout, Flatten, Linear, LocalResponseNorm, MaxPool2d, Padding, Relu};

/// AlexNet as published (Krizhevsky et al., 2012; the notes' section 2.2, figure 4): two groups, local response
/// normalisation, overlapping pooling, dropout. Input 3x227x227. Layer names and the normalisation's constants are
/// those of the Caffe model `bvlc_alexnet` (k = 1, where the paper has 2).
pub fn alexnet(options: Options) -> Result<Graph> {
    let norm = LocalResponseNorm { size: 5, alpha: 1e-4, beta: 0.75, k: 1.0 };
    let same = |c, k| Conv2d::new(c, k).padding(Padding::Same);
    let convolutions = [
        Conv2d::new(96, 11).stride(4),
        same(256, 5).groups(2),
        same(384, 3),
        same(384, 3).groups(2),
        same(256, 3).groups(2),
    ];
    let mut b = Builder::new("alexnet", [3, 227, 227]);
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
        x = b.add(format!("fc{i}"), Linear::new(4096), x);
        x = b.add(format!("relu{i}"), Relu {}, x);
        x = b.add(format!("drop{i}"), Dropout { p: 0.5 }, x);
    }
    let x = b.add("fc8", Linear::new(options.classes.unwrap_or(1000)), x);
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
