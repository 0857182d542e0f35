//! Average pooling on the device.

use super::kernel::{Constant, kernels};
use super::pool;
use super::program::Recorder;
use crate::layers::AvgPool2d;
use crate::plan::{BackwardStep, Step};

kernels!("avg_pool2d", ["pool_prelude.wgsl", "avg_pool2d.wgsl"], FORWARD = "forward", BACKWARD = "backward");

fn count_pad(layer: &AvgPool2d) -> Constant {
    ("COUNT_PAD", f64::from(layer.count_include_pad))
}

pub(super) fn forward(r: &mut Recorder<'_>, layer: &AvgPool2d, step: &Step) {
    let numbers = pool::forward(r, &layer.window, step);
    r.dispatch(&FORWARD, &[count_pad(layer)], 0, &numbers, numbers.blocks as usize);
}

pub(super) fn backward(r: &mut Recorder<'_>, layer: &AvgPool2d, step: &Step, back: &BackwardStep) {
    if let Some((numbers, accumulate)) = pool::backward(r, &layer.window, step, back) {
        let constants = [count_pad(layer), ("ACCUMULATE", f64::from(accumulate))];
        r.dispatch(&BACKWARD, &constants, 0, &numbers, numbers.blocks as usize);
    }
}
