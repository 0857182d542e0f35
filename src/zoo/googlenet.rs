use super::options::Options;
use crate::error::Result;
use crate::graph::{Builder, Graph, Value};
use crate::layers::{
    AdaptiveAvgPool2d, AvgPool2d, BatchNorm2d, Conv2d, Dropout, Flatten, GlobalAvgPool, Linear, LocalResponseNorm,
    MaxPool2d, Padding, Relu, Window,
};

/// How GoogLeNet's convolutions are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As published: biases, local response normalisation, a 5x5 branch.
    Paper,
    /// torchvision's: batch normalisation, and the "5x5" branch is a 3x3.
    Torchvision,
    /// torchvision's, scaled to images of 32x32: a quarter of the channels, and a stem of one 3x3 convolution.
    Cifar,
}

/// Channels of an efficient inception module (the notes' figure 14): 1x1; 1x1 then 3x3; 1x1 then 5x5; pooling then 1x1.
type Module = [usize; 6];

const MODULES: [(&str, Module); 9] = [
    ("3a", [64, 96, 128, 16, 32, 32]),
    ("3b", [128, 128, 192, 32, 96, 64]),
    ("4a", [192, 96, 208, 16, 48, 64]),
    ("4b", [160, 112, 224, 24, 64, 64]),
    ("4c", [128, 128, 256, 24, 64, 64]),
    ("4d", [112, 144, 288, 32, 64, 64]),
    ("4e", [256, 160, 320, 32, 128, 128]),
    ("5a", [256, 160, 320, 32, 128, 128]),
    ("5b", [384, 192, 384, 48, 128, 128]),
];

/// GoogLeNet as published (Szegedy et al., 2015; the notes' section 5, figure 15). Input 3x224x224. With
/// `options.auxiliary`, two heads whose losses count 0.3 while training.
pub fn googlenet(options: Options) -> Result<Graph> {
    build("googlenet", Form::Paper, options)
}

/// GoogLeNet as torchvision has it, with its layer names.
pub fn googlenet_torchvision(options: Options) -> Result<Graph> {
    build("googlenet-torchvision", Form::Torchvision, options)
}

/// GoogLeNet for images of 32x32. With `options.auxiliary`, the two heads as well.
pub fn googlenet_cifar(options: Options) -> Result<Graph> {
    build("googlenet-cifar", Form::Cifar, options)
}

/// One naive inception module (the notes' figure 13) on 192x28x28: 64 1x1, 128 3x3, 32 5x5 and 32 pooled maps. Pooling
/// alone would keep all 192 maps; the figure's 32 need a 1x1 convolution after it.
pub fn inception_naive(_options: Options) -> Result<Graph> {
    let mut b = Builder::new("inception-naive", [192, 28, 28]);
    let branches = [(1, 64), (3, 128), (5, 32)];
    let mut outputs: Vec<Value> = branches
        .iter()
        .map(|&(k, c)| conv(&mut b, Form::Paper, &format!("conv{k}x{k}"), same(c, k), Value::INPUT))
        .collect();
    let pooled = b.add("pool", same_pool(), Value::INPUT);
    outputs.push(conv(&mut b, Form::Paper, "pool_proj", same(32, 1), pooled));
    let y = b.concat("concat", &outputs);
    b.finish(y)
}

/// One efficient inception module (the notes' figure 14) on 192x28x28, with the channels of GoogLeNet's first.
pub fn inception(_options: Options) -> Result<Graph> {
    let mut b = Builder::new("inception", [192, 28, 28]);
    let y = module(&mut b, Form::Paper, "inception3a", MODULES[0].1, Value::INPUT);
    b.finish(y)
}

fn build(name: &str, form: Form, options: Options) -> Result<Graph> {
    let (side, classes) = if form == Form::Cifar { (32, 10) } else { (224, 1000) };
    let classes = options.classes.unwrap_or(classes);
    let mut b = Builder::new(name, [3, side, side]);
    let mut x = stem(&mut b, form);
    for (i, (name, channels)) in MODULES.into_iter().enumerate() {
        let channels = channels.map(|c| if form == Form::Cifar { c / 4 } else { c });
        x = module(&mut b, form, &format!("inception{name}"), channels, x);
        if i == 1 {
            x = b.add("maxpool3", halving(3, 2), x);
        }
        if i == 6 {
            x = b.add("maxpool4", halving(if form == Form::Paper { 3 } else { 2 }, 2), x);
        }
        let head = [None, None, Some("aux1"), None, None, Some("aux2"), None, None, None][i];
        if let Some(head) = head.filter(|_| options.auxiliary) {
            let logits = auxiliary(&mut b, form, head, classes, x);
            b.auxiliary(logits, 0.3);
        }
    }
    x = b.add("avgpool", GlobalAvgPool {}, x);
    x = b.add("flatten", Flatten {}, x);
    x = b.add("dropout", Dropout { p: if form == Form::Paper { 0.4 } else { 0.2 } }, x);
    let x = b.add("fc", Linear::new(classes), x);
    b.finish(x)
}

fn stem(b: &mut Builder, form: Form) -> Value {
    if form == Form::Cifar {
        let x = conv(b, form, "conv1", same(48, 3), Value::INPUT);
        return b.add("maxpool1", halving(3, 2), x);
    }
    let norm = LocalResponseNorm { size: 5, alpha: 1e-4, beta: 0.75, k: 1.0 };
    let x = conv(b, form, "conv1", Conv2d::new(64, 7).stride(2).padding(Padding::all(3)), Value::INPUT);
    let mut x = b.add("maxpool1", halving(3, 2), x);
    if form == Form::Paper {
        x = b.add("norm1", norm, x);
    }
    let x = conv(b, form, "conv2", same(64, 1), x);
    let mut x = conv(b, form, "conv3", same(192, 3), x);
    if form == Form::Paper {
        x = b.add("norm2", norm, x);
    }
    b.add("maxpool2", halving(3, 2), x)
}

fn module(b: &mut Builder, form: Form, name: &str, [c1, r3, c3, r5, c5, pool]: Module, x: Value) -> Value {
    let five = if form == Form::Paper { 5 } else { 3 };
    let one = conv(b, form, &format!("{name}.branch1"), same(c1, 1), x);
    let three = conv(b, form, &format!("{name}.branch2.0"), same(r3, 1), x);
    let three = conv(b, form, &format!("{name}.branch2.1"), same(c3, 3), three);
    let wide = conv(b, form, &format!("{name}.branch3.0"), same(r5, 1), x);
    let wide = conv(b, form, &format!("{name}.branch3.1"), same(c5, five), wide);
    let pooled = b.add(format!("{name}.branch4.0"), same_pool(), x);
    let pooled = conv(b, form, &format!("{name}.branch4.1"), same(pool, 1), pooled);
    b.concat(format!("{name}.concat"), &[one, three, wide, pooled])
}

fn auxiliary(b: &mut Builder, form: Form, name: &str, classes: usize, x: Value) -> Value {
    let x = match form {
        Form::Paper => b.add(format!("{name}.pool"), AvgPool2d::new(5, 3), x),
        _ => b.add(format!("{name}.pool"), AdaptiveAvgPool2d { output: [4, 4] }, x),
    };
    let x = conv(b, form, &format!("{name}.conv"), same(128, 1), x);
    let x = b.add(format!("{name}.flatten"), Flatten {}, x);
    let x = b.add(format!("{name}.fc1"), Linear::new(1024), x);
    let x = b.add(format!("{name}.relu"), Relu {}, x);
    let x = b.add(format!("{name}.dropout"), Dropout { p: 0.7 }, x);
    b.add(format!("{name}.fc2"), Linear::new(classes), x)
}

/// A convolution with its normalisation and ReLU.
fn conv(b: &mut Builder, form: Form, name: &str, layer: Conv2d, x: Value) -> Value {
    let x = match form {
        Form::Paper => b.add(name, layer, x),
        _ => {
            let x = b.add(format!("{name}.conv"), layer.no_bias(), x);
            b.add(format!("{name}.bn"), BatchNorm2d { epsilon: 1e-3, ..BatchNorm2d::default() }, x)
        }
    };
    b.add(format!("{name}.relu"), Relu {}, x)
}

fn same(channels: usize, kernel: usize) -> Conv2d {
    Conv2d::new(channels, kernel).padding(Padding::Same)
}

fn same_pool() -> MaxPool2d {
    MaxPool2d { window: Window { padding: Padding::all(1), ..Window::new(3) } }
}

fn halving(kernel: usize, stride: usize) -> MaxPool2d {
    MaxPool2d { window: Window { stride: [stride; 2], ceil_mode: true, ..Window::new(kernel) } }
}
