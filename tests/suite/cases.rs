//! The list of cases.

use std::collections::BTreeSet;

use convoke::graph::{Builder, Value};
use convoke::layers::{
    AdaptiveAvgPool2d, AvgPool2d, BatchNorm2d, ChannelShuffle, Clip, Conv2d, Dropout, FakeQuantize, Flatten,
    GlobalAvgPool, HardSigmoid, HardSwish, Layer, LeakyRelu, Linear, LocalResponseNorm, LogSoftmax, MaxPool2d, Pad,
    Padding, Permute, Relu, Sigmoid, Slice, Softmax, Tanh, Window,
};
use convoke::rng::Rng;

use super::structures::{fused, structures};
use super::{Case, names};

/// Returns every case: each layer over strides, paddings, dilations, groups, channel remainders and batches; fused
/// activations; branches, concatenations and shared values.
pub fn cases() -> Vec<Case> {
    let mut cases = vec![];
    convolutions(&mut cases);
    winograd_convolutions(&mut cases);
    depthwise_convolutions(&mut cases);
    drawn_convolutions(&mut cases);
    linears(&mut cases);
    poolings(&mut cases);
    elementwise(&mut cases);
    normalizations(&mut cases);
    rearrangements(&mut cases);
    fused(&mut cases);
    structures(&mut cases);
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len(), "two cases have one name");
    cases
}

fn one(cases: &mut Vec<Case>, input: [usize; 3], batch: usize, layer: impl Into<Layer>) {
    let layer = layer.into();
    let mut b = Builder::new("case", input);
    let y = b.add("layer", layer, Value::INPUT);
    let graph = b.finish(y).expect("a valid case");
    cases.push(Case::new(names::of_layer(&graph, batch), graph, batch));
}

fn convolutions(cases: &mut Vec<Case>) {
    // Channel remainders 1 to 17 on both sides of every tile width.
    for c in 1..=17 {
        one(cases, [c, 5, 6], 1, Conv2d::new(18 - c, 3).padding(Padding::all(1)));
        one(cases, [c, 4, 3], 3, Conv2d::new(c, 1));
    }
    // Sizes of common networks.
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
}

/// Adds 3x3 and 5x5 kernels of stride 1 over every remainder of the output by Winograd's tiles, with channel counts around
/// the vectors' lanes and with uneven padding.
fn winograd_convolutions(cases: &mut Vec<Case>) {
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
}

/// Adds common depthwise kernels with channel counts around one and two vectors.
fn depthwise_convolutions(cases: &mut Vec<Case>) {
    for (i, c) in [2, 5, 8, 9, 16, 19, 24, 40].into_iter().enumerate() {
        for kernel in [3, 5] {
            let padding = if i % 3 == 0 { Padding::Same } else { Padding::Explicit([i % 3, kernel / 2, 0, i]) };
            one(cases, [c, 11, 7 + i], 1 + i % 2, Conv2d::new(c, kernel).groups(c).stride(1 + i % 2).padding(padding));
        }
    }
}

/// Adds convolutions whose attributes are all drawn from a seed.
fn drawn_convolutions(cases: &mut Vec<Case>) {
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
    let graph = b.finish(y).expect("a valid case");
    cases.push(Case::new(names::of_layer(&graph, batch), graph, batch));
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
        for output in BTreeSet::from([[1, 1], [2, 3], [6, 6], [h, w]]) {
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
