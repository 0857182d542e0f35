//! Products on the device; the second factor may be a map of one pixel.

use super::elementwise::Step;
use super::kernel::kernels;
use super::program::Recorder;
use crate::plan::{BackwardStep, Step as PlanStep};

kernels!("mul", ["elementwise_prelude.wgsl", "mul.wgsl"], PRODUCT = "product", SUM = "sum");

pub(super) fn forward(r: &mut Recorder<'_>, step: &PlanStep) {
    let numbers = Step::new(r, step.inputs[0], step.inputs[1], step.output);
    r.dispatch(&PRODUCT, &[], 0, &numbers, numbers.elements as usize);
}

/// The gradient of a factor is the result's times the other factor, summed where a pixel was a factor of many.
pub(super) fn backward(r: &mut Recorder<'_>, step: &PlanStep, back: &BackwardStep) {
    for (i, kernel) in [&PRODUCT, &SUM].into_iter().enumerate() {
        if let Some(dx) = back.dx[i] {
            let numbers = Step::for_result(r, back.dy, step.inputs[1 - i], dx.view);
            r.dispatch(kernel, &[("ACCUMULATE", f64::from(dx.accumulate))], 0, &numbers, numbers.elements as usize);
        }
    }
}
