//! Hard swish: x times its hard sigmoid.

use crate::gpu::elementwise::ElementwiseUniforms;
use crate::gpu::kernel::{accumulate, kernels};
use crate::gpu::operation::GpuOperation;
use crate::gpu::recorder::Recorder;
use crate::plan::{BackwardStep, Step};

kernels!(
    "hard_swish",
    ElementwiseUniforms,
    ["../elementwise.wgsl", "hard_swish.wgsl"],
    FORWARD = "forward",
    BACKWARD = "backward",
);

pub(in crate::gpu) struct HardSwish {
    pub step: Step,
}

impl GpuOperation for HardSwish {
    fn forward(&self, r: &mut Recorder<'_>) {
        let x = self.step.inputs[0];
        let uniforms = ElementwiseUniforms::new(r, x, x, self.step.output);
        r.dispatch(&FORWARD, &[], 0, &uniforms, uniforms.elements as usize);
    }

    fn backward(&self, r: &mut Recorder<'_>, back: &BackwardStep) {
        let Some(dx) = back.dx[0] else { return };
        let uniforms = ElementwiseUniforms::new(r, self.step.inputs[0], back.dy, dx.view);
        r.dispatch(&BACKWARD, &[accumulate(dx.accumulate)], 0, &uniforms, uniforms.elements as usize);
    }
}
