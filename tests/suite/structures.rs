//! Small networks for the behaviour that no single layer shows: fusion, the order of flattening, fan-out, concatenation
//! by offset.

use convoke::graph::{Builder, Value};
use convoke::layers::{
    AvgPool2d, BatchNorm2d, Clip, Conv2d, Dropout, FakeQuantize, Flatten, GlobalAvgPool, HardSigmoid, Layer, LeakyRelu,
    Linear, MaxPool2d, Pad, Padding, Relu, Sigmoid, Slice, Softmax, Tanh, Window,
};

use super::Case;

struct Structure {
    name: &'static str,
    batch: usize,
    build: fn() -> (Builder, Value),
}

const STRUCTURES: [Structure; 13] = [
    Structure { name: "activations-in-convolutions", batch: 3, build: activations_in_convolutions },
    Structure { name: "dropout-before-linear", batch: 3, build: dropout_before_linear },
    Structure { name: "flatten-before-softmax", batch: 3, build: flatten_before_softmax },
    Structure { name: "residual-block", batch: 3, build: residual_block },
    Structure { name: "rounded-residual-block", batch: 3, build: rounded_residual_block },
    Structure { name: "sums-in-convolutions", batch: 3, build: sums_in_convolutions },
    Structure { name: "inception-branches", batch: 3, build: inception_branches },
    Structure { name: "dense-block", batch: 3, build: dense_block },
    Structure { name: "early-readers-of-a-concatenation", batch: 1, build: early_readers },
    Structure { name: "squeeze-and-excitation", batch: 3, build: squeeze_and_excitation },
    Structure { name: "option-a-shortcut", batch: 3, build: option_a_shortcut },
    Structure { name: "concatenation-of-vectors", batch: 3, build: concatenation_of_vectors },
    Structure { name: "concatenation-of-flattened-maps", batch: 3, build: concatenation_of_flattened_maps },
];

/// Adds each network of [`STRUCTURES`].
pub fn structures(cases: &mut Vec<Case>) {
    for Structure { name, batch, build } in STRUCTURES {
        let (b, y) = build();
        cases.push(Case::new(format!("structure/{name}"), b.finish(y).expect("a valid case"), batch));
    }
}

/// Adds a convolution and a linear layer over its flattened map, each with a fused activation, for every activation that
/// can be fused.
pub fn fused(cases: &mut Vec<Case>) {
    let activations: [Layer; 7] = [
        Relu {}.into(),
        Sigmoid {}.into(),
        Tanh {}.into(),
        Clip { min: -0.2, max: 0.3 }.into(),
        LeakyRelu { slope: 0.2 }.into(),
        HardSigmoid { alpha: 0.9, beta: 0.4 }.into(),
        FakeQuantize { scale: 0.05, zero_point: 128 }.into(),
    ];
    for activation in activations {
        let name = format!("structure/fused-{}", activation.kind().replace('_', "-"));
        let mut b = Builder::new("fused", [3, 6, 5]);
        let x = b.add("conv", conv(7), Value::INPUT);
        let x = b.add("act", activation.clone(), x);
        let x = b.add("flatten", Flatten {}, x);
        let x = b.add("fc", Linear::new(9), x);
        let x = b.add("act2", activation, x);
        cases.push(Case::new(name, b.finish(x).expect("a valid case"), 3));
    }
}

/// Returns a 3x3 convolution that keeps the map's size.
fn conv(channels: usize) -> Conv2d {
    Conv2d::new(channels, 3).padding(Padding::all(1))
}

/// Activations fused into convolutions of several algorithms.
fn activations_in_convolutions() -> (Builder, Value) {
    let mut b = Builder::new("activated", [16, 9, 10]);
    let x = b.add("wide", conv(16), Value::INPUT);
    let x = b.add("relu", Relu {}, x);
    let x = b.add("depthwise", conv(16).groups(16), x);
    let x = b.add("clip", Clip { min: 0.0, max: 0.4 }, x);
    let x = b.add("narrow", conv(17), x);
    let x = b.add("tanh", Tanh {}, x);
    (b, x)
}

/// Dropout between the flattening and the linear layer.
fn dropout_before_linear() -> (Builder, Value) {
    let mut b = Builder::new("dropped", [3, 4, 5]);
    let x = b.add("conv", conv(5), Value::INPUT);
    let x = b.add("flatten", Flatten {}, x);
    let x = b.add("drop", Dropout { p: 0.5 }, x);
    let x = b.add("relu", Relu {}, x);
    let x = b.add("fc", Linear::new(6), x);
    (b, x)
}

/// A flattening whose order shows in the softmax after it.
fn flatten_before_softmax() -> (Builder, Value) {
    let mut b = Builder::new("flat-seen", [3, 4, 5]);
    let x = b.add("conv", conv(5), Value::INPUT);
    let x = b.add("flatten", Flatten {}, x);
    let x = b.add("softmax", Softmax {}, x);
    (b, x)
}

/// A residual block with a value that three layers read.
fn residual_block() -> (Builder, Value) {
    let mut b = Builder::new("residual", [6, 7, 5]);
    let a = b.add("conv1", conv(6), Value::INPUT);
    let a = b.add("relu1", Relu {}, a);
    let z = b.add("conv2", conv(6), a);
    let y = b.sum("add", &[z, a]);
    let y = b.add("relu2", Relu {}, y);
    let y = b.sum("add2", &[y, a, Value::INPUT]);
    (b, y)
}

/// A residual block whose values are rounded.
fn rounded_residual_block() -> (Builder, Value) {
    let mut b = Builder::new("rounded-residual", [6, 7, 5]);
    let a = b.add("conv1", conv(8), Value::INPUT);
    let a = b.add("rounded1", FakeQuantize { scale: 0.03, zero_point: 0 }, a);
    let z = b.add("conv2", conv(8), a);
    let z = b.add("rounded2", FakeQuantize { scale: 0.05, zero_point: 128 }, z);
    let y = b.sum("add", &[z, a]);
    let y = b.add("rounded3", FakeQuantize { scale: 0.0437, zero_point: 100 }, y);
    (b, y)
}

/// Sums that convolutions compute while they write: after Winograd's algorithm and before an activation that its tiles
/// cannot apply, into a concatenation, on maps of one pixel, and of two convolutions.
fn sums_in_convolutions() -> (Builder, Value) {
    let strided = |kernel, padding| {
        let window = Window { stride: [2, 2], padding: Padding::all(padding), ..Window::new(kernel) };
        Conv2d { window, ..Conv2d::new(17, kernel) }
    };
    let mut b = Builder::new("shortcuts", [16, 9, 10]);
    let y = b.add("conv1", conv(16), Value::INPUT);
    let y = b.sum("add1", &[Value::INPUT, y]);
    let y = b.add("tanh", Tanh {}, y);
    let other = b.add("conv2", strided(1, 0), y);
    let z = b.add("conv3", strided(3, 1), y);
    let z = b.sum("add2", &[z, other]);
    let z = b.add("relu", Relu {}, z);
    let z = b.concat("cat", &[z, other]);
    let z = b.add("gap", GlobalAvgPool {}, z);
    let w = b.add("conv4", Conv2d::new(34, 1), z);
    let w = b.sum("add3", &[w, z]);
    (b, w)
}

/// Branches into a concatenation that two layers read.
fn inception_branches() -> (Builder, Value) {
    let mut b = Builder::new("inception", [5, 8, 8]);
    let one = b.add("b1", Conv2d::new(4, 1), Value::INPUT);
    let one = b.add("b1r", Relu {}, one);
    let three = b.add("b2", Conv2d::new(3, 1), Value::INPUT);
    let three = b.add("b2r", Relu {}, three);
    let three = b.add("b2b", conv(7), three);
    let pool = MaxPool2d { window: Window { padding: Padding::all(1), ..Window::new(3) } };
    let pooled = b.add("b3", pool, Value::INPUT);
    let y = b.concat("cat", &[one, three, pooled, Value::INPUT]);
    let left = b.add("left", conv(3), y);
    let right = b.add("right", Conv2d::new(3, 1), y);
    let y = b.sum("join", &[left, right]);
    (b, y)
}

/// Nested concatenations of shared values.
fn dense_block() -> (Builder, Value) {
    let mut b = Builder::new("dense", [3, 6, 6]);
    let mut x = b.add("stem", conv(4), Value::INPUT);
    for i in 0..3 {
        let new = b.add(format!("grow{i}"), conv(3), x);
        let new = b.add(format!("relu{i}"), Relu {}, new);
        x = b.concat(format!("cat{i}"), &[x, new]);
    }
    let y = b.add("transition", Conv2d::new(5, 1), x);
    let y = b.add("pool", AvgPool2d::new(2, 2), y);
    (b, y)
}

/// Parts of a concatenation that are read after it; one part stands in it twice.
fn early_readers() -> (Builder, Value) {
    let mut b = Builder::new("early-reader", [4, 5, 5]);
    let a = b.add("a", conv(4), Value::INPUT);
    let c = b.add("c", conv(4), Value::INPUT);
    let cat = b.concat("cat", &[a, c, a]);
    let head = b.add("head", Conv2d::new(4, 1), cat);
    let late = b.sum("late", &[head, a, c]);
    (b, late)
}

/// Products with a map of one pixel and of a value with itself.
fn squeeze_and_excitation() -> (Builder, Value) {
    let mut b = Builder::new("excite", [5, 6, 4]);
    let s = b.add("squeeze", GlobalAvgPool {}, Value::INPUT);
    let s = b.add("gate", Conv2d::new(5, 1), s);
    let s = b.add("sigmoid", Sigmoid {}, s);
    let y = b.product("scale", Value::INPUT, s);
    let y = b.product("square", y, y);
    (b, y)
}

/// A residual block with batch normalizations and a shortcut without weights.
fn option_a_shortcut() -> (Builder, Value) {
    let mut b = Builder::new("option-a", [4, 8, 8]);
    let z = b.add("conv1", conv(8).stride(2).no_bias(), Value::INPUT);
    let z = b.add("bn1", BatchNorm2d::default(), z);
    let z = b.add("relu1", Relu {}, z);
    let z = b.add("conv2", conv(8).no_bias(), z);
    let z = b.add("bn2", BatchNorm2d::default(), z);
    let s = b.add("subsample", Slice { start: [0; 3], end: [4, 8, 8], step: [1, 2, 2] }, Value::INPUT);
    let s = b.add("zeros", Pad { before: [2, 0, 0], after: [2, 0, 0], value: 0.0 }, s);
    let y = b.sum("add", &[z, s]);
    let y = b.add("relu2", Relu {}, y);
    (b, y)
}

/// Outputs of linear layers side by side.
fn concatenation_of_vectors() -> (Builder, Value) {
    let mut b = Builder::new("vectors", [7]);
    let p = b.add("p", Linear::new(5), Value::INPUT);
    let p = b.add("pa", Tanh {}, p);
    let q = b.add("q", Linear::new(3), Value::INPUT);
    let cat = b.concat("cat", &[p, q]);
    let y = b.add("r", Linear::new(4), cat);
    (b, y)
}

/// Flattened maps side by side.
fn concatenation_of_flattened_maps() -> (Builder, Value) {
    let mut b = Builder::new("flat-concat", [2, 3, 3]);
    let p = b.add("p", conv(3), Value::INPUT);
    let p = b.add("pf", Flatten {}, p);
    let q = b.add("qf", Flatten {}, Value::INPUT);
    let cat = b.concat("cat", &[p, q]);
    let y = b.add("r", Linear::new(4), cat);
    (b, y)
}
