//! ReLU, sigmoid and tanh that could not be fused, and the derivatives of all.

use super::elementwise::Step;
use super::kernel::kernels;
use super::program::{Recorder, activation_code};
use crate::layers::Activation;
use crate::plan::{Place, Step as PlanStep};

kernels!("activation", ["elementwise_prelude.wgsl", "activation.wgsl"], pub(super) FORWARD = "forward", BACKWARD = "backward");

pub(super) fn forward(r: &mut Recorder<'_>, activation: Option<Activation>, step: &PlanStep) {
    let numbers = Step::new(r, step.inputs[0], step.inputs[0], step.output);
    r.dispatch(&FORWARD, &[("ACTIVATION", activation_code(activation))], 0, &numbers, numbers.elements as usize);
}

/// `dx = dy * f'`, with f' read off the result `y`.
pub(super) fn backward(
    r: &mut Recorder<'_>,
    activation: Option<Activation>,
    y: Place,
    dy: Place,
    dx: Place,
    accumulate: bool,
) {
    let numbers = Step::new(r, y, dy, dx);
    let constants = [("ACTIVATION", activation_code(activation)), ("ACCUMULATE", u32::from(accumulate))];
    r.dispatch(&BACKWARD, &constants, 0, &numbers, numbers.elements as usize);
}
