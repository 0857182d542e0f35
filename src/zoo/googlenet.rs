//! GoogLeNet, its variants, and single inception modules.

use super::options::Options;
use crate::error::Result;
use crate::graph::{Builder, Graph, Value};
use crate::layers::{
    AdaptiveAvgPool2d, AvgPool2d, BatchNorm2d, Conv2d, Dropout, Flatten, GlobalAvgPool, Linear, LocalResponseNorm,
    MaxPool2d, Padding, Relu, Window,
};

/// The variants of GoogLeNet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    /// As published: biases, local response normalization, a 5x5 branch.
    Paper,
    /// torchvision's: batch normalization, and 3x3 kernels in the "5x5" branch.
    Torchvision,
    /// torchvision's, scaled to images of 32x32: a quarter of the channels, and a stem of one 3x3 convolution.
    Cifar,
}

/// The channels of an efficient inception module (the notes' figure 14): 1x1; 1x1 then 3x3; 1x1 then 5x5; pooling then
/// 1x1.
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

/// GoogLeNet as published (Szegedy et al., 2015; the notes' section 5, figure 15). With `options.auxiliary`, two heads are
/// added whose losses count 0.3 in training.
///
/// # Shapes
/// Input `[3, 224, 224]`; 1000 classes unless `options.classes` says otherwise; 6,998,552 parameters without auxiliary
/// heads.
///
/// # Errors
/// Returns [`crate::Error::Layer`] for `options.classes` of 0. `options.width` is ignored.
///
/// # Examples
/// ```
/// use convoke::zoo::{Options, googlenet};
/// let graph = googlenet(Options::default())?;
/// assert_eq!(graph.input().to_string(), "3x224x224");
/// assert_eq!(graph.costs().iter().map(|row| row.parameters).sum::<u64>(), 6_998_552);
/// # Ok::<(), convoke::Error>(())
/// ```
pub fn googlenet(options: Options) -> Result<Graph> {
    build("googlenet", Variant::Paper, options)
}

/// GoogLeNet as torchvision has it, with its layer names: batch normalization, and 3x3 kernels in the "5x5" branch. With
/// `options.auxiliary`, two heads are added whose losses count 0.3 in training.
///
/// # Shapes
/// Input `[3, 224, 224]`; 1000 classes unless `options.classes` says otherwise; 6,624,904 parameters without auxiliary
/// heads.
///
/// # Errors
/// Returns [`crate::Error::Layer`] for `options.classes` of 0. `options.width` is ignored.
///
/// # Examples
/// ```
/// use convoke::zoo::{Options, googlenet_torchvision};
/// let graph = googlenet_torchvision(Options::default())?;
/// assert_eq!(graph.input().to_string(), "3x224x224");
/// assert_eq!(graph.costs().iter().map(|row| row.parameters).sum::<u64>(), 6_624_904);
/// # Ok::<(), convoke::Error>(())
/// ```
pub fn googlenet_torchvision(options: Options) -> Result<Graph> {
    build("googlenet-torchvision", Variant::Torchvision, options)
}

/// GoogLeNet scaled to images of 32x32: torchvision's with a quarter of the channels and a stem of one 3x3 convolution. With
/// `options.auxiliary`, two heads are added whose losses count 0.3 in training.
///
/// # Shapes
/// Input `[3, 32, 32]`; 10 classes unless `options.classes` says otherwise; 348,770 parameters without auxiliary heads.
///
/// # Errors
/// Returns [`crate::Error::Layer`] for `options.classes` of 0. `options.width` is ignored.
///
/// # Examples
/// ```
/// use convoke::zoo::{Options, googlenet_cifar};
/// let graph = googlenet_cifar(Options::default())?;
/// assert_eq!(graph.input().to_string(), "3x32x32");
/// assert_eq!(graph.costs().iter().map(|row| row.parameters).sum::<u64>(), 348_770);
/// # Ok::<(), convoke::Error>(())
/// ```
pub fn googlenet_cifar(options: Options) -> Result<Graph> {
    build("googlenet-cifar", Variant::Cifar, options)
}

/// One naive inception module (the notes' figure 13): 64 maps of 1x1, 128 of 3x3 and 32 of 5x5 kernels, and 32 pooled maps.
/// Pooling alone would keep all 192 maps; the figure's 32 need a 1x1 convolution after it.
///
/// # Shapes
/// Input `[192, 28, 28]`; output `[256, 28, 28]`.
///
/// # Errors
/// Returns no error; all options are ignored.
///
/// # Examples
/// ```
/// use convoke::zoo::{Options, inception_naive};
/// let graph = inception_naive(Options::default())?;
/// assert_eq!(graph.shape(graph.outputs()[0].value).to_string(), "256x28x28");
/// # Ok::<(), convoke::Error>(())
/// ```
pub fn inception_naive(_options: Options) -> Result<Graph> {
    let mut b = Builder::new("inception-naive", [192, 28, 28]);
    let branches = [(1, 64), (3, 128), (5, 32)];
    let mut outputs: Vec<Value> = branches
        .iter()
        .map(|&(k, c)| conv(&mut b, Variant::Paper, &format!("conv{k}x{k}"), same(c, k), Value::INPUT))
        .collect();
    let pooled = b.add("pool", same_pool(), Value::INPUT);
    outputs.push(conv(&mut b, Variant::Paper, "pool_proj", same(32, 1), pooled));
    let y = b.concat("concat", &outputs);
    b.finish(y)
}

/// One efficient inception module (the notes' figure 14), with the channels of GoogLeNet's first.
///
/// # Shapes
/// Input `[192, 28, 28]`; output `[256, 28, 28]`.
///
/// # Errors
/// Returns no error; all options are ignored.
///
/// # Examples
/// ```
/// use convoke::zoo::{Options, inception};
/// let graph = inception(Options::default())?;
/// assert_eq!(graph.shape(graph.outputs()[0].value).to_string(), "256x28x28");
/// # Ok::<(), convoke::Error>(())
/// ```
pub fn inception(_options: Options) -> Result<Graph> {
    let mut b = Builder::new("inception", [192, 28, 28]);
    let y = module(&mut b, Variant::Paper, "inception3a", MODULES[0].1, Value::INPUT);
    b.finish(y)
}

fn build(name: &str, variant: Variant, options: Options) -> Result<Graph> {
    let (side, classes) = if variant == Variant::Cifar { (32, 10) } else { (224, 1000) };
    let classes = options.classes.unwrap_or(classes);
    let mut b = Builder::new(name, [3, side, side]);
    let mut x = stem(&mut b, variant);
    for (i, (name, channels)) in MODULES.into_iter().enumerate() {
        let channels = channels.map(|c| if variant == Variant::Cifar { c / 4 } else { c });
        x = module(&mut b, variant, &format!("inception{name}"), channels, x);
        if i == 1 {
            x = b.add("maxpool3", halving(3, 2), x);
        }
        if i == 6 {
            x = b.add("maxpool4", halving(if variant == Variant::Paper { 3 } else { 2 }, 2), x);
        }
        let head = [None, None, Some("aux1"), None, None, Some("aux2"), None, None, None][i];
        if let Some(head) = head.filter(|_| options.auxiliary) {
            let logits = auxiliary(&mut b, variant, head, classes, x);
            b.auxiliary(logits, 0.3);
        }
    }
    x = b.add("avgpool", GlobalAvgPool {}, x);
    x = b.add("flatten", Flatten {}, x);
    x = b.add("dropout", Dropout { p: if variant == Variant::Paper { 0.4 } else { 0.2 } }, x);
    let x = b.add("fc", Linear::new(classes), x);
    b.finish(x)
}

fn stem(b: &mut Builder, variant: Variant) -> Value {
    if variant == Variant::Cifar {
        let x = conv(b, variant, "conv1", same(48, 3), Value::INPUT);
        return b.add("maxpool1", halving(3, 2), x);
    }
    let norm = LocalResponseNorm { size: 5, alpha: 1e-4, beta: 0.75, k: 1.0 };
    let x = conv(b, variant, "conv1", Conv2d::new(64, 7).stride(2).padding(Padding::all(3)), Value::INPUT);
    let mut x = b.add("maxpool1", halving(3, 2), x);
    if variant == Variant::Paper {
        x = b.add("norm1", norm, x);
    }
    let x = conv(b, variant, "conv2", same(64, 1), x);
    let mut x = conv(b, variant, "conv3", same(192, 3), x);
    if variant == Variant::Paper {
        x = b.add("norm2", norm, x);
    }
    b.add("maxpool2", halving(3, 2), x)
}

fn module(b: &mut Builder, variant: Variant, name: &str, [c1, r3, c3, r5, c5, pool]: Module, x: Value) -> Value {
    let five = if variant == Variant::Paper { 5 } else { 3 };
    let one = conv(b, variant, &format!("{name}.branch1"), same(c1, 1), x);
    let three = conv(b, variant, &format!("{name}.branch2.0"), same(r3, 1), x);
    let three = conv(b, variant, &format!("{name}.branch2.1"), same(c3, 3), three);
    let wide = conv(b, variant, &format!("{name}.branch3.0"), same(r5, 1), x);
    let wide = conv(b, variant, &format!("{name}.branch3.1"), same(c5, five), wide);
    let pooled = b.add(format!("{name}.branch4.0"), same_pool(), x);
    let pooled = conv(b, variant, &format!("{name}.branch4.1"), same(pool, 1), pooled);
    b.concat(format!("{name}.concat"), &[one, three, wide, pooled])
}

fn auxiliary(b: &mut Builder, variant: Variant, name: &str, classes: usize, x: Value) -> Value {
    let x = match variant {
        Variant::Paper => b.add(format!("{name}.pool"), AvgPool2d::new(5, 3), x),
        _ => b.add(format!("{name}.pool"), AdaptiveAvgPool2d { output: [4, 4] }, x),
    };
    let x = conv(b, variant, &format!("{name}.conv"), same(128, 1), x);
    let x = b.add(format!("{name}.flatten"), Flatten {}, x);
    let x = b.add(format!("{name}.fc1"), Linear::new(1024), x);
    let x = b.add(format!("{name}.relu"), Relu {}, x);
    let x = b.add(format!("{name}.dropout"), Dropout { p: 0.7 }, x);
    b.add(format!("{name}.fc2"), Linear::new(classes), x)
}

/// Appends a convolution with its normalization and ReLU.
fn conv(b: &mut Builder, variant: Variant, name: &str, layer: Conv2d, x: Value) -> Value {
    let x = match variant {
        Variant::Paper => b.add(name, layer, x),
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
