//! Sums on the device, two values at a time.

use super::activation::constants;
use super::concat::copy;
use super::elementwise::Step;
use super::kernel::kernels;
use super::program::Recorder;
use crate::plan::{BackwardStep, Step as PlanStep};

kernels!("add", ["elementwise_prelude.wgsl", "add.wgsl"], FORWARD = "forward");

pub(super) fn forward(r: &mut Recorder<'_>, step: &PlanStep) {
    let last = step.inputs.len() - 1;
    for i in 1..=last {
        // The output holds the sum of the inputs so far.
        let so_far = if i == 1 { step.inputs[0] } else { step.output };
        let constants = constants(step.activation.filter(|_| i == last), &[]);
        let numbers = Step::new(r, so_far, step.inputs[i], step.output);
        r.dispatch(&FORWARD, &constants, 0, &numbers, numbers.elements as usize);
    }
}

pub(super) fn backward(r: &mut Recorder<'_>, back: &BackwardStep) {
    for dx in back.dx.iter().flatten() {
        copy(r, back.dy, dx.view, dx.accumulate);
    }
}
