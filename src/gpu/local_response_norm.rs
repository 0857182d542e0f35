//! Normalisation by neighbouring channels.

use super::elementwise::Step;
use super::kernel::{Constant, kernels};
use super::program::Recorder;
use crate::layers::LocalResponseNorm;
use crate::plan::{BackwardStep, Step as PlanStep};

kernels!(
    "local_response_norm",
    ["elementwise_prelude.wgsl", "local_response_norm.wgsl"],
    FORWARD = "forward",
    BACKWARD = "backward",
);

fn constants(layer: &LocalResponseNorm, accumulate: bool) -> [Constant; 5] {
    // The size is below 2^32 wherever it makes a difference.
    let size = layer.size.min(1 << 30);
    [
        ("SIZE", size as f64),
        ("SCALE", (layer.alpha / layer.size as f32).min(f32::MAX).into()),
        ("POWER", layer.beta.into()),
        ("K", layer.k.min(f32::MAX).into()),
        ("ACCUMULATE", accumulate.into()),
    ]
}

pub(super) fn forward(r: &mut Recorder<'_>, layer: &LocalResponseNorm, step: &PlanStep) {
    let numbers = Step::new(r, step.inputs[0], step.inputs[0], step.output);
    r.dispatch(&FORWARD, &constants(layer, false), 0, &numbers, numbers.elements as usize);
}

pub(super) fn backward(r: &mut Recorder<'_>, layer: &LocalResponseNorm, step: &PlanStep, back: &BackwardStep) {
    if let Some(dx) = back.dx[0] {
        let numbers = Step::new(r, step.inputs[0], back.dy, dx.view);
        r.dispatch(&BACKWARD, &constants(layer, dx.accumulate), 0, &numbers, numbers.elements as usize);
    }
}
