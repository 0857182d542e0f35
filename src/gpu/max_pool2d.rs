//! Max pooling on the device.

use super::conv2d::Geometry;
use super::kernel::{Constant, kernels};
use super::pool;
use super::program::Recorder;
use crate::layers::{MaxPool2d, Window};
use crate::plan::{BackwardStep, Step, View};

kernels!(
    "max_pool2d",
    ["pool_prelude.wgsl", "max_pool2d.wgsl"],
    FORWARD = "forward",
    BACKWARD = "backward",
    BACKWARD_TILED = "backward_tiled"
);

fn padded(layer: &MaxPool2d, step: &Step) -> Constant {
    let geometry = Geometry::new(&layer.window, [step.inputs[0].h, step.inputs[0].w]);
    ("PADDED", f64::from(geometry.is_padded(&step.inputs[0], &step.output)))
}

pub(super) fn forward(r: &mut Recorder<'_>, layer: &MaxPool2d, step: &Step) {
    let numbers = pool::forward(r, &layer.window, step);
    r.dispatch(&FORWARD, &[padded(layer, step)], 0, &numbers, numbers.blocks as usize);
}

/// Whether every input is in exactly one window.
fn is_tiling(window: &Window, x: &View, y: &View) -> bool {
    let on_axis = |axis: usize, input: usize, output: usize| {
        let kernel = window.kernel[axis];
        window.stride[axis] == kernel && window.dilation[axis] == 1 && kernel * output == input
    };
    window.pads([x.h, x.w]) == [0; 4] && on_axis(0, x.h, y.h) && on_axis(1, x.w, y.w)
}

pub(super) fn backward(r: &mut Recorder<'_>, layer: &MaxPool2d, step: &Step, back: &BackwardStep) {
    let Some((mut numbers, accumulate)) = pool::backward(r, &layer.window, step, back) else { return };
    let tiling = is_tiling(&layer.window, &step.inputs[0], &step.output);
    if tiling {
        numbers.blocks = pool::blocks(r, step.output) as u32;
    }
    let kernel = if tiling { &BACKWARD_TILED } else { &BACKWARD };
    let constants = [padded(layer, step), ("ACCUMULATE", f64::from(accumulate))];
    r.dispatch(kernel, &constants, 0, &numbers, numbers.blocks as usize);
}
