//! Max pooling on the device.

use super::kernel::kernels;
use super::pool;
use super::program::Recorder;
use crate::layers::MaxPool2d;
use crate::plan::{BackwardStep, Step};

kernels!("max_pool2d", ["pool_prelude.wgsl", "max_pool2d.wgsl"], FORWARD = "forward", BACKWARD = "backward");

pub(super) fn forward(r: &mut Recorder<'_>, layer: &MaxPool2d, step: &Step) {
    let numbers = pool::forward(r, &layer.window, step);
    r.dispatch(&FORWARD, &[], 0, &numbers, numbers.elements as usize);
}

pub(super) fn backward(r: &mut Recorder<'_>, layer: &MaxPool2d, step: &Step, back: &BackwardStep) {
    if let Some((numbers, accumulate)) = pool::backward(r, &layer.window, step, back) {
        r.dispatch(&BACKWARD, &[("ACCUMULATE", u32::from(accumulate))], 0, &numbers, numbers.elements as usize);
    }
}
