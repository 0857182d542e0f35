use super::options::Options;
use crate::error::Result;
use crate::graph::{Builder, Graph, Value};
use crate::layers::{AvgPool2d, BatchNorm2d, Conv2d, Flatten, GlobalAvgPool, Linear, MaxPool2d, Padding, Relu, Window};

/// What makes a DenseNet (Huang et al., 2017; the notes' section 6, figures 16 and 17).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DenseNet {
    /// Layers in each dense block.
    pub layers: Vec<usize>,
    /// k: feature maps that each layer adds; the growth rate of the notes' equation (5).
    pub growth: usize,
    /// Feature maps before the first block, `k[0]` in equation (5).
    pub start: usize,
    /// Whether each layer first reduces to 4k maps by a 1x1 convolution and each transition halves the maps ("BC").
    pub bottleneck: bool,
    /// Whether it begins, for large images, with a 7x7 convolution of stride 2 and a pooling; else with a 3x3.
    pub large_images: bool,
}

impl DenseNet {
    /// An ImageNet form.
    pub fn imagenet(layers: [usize; 4], growth: usize, start: usize) -> Self {
        DenseNet { layers: layers.to_vec(), growth, start, bottleneck: true, large_images: true }
    }

    /// A CIFAR form of depth 3n + 4, without bottlenecks.
    pub fn cifar(depth: usize, growth: usize) -> Self {
        DenseNet { layers: vec![(depth - 4) / 3; 3], growth, start: 16, bottleneck: false, large_images: false }
    }
}

/// A DenseNet. Input 3x224x224, or 3x32x32 in the small form. Layer names are torchvision's.
pub fn densenet(name: &str, form: &DenseNet, options: Options) -> Result<Graph> {
    let side = if form.large_images { 224 } else { 32 };
    let mut b = Builder::new(name, [3, side, side]);
    let mut x = stem(&mut b, form);
    let mut channels = form.start;
    for (i, &layers) in (1..).zip(&form.layers) {
        x = dense_block(&mut b, form, i, layers, x);
        channels += layers * form.growth;
        if i < form.layers.len() {
            channels = if form.bottleneck { channels / 2 } else { channels };
            x = transition(&mut b, &format!("features.transition{i}"), channels, x);
        }
    }
    x = b.add("features.norm5", BatchNorm2d::default(), x);
    x = b.add("relu5", Relu {}, x);
    x = b.add("avgpool", GlobalAvgPool {}, x);
    x = b.add("flatten", Flatten {}, x);
    let classes = options.classes.unwrap_or(if form.large_images { 1000 } else { 10 });
    let x = b.add("classifier", Linear::new(classes), x);
    b.finish(x)
}

fn stem(b: &mut Builder, form: &DenseNet) -> Value {
    if !form.large_images {
        return b.add("features.conv0", Conv2d::new(form.start, 3).padding(Padding::all(1)).no_bias(), Value::INPUT);
    }
    let conv = Conv2d::new(form.start, 7).stride(2).padding(Padding::all(3)).no_bias();
    let x = b.add("features.conv0", conv, Value::INPUT);
    let x = b.add("features.norm0", BatchNorm2d::default(), x);
    let x = b.add("features.relu0", Relu {}, x);
    let window = Window { stride: [2; 2], padding: Padding::all(1), ..Window::new(3) };
    b.add("features.pool0", MaxPool2d { window }, x)
}

/// Equation (4): each layer sees all maps before it and adds `growth` of its own.
fn dense_block(b: &mut Builder, form: &DenseNet, block: usize, layers: usize, mut x: Value) -> Value {
    for i in 1..=layers {
        let name = format!("features.denseblock{block}.denselayer{i}");
        let new = dense_layer(b, form, &name, x);
        x = b.concat(format!("{name}.concat"), &[x, new]);
    }
    x
}

fn dense_layer(b: &mut Builder, form: &DenseNet, name: &str, x: Value) -> Value {
    let three = Conv2d::new(form.growth, 3).padding(Padding::all(1)).no_bias();
    let x = b.add(format!("{name}.norm1"), BatchNorm2d::default(), x);
    let x = b.add(format!("{name}.relu1"), Relu {}, x);
    if !form.bottleneck {
        return b.add(format!("{name}.conv1"), three, x);
    }
    let x = b.add(format!("{name}.conv1"), Conv2d::new(4 * form.growth, 1).no_bias(), x);
    let x = b.add(format!("{name}.norm2"), BatchNorm2d::default(), x);
    let x = b.add(format!("{name}.relu2"), Relu {}, x);
    b.add(format!("{name}.conv2"), three, x)
}

/// The notes' transition layer: batch normalisation, 1x1 convolution, pooling.
fn transition(b: &mut Builder, name: &str, channels: usize, x: Value) -> Value {
    let x = b.add(format!("{name}.norm"), BatchNorm2d::default(), x);
    let x = b.add(format!("{name}.relu"), Relu {}, x);
    let x = b.add(format!("{name}.conv"), Conv2d::new(channels, 1).no_bias(), x);
    b.add(format!("{name}.pool"), AvgPool2d::new(2, 2), x)
}
