//! Average pooling on the device.

use super::pooling as pool;
use crate::gpu::kernel::{Constant, kernels};
use crate::gpu::recorder::Recorder;
use crate::layers::AvgPool2d;
use crate::plan::{BackwardStep, Step};

kernels!("avg_pool2d", ["pooling_prelude.wgsl", "avg_pool2d.wgsl"], FORWARD = "forward", BACKWARD = "backward");

fn count_pad(layer: &AvgPool2d) -> Constant {
    ("COUNT_PAD", f64::from(layer.count_include_pad))
}

pub(crate) fn forward(r: &mut Recorder<'_>, layer: &AvgPool2d, step: &Step) {
    let numbers = pool::forward(r, &layer.window, step);
    r.dispatch(&FORWARD, &[count_pad(layer)], 0, &numbers, numbers.blocks as usize);
}

pub(crate) fn backward(r: &mut Recorder<'_>, layer: &AvgPool2d, step: &Step, back: &BackwardStep) {
    if let Some((numbers, accumulate)) = pool::backward(r, &layer.window, step, back) {
        let constants = [count_pad(layer), ("ACCUMULATE", f64::from(accumulate))];
        r.dispatch(&BACKWARD, &constants, 0, &numbers, numbers.blocks as usize);
    }
}
