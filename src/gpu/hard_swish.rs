//! x times its hard sigmoid.

use super::elementwise::Step;
use super::kernel::kernels;
use super::program::Recorder;
use crate::plan::{BackwardStep, Step as PlanStep};

kernels!("hard_swish", ["elementwise_prelude.wgsl", "hard_swish.wgsl"], FORWARD = "forward", BACKWARD = "backward");

pub(super) fn forward(r: &mut Recorder<'_>, step: &PlanStep) {
    let numbers = Step::new(r, step.inputs[0], step.inputs[0], step.output);
    r.dispatch(&FORWARD, &[], 0, &numbers, numbers.elements as usize);
}

pub(super) fn backward(r: &mut Recorder<'_>, step: &PlanStep, back: &BackwardStep) {
    if let Some(dx) = back.dx[0] {
        let numbers = Step::new(r, step.inputs[0], back.dy, dx.view);
        r.dispatch(&BACKWARD, &[("ACCUMULATE", f64::from(dx.accumulate))], 0, &numbers, numbers.elements as usize);
    }
}
