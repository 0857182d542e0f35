//! Normalization by neighboring channels.

use crate::gpu::elementwise::ElementwiseUniforms;
use crate::gpu::kernel::{Constant, accumulate, kernels};
use crate::gpu::operation::GpuOperation;
use crate::gpu::recorder::Recorder;
use crate::layers;
use crate::plan::{BackwardStep, Step};

kernels!(
    "local_response_norm",
    ElementwiseUniforms,
    ["../elementwise.wgsl", "local_response_norm.wgsl"],
    FORWARD = "forward",
    BACKWARD = "backward",
);

pub(in crate::gpu) struct LocalResponseNorm {
    pub layer: layers::LocalResponseNorm,
    pub step: Step,
}

impl LocalResponseNorm {
    fn constants(&self, accumulates: bool) -> [Constant; 5] {
        let layer = &self.layer;
        [
            // No map has 2^30 channels, and the constant is a u32.
            ("SIZE", layer.size.min(1 << 30) as f64),
            ("SCALE", (layer.alpha / layer.size as f32).min(f32::MAX).into()),
            ("POWER", layer.beta.into()),
            ("K", layer.k.min(f32::MAX).into()),
            accumulate(accumulates),
        ]
    }
}

impl GpuOperation for LocalResponseNorm {
    fn forward(&self, r: &mut Recorder<'_>) {
        let x = self.step.inputs[0];
        let uniforms = ElementwiseUniforms::new(r, x, x, self.step.output);
        r.dispatch(&FORWARD, &self.constants(false), 0, &uniforms, uniforms.elements as usize);
    }

    fn backward(&self, r: &mut Recorder<'_>, back: &BackwardStep) {
        let Some(dx) = back.dx[0] else { return };
        let uniforms = ElementwiseUniforms::new(r, self.step.inputs[0], back.dy, dx.view);
        r.dispatch(&BACKWARD, &self.constants(dx.accumulate), 0, &uniforms, uniforms.elements as usize);
    }
}
