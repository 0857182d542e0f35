//! Products. The second factor may be a map of one pixel.

use crate::gpu::elementwise::ElementwiseUniforms;
use crate::gpu::kernel::{accumulate, kernels};
use crate::gpu::operation::GpuOperation;
use crate::gpu::recorder::Recorder;
use crate::plan::{BackwardStep, Step};

kernels!("mul", ElementwiseUniforms, ["../elementwise.wgsl", "mul.wgsl"], PRODUCT = "product", SUM = "sum");

pub(in crate::gpu) struct Mul {
    pub step: Step,
}

impl GpuOperation for Mul {
    fn forward(&self, r: &mut Recorder<'_>) {
        let step = &self.step;
        let uniforms = ElementwiseUniforms::new(r, step.inputs[0], step.inputs[1], step.output);
        r.dispatch(&PRODUCT, &[], 0, &uniforms, uniforms.elements as usize);
    }

    /// The gradient of a factor is dy times the other factor, summed over all pixels that a pixel was multiplied with.
    fn backward(&self, r: &mut Recorder<'_>, back: &BackwardStep) {
        for (i, kernel) in [&PRODUCT, &SUM].into_iter().enumerate() {
            let Some(dx) = back.dx[i] else { continue };
            let uniforms = ElementwiseUniforms::for_result(r, back.dy, self.step.inputs[1 - i], dx.view);
            r.dispatch(kernel, &[accumulate(dx.accumulate)], 0, &uniforms, uniforms.elements as usize);
        }
    }
}
