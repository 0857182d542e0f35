//! Sums, two values at a time.

use super::activation::constants;
use crate::gpu::copy::copy_grad;
use crate::gpu::elementwise::ElementwiseUniforms;
use crate::gpu::kernel::kernels;
use crate::gpu::operation::GpuOperation;
use crate::gpu::recorder::Recorder;
use crate::plan::{BackwardStep, Step};

kernels!("add", ElementwiseUniforms, ["../elementwise.wgsl", "add.wgsl"], FORWARD = "forward");

pub(in crate::gpu) struct Add {
    pub step: Step,
}

impl GpuOperation for Add {
    fn forward(&self, r: &mut Recorder<'_>) {
        let step = &self.step;
        let last = step.inputs.len() - 1;
        for i in 1..=last {
            // The output holds the sum of the inputs so far.
            let sum = if i == 1 { step.inputs[0] } else { step.output };
            let constants = constants(step.activation.filter(|_| i == last), &[]);
            let uniforms = ElementwiseUniforms::new(r, sum, step.inputs[i], step.output);
            r.dispatch(&FORWARD, &constants, 0, &uniforms, uniforms.elements as usize);
        }
    }

    fn backward(&self, r: &mut Recorder<'_>, back: &BackwardStep) {
        for dx in back.dx.iter().flatten() {
            copy_grad(r, back.dy, *dx);
        }
    }
}
