//! Means over a grid of fixed size; a global average is a grid of one.

use super::elementwise::Step;
use super::kernel::kernels;
use super::program::Recorder;
use crate::plan::{BackwardStep, Step as PlanStep};

kernels!(
    "adaptive_avg_pool2d",
    ["elementwise_prelude.wgsl", "adaptive_avg_pool2d.wgsl"],
    FORWARD = "forward",
    BACKWARD = "backward",
);

pub(super) fn forward(r: &mut Recorder<'_>, step: &PlanStep) {
    let numbers = Step::for_result(r, step.inputs[0], step.inputs[0], step.output);
    r.dispatch(&FORWARD, &[], 0, &numbers, numbers.elements as usize);
}

pub(super) fn backward(r: &mut Recorder<'_>, back: &BackwardStep) {
    if let Some(dx) = back.dx[0] {
        let numbers = Step::for_result(r, back.dy, back.dy, dx.view);
        r.dispatch(&BACKWARD, &[("ACCUMULATE", f64::from(dx.accumulate))], 0, &numbers, numbers.elements as usize);
    }
}
