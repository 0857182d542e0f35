//! Activations that are not fused into another layer, and the derivatives of all activations.

use crate::gpu::elementwise::ElementwiseUniforms;
use crate::gpu::kernel::{Constant, accumulate, kernels};
use crate::gpu::operation::GpuOperation;
use crate::gpu::recorder::Recorder;
use crate::layers::Activation;
use crate::plan::{BackwardStep, GradWrite, Step, View};

kernels!(
    "activation",
    ElementwiseUniforms,
    ["../elementwise.wgsl", "activation.wgsl"],
    FORWARD = "forward",
    BACKWARD = "backward",
);

/// An activation that is a step of its own.
pub(in crate::gpu) struct ActivationLayer {
    pub activation: Activation,
    pub step: Step,
}

/// Override constants for a kernel that applies `activation` to its output, followed by `more`.
pub(in crate::gpu) fn constants(activation: Option<Activation>, more: &[Constant]) -> Vec<Constant> {
    let (code, alpha, beta) = match activation {
        None => (0, 0.0, 0.0),
        Some(Activation::Relu) => (1, 0.0, 0.0),
        Some(Activation::Sigmoid) => (2, 0.0, 0.0),
        Some(Activation::Tanh) => (3, 0.0, 0.0),
        Some(Activation::LeakyRelu { slope }) => (4, slope, 0.0),
        // WebGPU rejects infinite constants.
        Some(Activation::Clip { min, max }) => (5, min.max(f32::MIN), max.min(f32::MAX)),
        Some(Activation::HardSigmoid { alpha, beta }) => (6, alpha, beta),
        Some(Activation::FakeQuantize { scale, low, .. }) => (7, scale, low),
    };
    let mut constants = vec![("ACTIVATION", f64::from(code)), ("ALPHA", alpha.into()), ("BETA", beta.into())];
    constants.extend(more);
    constants
}

/// Records `dx = dy * f'`, where f' is a function of the result `y`.
pub(in crate::gpu) fn backward(r: &mut Recorder<'_>, activation: Activation, y: View, dy: View, dx: GradWrite) {
    let uniforms = ElementwiseUniforms::new(r, y, dy, dx.view);
    let constants = constants(Some(activation), &[accumulate(dx.accumulate)]);
    r.dispatch(&BACKWARD, &constants, 0, &uniforms, uniforms.elements as usize);
}

impl GpuOperation for ActivationLayer {
    fn forward(&self, r: &mut Recorder<'_>) {
        let x = self.step.inputs[0];
        let uniforms = ElementwiseUniforms::new(r, x, x, self.step.output);
        r.dispatch(&FORWARD, &constants(Some(self.activation), &[]), 0, &uniforms, uniforms.elements as usize);
    }

    fn backward(&self, r: &mut Recorder<'_>, back: &BackwardStep) {
        if let Some(dx) = back.dx[0] {
            backward(r, self.activation, self.step.output, back.dy, dx);
        }
    }
}
