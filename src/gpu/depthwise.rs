//! Convolutions with one input channel in each group.

use super::activation::constants;
use super::conv2d::{Conv, Geometry, Splits};
use super::kernel::kernels;
use super::program::{GpuView, Recorder};
use super::reduce;
use crate::layers::Activation;
use crate::plan::{GradWrite, View};

kernels!(
    "depthwise",
    ["grads.wgsl", "depthwise.wgsl"],
    FORWARD = "forward",
    BACKWARD_INPUT = "backward_input",
    BACKWARD_WEIGHTS = "backward_weights",
);

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Step {
    x: GpuView,
    y: GpuView,
    geometry: Geometry,
    weights: u32,
    bias: u32,
    multiplier: u32,
    elements: u32,
    batch: u32,
    splits: u32,
    slice: u32,
    scratch: u32,
}

fn step(r: &Recorder<'_>, conv: &Conv, x: View, y: View, result: View) -> Step {
    Step {
        x: x.into(),
        y: y.into(),
        geometry: Geometry::new(&conv.window, [x.h, x.w]),
        weights: conv.slot.weights(),
        bias: conv.slot.bias().unwrap_or(u32::MAX),
        multiplier: conv.slot.form.cout as u32,
        elements: (result.pixels(r.batch) * result.c) as u32,
        batch: r.batch as u32,
        splits: 1,
        slice: 0,
        scratch: 0,
    }
}

pub(super) fn forward(r: &mut Recorder<'_>, conv: &Conv, activation: Option<Activation>) {
    let step = step(r, conv, conv.x, conv.y, conv.y);
    r.dispatch(&FORWARD, &constants(activation, &[]), conv.slot.bank, &step, step.elements as usize);
}

pub(super) fn backward(r: &mut Recorder<'_>, conv: &Conv, dy: View, dx: Option<GradWrite>) {
    let form = conv.slot.form;
    if !conv.frozen {
        let mut numbers = step(r, conv, conv.x, dy, dy);
        let sum = Splits::new(r.batch * dy.h, dy.w, Splits::stored(&form));
        sum.reserve(r, &form);
        (numbers.splits, numbers.slice, numbers.scratch) = sum.numbers(r);
        r.dispatch(&BACKWARD_WEIGHTS, &[], conv.slot.bank, &numbers, Splits::stored(&form) * sum.count);
        reduce::record(r, &conv.slot, &sum);
    }
    if let Some(dx) = dx {
        let numbers = step(r, conv, dx.view, dy, dx.view);
        let constants = [("ACCUMULATE", f64::from(dx.accumulate))];
        r.dispatch(&BACKWARD_INPUT, &constants, conv.slot.bank, &numbers, numbers.elements as usize);
    }
}
