//! Between maps in NHWC and vectors in CHW order.

use super::elementwise::Step;
use super::kernel::kernels;
use super::program::Recorder;
use crate::plan::{BackwardStep, Step as PlanStep, View};

kernels!("flatten", ["elementwise_prelude.wgsl", "flatten.wgsl"], TO_VECTOR = "to_vector", TO_MAP = "to_map");

pub(super) fn to_vector(r: &mut Recorder<'_>, map: View, vector: View, accumulate: bool) {
    let numbers = Step::new(r, map, vector, vector);
    r.dispatch(&TO_VECTOR, &[("ACCUMULATE", f64::from(accumulate))], 0, &numbers, numbers.elements as usize);
}

pub(super) fn to_map(r: &mut Recorder<'_>, vector: View, map: View, accumulate: bool) {
    let numbers = Step::new(r, map, vector, vector);
    r.dispatch(&TO_MAP, &[("ACCUMULATE", f64::from(accumulate))], 0, &numbers, numbers.elements as usize);
}

pub(super) fn forward(r: &mut Recorder<'_>, step: &PlanStep) {
    to_vector(r, step.inputs[0], step.output, false);
}

pub(super) fn backward(r: &mut Recorder<'_>, back: &BackwardStep) {
    if let Some(dx) = back.dx[0] {
        to_map(r, back.dy, dx.view, dx.accumulate);
    }
}
