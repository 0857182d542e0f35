//! Softmax on the device: one invocation for each pixel.

use super::elementwise::Step;
use super::kernel::kernels;
use super::program::Recorder;
use crate::plan::{BackwardStep, Step as PlanStep};

kernels!("softmax", ["elementwise_prelude.wgsl", "softmax.wgsl"], FORWARD = "forward", BACKWARD = "backward");

pub(super) fn forward(r: &mut Recorder<'_>, step: &PlanStep) {
    let pixels = step.output.pixels(r.batch);
    let numbers = Step { elements: pixels as u32, ..Step::new(r, step.inputs[0], step.inputs[0], step.output) };
    r.dispatch(&FORWARD, &[], 0, &numbers, pixels);
}

pub(super) fn backward(r: &mut Recorder<'_>, step: &PlanStep, back: &BackwardStep) {
    if let Some(dx) = back.dx[0] {
        let pixels = step.output.pixels(r.batch);
        let numbers = Step { elements: pixels as u32, ..Step::new(r, step.output, back.dy, dx.view) };
        r.dispatch(&BACKWARD, &[("ACCUMULATE", f64::from(dx.accumulate))], 0, &numbers, pixels);
    }
}
