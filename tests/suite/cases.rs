//! The list.

use convoke::graph::{Builder, Value};
use convoke::layers::{
    AdaptiveAvgPool2d, AvgPool2d, BatchNorm2d, ChannelShuffle, Clip, Conv2d, Dropout, FakeQuantize, Flatten,
    GlobalAvgPool, HardSigmoid, HardSwish, Layer, LeakyRelu, Linear, LocalResponseNorm, LogSoftmax, MaxPool2d, Pad,
    Padding, Permute, Relu, Sigmoid, Slice, Softmax, Tanh, Window,
};
use convoke::rng::Rng;

use super::Case;

/// Every case: each layer over strides, paddings, dilations, groups, channel remainders and batches; fused
/// activations; branches, concatenations and shared values.
pub fn cases() -> Vec<Case> {
    let mut cases = vec![];
    convolutions(&mut cases);
    linears(&mut cases);
    poolings(&mut cases);
    elementwise(&mut cases);
    normalizations(&mut cases);
    rearrangements(&mut cases);
    structures(&mut cases);
    cases
}

fn one(cases: &mut Vec<Case>, input: [usize; 3], batch: usize, layer: impl Into<Layer>) {
    let layer = layer.into();
    let name = format!("{layer:?} on {batch}x{}x{}x{}", input[0], input[1], input[2]);
    let mut b = Builder::new("case", input);
    let y = b.add("layer", layer, Value::INPUT);
    cases.push(Case { name, graph: b.finish(y).expect("a valid case"), batch });
}

fn convolutions(cases: &mut Vec<Case>) {
    // Channel remainders 1 to 17 on both sides of every tile width.
    for c in 1..=17 {
        one(cases, [c, 5, 6], 1, Conv2d::new(18 - c, 3).padding(Padding::all(1)));
        one(cases, [c, 4, 3], 3, Conv2d::new(c, 1));
    }
    // Sizes in use.
    one(cases, [1, 32, 32], 3, Conv2d::new(6, 5));
    one(cases, [6, 14, 14], 3, Conv2d::new(16, 5));
    one(cases, [3, 27, 27], 1, Conv2d::new(24, 11).stride(4));
    one(cases, [3, 30, 30], 1, Conv2d::new(16, 7).stride(2).padding(Padding::all(3)));
    one(cases, [33, 9, 9], 1, Conv2d::new(40, 3).padding(Padding::Same));
    one(cases, [64, 1, 1], 3, Conv2d::new(70, 1));
    one(cases, [16, 7, 7], 1, Conv2d::new(16, 3).padding(Padding::Same).stride(2).no_bias());
    // Depthwise, with a multiplier, and a kernel that covers the whole padded input.
    one(cases, [13, 8, 8], 3, Conv2d::new(13, 3).groups(13).padding(Padding::all(1)));
    one(cases, [6, 9, 7], 1, Conv2d::new(12, 3).groups(6).stride(2));
    one(cases, [4, 5, 5], 3, Conv2d::new(9, 7).padding(Padding::all(1)));
    // Tiles of Winograd's: every remainder of the output, channels around vectors, uneven padding.
    for (i, side) in (1..=13).enumerate() {
        let (c, out) = (8 + (i * 7) % 13, 8 + (i * 5) % 19);
        let padding = Padding::Explicit([i % 3, 1, (i + 1) % 2, 2 - i % 3]);
        one(cases, [c, side + 2, 15 - side], 1 + 2 * (i % 2), Conv2d::new(out, 3).padding(padding));
        let (groups, padding) = (1 + i % 3, Padding::Explicit([i % 3, 2, 2 - i % 3, 1 + i % 2]));
        let layer = Conv2d::new(groups * out, 5).groups(groups).padding(padding);
        one(cases, [groups * c, side + 2, 15 - side], 1 + i % 2, layer);
    }
    one(cases, [32, 13, 13], 1, Conv2d::new(48, 3).groups(2).padding(Padding::Same));
    one(cases, [64, 30, 31], 3, Conv2d::new(48, 3).padding(Padding::Same).no_bias());
    // Depthwise kernels in use, over channels around one and two vectors.
    for (i, c) in [2, 5, 8, 9, 16, 19, 24, 40].into_iter().enumerate() {
        for kernel in [3, 5] {
            let padding = if i % 3 == 0 { Padding::Same } else { Padding::Explicit([i % 3, kernel / 2, 0, i]) };
            one(cases, [c, 11, 7 + i], 1 + i % 2, Conv2d::new(c, kernel).groups(c).stride(1 + i % 2).padding(padding));
        }
    }
    // Everything at once, from a seed.
    let mut rng = Rng::new(2, 2);
    let mut made = 0;
    while made < 60 {
        let groups = 1 + rng.below(4);
        let (cig, cog) = (1 + rng.below(7), 1 + rng.below(7));
        let window = Window {
            kernel: [1 + rng.below(4), 1 + rng.below(4)],
            stride: [1 + rng.below(3), 1 + rng.below(3)],
            padding: Padding::Explicit([rng.below(3), rng.below(3), rng.below(3), rng.below(3)]),
            dilation: [1 + rng.below(2), 1 + rng.below(2)],
            ceil_mode: false,
        };
        let (input, batch) = ([groups * cig, 2 + rng.below(8), 2 + rng.below(8)], [1, 3][rng.below(2)]);
        let layer = Conv2d { out_channels: groups * cog, window, groups, bias: rng.below(2) == 0 };
        if Layer::from(layer).def().output_shape(&[input.into()]).is_ok() {
            one(cases, input, batch, layer);
            made += 1;
        }
    }
}

fn linears(cases: &mut Vec<Case>) {
    for features in 1..=17 {
        one_vector(cases, features, 1, 18 - features);
    }
    for (batch, input, output) in [(3, 5, 7), (3, 400, 120), (1, 120, 84), (64, 84, 10), (7, 33, 65), (1, 300, 1)] {
        one_vector(cases, input, batch, output);
    }
}

fn one_vector(cases: &mut Vec<Case>, input: usize, batch: usize, output: usize) {
    let mut b = Builder::new("case", [input]);
    let y = b.add("layer", Linear { out_features: output, bias: input.is_multiple_of(2) }, Value::INPUT);
    let name = format!("linear {input} -> {output}, batch {batch}");
    cases.push(Case { name, graph: b.finish(y).expect("a valid case"), batch });
}

fn poolings(cases: &mut Vec<Case>) {
    let mut windows = vec![];
    for (kernel, stride, pad) in
        [(2, 2, 0), (3, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 0), (1, 2, 0), (4, 4, 0), (5, 3, 2)]
    {
        for ceil_mode in [false, true] {
            let padding = Padding::all(pad);
            windows.push(Window { stride: [stride; 2], padding, ceil_mode, ..Window::new(kernel) });
        }
    }
    windows.push(Window { padding: Padding::Explicit([0, 1, 1, 0]), stride: [2, 1], ..Window::new(2) });
    windows.push(Window { padding: Padding::Explicit([1, 0, 0, 2]), stride: [1, 3], ..Window::new(3) });
    windows.push(Window { padding: Padding::Same, stride: [2, 2], ..Window::new(3) });
    windows.push(Window { dilation: [2, 2], stride: [1, 2], ..Window::new(3) });
    windows.push(Window { kernel: [1, 3], stride: [1, 2], ..Window::new(1) });
    for (i, window) in windows.into_iter().enumerate() {
        let (c, batch) = (1 + (i * 5) % 17, [1, 3][i % 2]);
        one(cases, [c, 9, 8], batch, MaxPool2d { window });
        for count_include_pad in [false, true] {
            one(cases, [c, 9, 8], batch, AvgPool2d { window, count_include_pad });
        }
    }
    one(cases, [6, 28, 28], 3, MaxPool2d::new(2, 2));
    one(cases, [20, 1, 1], 1, MaxPool2d::new(1, 1));
    one(cases, [8, 7, 7], 3, AvgPool2d::new(7, 1));
}

fn elementwise(cases: &mut Vec<Case>) {
    let layers: [Layer; 12] = [
        Relu {}.into(),
        Sigmoid {}.into(),
        Tanh {}.into(),
        Softmax {}.into(),
        Dropout { p: 0.4 }.into(),
        LeakyRelu { slope: 0.2 }.into(),
        Clip { min: -0.5, max: 0.6 }.into(),
        HardSigmoid { alpha: 0.9, beta: 0.4 }.into(),
        HardSwish {}.into(),
        LogSoftmax {}.into(),
        FakeQuantize { scale: 0.25, zero_point: 0 }.into(),
        FakeQuantize { scale: 0.01, zero_point: 100 }.into(),
    ];
    for layer in layers {
        for c in [1, 3, 4, 17] {
            one(cases, [c, 5, 3], 3, layer.clone());
        }
        one(cases, [10, 1, 1], 1, layer);
    }
    one(cases, [5, 3, 4], 3, Flatten {});
    one(cases, [1, 3, 4], 1, Flatten {});
}

fn normalizations(cases: &mut Vec<Case>) {
    for c in [1, 3, 4, 8, 17] {
        one(cases, [c, 5, 3], 3, BatchNorm2d::default());
        one(cases, [c, 4, 4], 1, BatchNorm2d { epsilon: 1e-3, momentum: 0.01 });
        for size in [1, 2, 3, 5] {
            one(cases, [c, 3, 4], 3, LocalResponseNorm { size, alpha: 0.5, beta: 0.75, k: 1.0 });
        }
    }
    one(cases, [6, 1, 1], 3, BatchNorm2d::default());
    one(cases, [9, 4, 4], 1, LocalResponseNorm { size: 5, alpha: 1e-4, beta: 0.75, k: 2.0 });
    one(cases, [40, 2, 3], 3, LocalResponseNorm { size: 4, alpha: 0.5, beta: 0.6, k: 2.0 });
}

fn rearrangements(cases: &mut Vec<Case>) {
    for (c, h, w) in [(1, 1, 1), (5, 4, 7), (17, 7, 7), (8, 3, 2)] {
        one(cases, [c, h, w], 3, GlobalAvgPool {});
        for output in [[1, 1], [2, 3], [6, 6], [h, w]] {
            one(cases, [c, h, w], 1, AdaptiveAvgPool2d { output });
        }
        one(cases, [c, h, w], 3, Pad { before: [1, 0, 2], after: [0, 3, 1], value: 0.5 });
        one(cases, [c, h, w], 1, Slice { start: [0; 3], end: [c, h, w], step: [1, 2, 2] });
    }
    one(cases, [9, 6, 5], 3, Slice { start: [1, 2, 0], end: [8, 6, 4], step: [3, 1, 2] });
    for groups in [1, 2, 3, 6] {
        one(cases, [12, 3, 2], 3, ChannelShuffle { groups });
    }
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        one(cases, [5, 3, 4], 3, Permute { view: [5, 3, 4], order });
        one(cases, [5, 3, 4], 1, Permute { view: [2, 6, 5], order });
    }
}

/// Small networks for what no single layer shows: fusion, order of flattening, fan-out, concatenation by offset.
fn structures(cases: &mut Vec<Case>) {
    let mut push = |name: &str, batch: usize, b: Builder, y: Value| {
        cases.push(Case { name: name.into(), graph: b.finish(y).expect("a valid case"), batch });
    };
    let conv = |c: usize| Conv2d::new(c, 3).padding(Padding::all(1));

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
        let name = activation.kind();
        let mut b = Builder::new("fused", [3, 6, 5]);
        let x = b.add("conv", conv(7), Value::INPUT);
        let x = b.add("act", activation.clone(), x);
        let x = b.add("flatten", Flatten {}, x);
        let x = b.add("fc", Linear::new(9), x);
        let x = b.add("act2", activation, x);
        push(&format!("conv + {name}, flatten into linear + {name}"), 3, b, x);
    }

    let mut b = Builder::new("activated", [16, 9, 10]);
    let x = b.add("wide", conv(16), Value::INPUT);
    let x = b.add("relu", Relu {}, x);
    let x = b.add("depthwise", conv(16).groups(16), x);
    let x = b.add("clip", Clip { min: 0.0, max: 0.4 }, x);
    let x = b.add("narrow", conv(17), x);
    let x = b.add("tanh", Tanh {}, x);
    push("activations fused into convolutions of several algorithms", 3, b, x);

    let mut b = Builder::new("dropped", [3, 4, 5]);
    let x = b.add("conv", conv(5), Value::INPUT);
    let x = b.add("flatten", Flatten {}, x);
    let x = b.add("drop", Dropout { p: 0.5 }, x);
    let x = b.add("relu", Relu {}, x);
    let x = b.add("fc", Linear::new(6), x);
    push("dropout between flatten and linear", 3, b, x);

    let mut b = Builder::new("flat-seen", [3, 4, 5]);
    let x = b.add("conv", conv(5), Value::INPUT);
    let x = b.add("flatten", Flatten {}, x);
    let x = b.add("softmax", Softmax {}, x);
    push("flatten whose order is seen by softmax", 3, b, x);

    let mut b = Builder::new("residual", [6, 7, 5]);
    let a = b.add("conv1", conv(6), Value::INPUT);
    let a = b.add("relu1", Relu {}, a);
    let z = b.add("conv2", conv(6), a);
    let y = b.sum("add", &[z, a]);
    let y = b.add("relu2", Relu {}, y);
    let y = b.sum("add2", &[y, a, Value::INPUT]);
    push("residual block with fan-out of three", 3, b, y);

    let mut b = Builder::new("rounded-residual", [6, 7, 5]);
    let a = b.add("conv1", conv(8), Value::INPUT);
    let a = b.add("rounded1", FakeQuantize { scale: 0.03, zero_point: 0 }, a);
    let z = b.add("conv2", conv(8), a);
    let z = b.add("rounded2", FakeQuantize { scale: 0.05, zero_point: 128 }, z);
    let y = b.sum("add", &[z, a]);
    let y = b.add("rounded3", FakeQuantize { scale: 0.0437, zero_point: 100 }, y);
    push("residual block whose values are rounded", 3, b, y);

    // Sums that convolutions compute as they write: after Winograd's, with an activation that tiles cannot do, into a
    // concatenation; on maps of one pixel; of two convolutions.
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
    push("sums computed by the convolutions before them", 3, b, w);

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
    push("inception branches into a concatenation with two readers", 3, b, y);

    let mut b = Builder::new("dense", [3, 6, 6]);
    let mut x = b.add("stem", conv(4), Value::INPUT);
    for i in 0..3 {
        let new = b.add(format!("grow{i}"), conv(3), x);
        let new = b.add(format!("relu{i}"), Relu {}, new);
        x = b.concat(format!("cat{i}"), &[x, new]);
    }
    let y = b.add("transition", Conv2d::new(5, 1), x);
    let y = b.add("pool", AvgPool2d::new(2, 2), y);
    push("dense block: nested concatenations of shared values", 3, b, y);

    let mut b = Builder::new("early-reader", [4, 5, 5]);
    let a = b.add("a", conv(4), Value::INPUT);
    let c = b.add("c", conv(4), Value::INPUT);
    let cat = b.concat("cat", &[a, c, a]);
    let head = b.add("head", Conv2d::new(4, 1), cat);
    let late = b.sum("late", &[head, a, c]);
    push("parts of a concatenation that are read after it, one part twice", 1, b, late);

    let mut b = Builder::new("excite", [5, 6, 4]);
    let s = b.add("squeeze", GlobalAvgPool {}, Value::INPUT);
    let s = b.add("gate", Conv2d::new(5, 1), s);
    let s = b.add("sigmoid", Sigmoid {}, s);
    let y = b.product("scale", Value::INPUT, s);
    let y = b.product("square", y, y);
    push("squeeze and excitation: products with a map of one pixel and with itself", 3, b, y);

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
    push("residual block with batch norm and the option-A shortcut", 3, b, y);

    let mut b = Builder::new("vectors", [7]);
    let p = b.add("p", Linear::new(5), Value::INPUT);
    let p = b.add("pa", Tanh {}, p);
    let q = b.add("q", Linear::new(3), Value::INPUT);
    let cat = b.concat("cat", &[p, q]);
    let y = b.add("r", Linear::new(4), cat);
    push("concatenation of vectors", 3, b, y);

    let mut b = Builder::new("flat-concat", [2, 3, 3]);
    let p = b.add("p", conv(3), Value::INPUT);
    let p = b.add("pf", Flatten {}, p);
    let q = b.add("qf", Flatten {}, Value::INPUT);
    let cat = b.concat("cat", &[p, q]);
    let y = b.add("r", Linear::new(4), cat);
    push("concatenation of flattened maps", 3, b, y);
}
