//! Means over a grid of fixed size. A global average is a grid of one cell.

use crate::gpu::elementwise::ElementwiseUniforms;
use crate::gpu::kernel::{accumulate, kernels};
use crate::gpu::operation::GpuOperation;
use crate::gpu::recorder::Recorder;
use crate::plan::{BackwardStep, Step};

kernels!(
    "adaptive_avg_pool2d",
    ElementwiseUniforms,
    ["../elementwise.wgsl", "adaptive_avg_pool2d.wgsl"],
    FORWARD = "forward",
    BACKWARD = "backward",
);

pub(in crate::gpu) struct AdaptiveAvgPool2d {
    pub step: Step,
}

impl GpuOperation for AdaptiveAvgPool2d {
    fn forward(&self, r: &mut Recorder<'_>) {
        let x = self.step.inputs[0];
        let uniforms = ElementwiseUniforms::for_result(r, x, x, self.step.output);
        r.dispatch(&FORWARD, &[], 0, &uniforms, uniforms.elements as usize);
    }

    fn backward(&self, r: &mut Recorder<'_>, back: &BackwardStep) {
        let Some(dx) = back.dx[0] else { return };
        let uniforms = ElementwiseUniforms::for_result(r, back.dy, back.dy, dx.view);
        r.dispatch(&BACKWARD, &[accumulate(dx.accumulate)], 0, &uniforms, uniforms.elements as usize);
    }
}
