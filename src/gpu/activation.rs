//! Activations that could not be fused, and the derivatives of all.

use super::elementwise::Step;
use super::kernel::{Constant, kernels};
use super::program::Recorder;
use crate::layers::Activation;
use crate::plan::{Step as PlanStep, View};

kernels!("activation", ["elementwise_prelude.wgsl", "activation.wgsl"], pub(super) FORWARD = "forward", BACKWARD = "backward");

/// The constants of a kernel that applies `activation` to what it writes, and `more` of its own.
pub(super) fn constants(activation: Option<Activation>, more: &[Constant]) -> Vec<Constant> {
    let (code, alpha, beta) = match activation {
        None => (0, 0.0, 0.0),
        Some(Activation::Relu) => (1, 0.0, 0.0),
        Some(Activation::Sigmoid) => (2, 0.0, 0.0),
        Some(Activation::Tanh) => (3, 0.0, 0.0),
        Some(Activation::LeakyRelu { slope }) => (4, slope, 0.0),
        // WebGPU takes no infinite constants.
        Some(Activation::Clip { min, max }) => (5, min.max(f32::MIN), max.min(f32::MAX)),
        Some(Activation::HardSigmoid { alpha, beta }) => (6, alpha, beta),
        Some(Activation::FakeQuantize { scale, low, .. }) => (7, scale, low),
    };
    let mut constants = vec![("ACTIVATION", f64::from(code)), ("ALPHA", alpha.into()), ("BETA", beta.into())];
    constants.extend(more);
    constants
}

pub(super) fn forward(r: &mut Recorder<'_>, activation: Option<Activation>, step: &PlanStep) {
    let numbers = Step::new(r, step.inputs[0], step.inputs[0], step.output);
    r.dispatch(&FORWARD, &constants(activation, &[]), 0, &numbers, numbers.elements as usize);
}

/// `dx = dy * f'`, with f' read off the result `y`.
pub(super) fn backward(
    r: &mut Recorder<'_>,
    activation: Option<Activation>,
    y: View,
    dy: View,
    dx: View,
    accumulate: bool,
) {
    let numbers = Step::new(r, y, dy, dx);
    let constants = constants(activation, &[("ACCUMULATE", f64::from(accumulate))]);
    r.dispatch(&BACKWARD, &constants, 0, &numbers, numbers.elements as usize);
}
