//! Average pooling.

use super::pooling::PoolUniforms;
use crate::gpu::kernel::{Constant, accumulate, kernels};
use crate::gpu::operation::GpuOperation;
use crate::gpu::recorder::Recorder;
use crate::layers;
use crate::plan::{BackwardStep, Step};

kernels!("avg_pool2d", PoolUniforms, ["pooling.wgsl", "avg_pool2d.wgsl"], FORWARD = "forward", BACKWARD = "backward",);

pub(in crate::gpu) struct AvgPool2d {
    pub layer: layers::AvgPool2d,
    pub step: Step,
}

impl AvgPool2d {
    fn count_pad(&self) -> Constant {
        ("COUNT_PAD", f64::from(self.layer.count_include_pad))
    }
}

impl GpuOperation for AvgPool2d {
    fn forward(&self, r: &mut Recorder<'_>) {
        let uniforms = PoolUniforms::forward(r, &self.layer.window, &self.step);
        r.dispatch(&FORWARD, &[self.count_pad()], 0, &uniforms, uniforms.blocks as usize);
    }

    fn backward(&self, r: &mut Recorder<'_>, back: &BackwardStep) {
        let Some(dx) = back.dx[0] else { return };
        let uniforms = PoolUniforms::backward(r, &self.layer.window, &self.step, back, dx);
        let constants = [self.count_pad(), accumulate(dx.accumulate)];
        r.dispatch(&BACKWARD, &constants, 0, &uniforms, uniforms.blocks as usize);
    }
}
