//! Dropout while training.

use super::elementwise::Step;
use super::kernel::kernels;
use super::program::Recorder;
use crate::layers::Dropout;
use crate::plan::{BackwardStep, Step as PlanStep, View};

kernels!("dropout", ["elementwise_prelude.wgsl", "dropout.wgsl"], MASK = "mask");

fn mask(r: &mut Recorder<'_>, layer: &Dropout, node: usize, from: View, to: View, accumulate: bool) {
    let mut numbers = Step::new(r, from, from, to);
    // The stream of layers::dropout::training_mode; the step's seed is in the control buffer.
    numbers.stream = node as u32;
    numbers.threshold = layer.threshold();
    numbers.scale = layer.scale();
    r.dispatch(&MASK, &[("ACCUMULATE", f64::from(accumulate))], 0, &numbers, numbers.elements as usize);
}

pub(super) fn forward(r: &mut Recorder<'_>, layer: &Dropout, step: &PlanStep) {
    mask(r, layer, step.node, step.inputs[0], step.output, false);
}

pub(super) fn backward(r: &mut Recorder<'_>, layer: &Dropout, step: &PlanStep, back: &BackwardStep) {
    if let Some(dx) = back.dx[0] {
        mask(r, layer, step.node, back.dy, dx.view, dx.accumulate);
    }
}
