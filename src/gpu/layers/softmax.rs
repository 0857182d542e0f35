//! Softmax and its logarithm, one invocation for each pixel.

use crate::gpu::elementwise::ElementwiseUniforms;
use crate::gpu::kernel::{accumulate, kernels};
use crate::gpu::operation::GpuOperation;
use crate::gpu::recorder::Recorder;
use crate::plan::{BackwardStep, Step};

kernels!(
    "softmax",
    ElementwiseUniforms,
    ["../elementwise.wgsl", "softmax.wgsl"],
    FORWARD = "forward",
    BACKWARD = "backward",
);

pub(in crate::gpu) struct Softmax {
    /// Whether the result is the logarithm.
    pub log: bool,
    pub step: Step,
}

impl GpuOperation for Softmax {
    fn forward(&self, r: &mut Recorder<'_>) {
        let x = self.step.inputs[0];
        let uniforms = ElementwiseUniforms::for_pixels(r, x, x, self.step.output);
        r.dispatch(&FORWARD, &[("LOG", f64::from(self.log))], 0, &uniforms, uniforms.elements as usize);
    }

    fn backward(&self, r: &mut Recorder<'_>, back: &BackwardStep) {
        let Some(dx) = back.dx[0] else { return };
        let uniforms = ElementwiseUniforms::for_pixels(r, self.step.output, back.dy, dx.view);
        let constants = [("LOG", f64::from(self.log)), accumulate(dx.accumulate)];
        r.dispatch(&BACKWARD, &constants, 0, &uniforms, uniforms.elements as usize);
    }
}
