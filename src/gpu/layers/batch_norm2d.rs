//! Batch normalization. In training, forward writes the batch's statistics to the gradients of the running statistics.
//! Backward reads them from there and replaces them by the change of the running statistics.

use super::activation::constants;
use crate::gpu::kernel::{accumulate, kernels};
use crate::gpu::operation::GpuOperation;
use crate::gpu::recorder::Recorder;
use crate::gpu::split_sum::SplitSum;
use crate::gpu::uniforms::{ViewUniforms, shader_struct};
use crate::layers;
use crate::plan::{BackwardStep, Step, View};

kernels!(
    "batch_norm2d",
    BatchNormUniforms,
    ["../grads.wgsl", "batch_norm2d.wgsl"],
    STATISTICS = "statistics",
    MERGE = "merge",
    FORWARD = "forward",
    SUMS = "sums",
    FINISH = "finish",
    SCALES = "scales",
    BACKWARD = "backward",
);

/// Pixels of one channel that an invocation normalizes, as in the shader.
pub(in crate::gpu) const PIXELS: usize = 8;

shader_struct! {
    struct BatchNormUniforms {
        x: ViewUniforms,
        dy: ViewUniforms,
        /// The result: y, or the gradient of x.
        y: ViewUniforms,
        params: [u32; 4],
        pixels: u32,
        splits: u32,
        slice: u32,
        scratch: u32,
        epsilon: f32,
        momentum: f32,
    }
}

impl BatchNormUniforms {
    /// Invocations that normalize all pixels.
    fn normalizing(&self) -> usize {
        (self.pixels as usize).div_ceil(PIXELS) * self.x.c as usize
    }

    /// Invocations that sum over all slices.
    fn summing(&self) -> usize {
        (self.splits * self.x.c) as usize
    }
}

pub(in crate::gpu) struct BatchNorm2d {
    pub layer: layers::BatchNorm2d,
    pub step: Step,
}

impl BatchNorm2d {
    fn uniforms(&self, r: &mut Recorder<'_>, dy: View, y: View) -> BatchNormUniforms {
        let x = self.step.inputs[0];
        let sum = SplitSum::new(r.batch * x.h, x.w, x.c);
        BatchNormUniforms {
            x: x.into(),
            dy: dy.into(),
            y: y.into(),
            params: r.slot(self.step.node).at,
            pixels: x.pixels(r.batch) as u32,
            splits: sum.count as u32,
            slice: (sum.slice * x.w) as u32,
            // Two sums for each slice, then four coefficients.
            scratch: r.scratch((2 * sum.count + 4) * x.c) as u32,
            epsilon: self.layer.epsilon,
            momentum: self.layer.momentum,
        }
    }
}

impl GpuOperation for BatchNorm2d {
    fn forward(&self, r: &mut Recorder<'_>) {
        let step = &self.step;
        let uniforms = self.uniforms(r, step.output, step.output);
        let buffer = r.slot(step.node).param_buffer;
        let batch_statistics = r.training && !step.frozen;
        if batch_statistics {
            r.dispatch(&STATISTICS, &[], buffer, &uniforms, uniforms.summing());
            r.dispatch(&MERGE, &[], buffer, &uniforms, uniforms.x.c as usize);
        }
        let constants = constants(step.activation, &[("TRAINING", f64::from(batch_statistics))]);
        r.dispatch(&FORWARD, &constants, buffer, &uniforms, uniforms.normalizing());
    }

    fn backward(&self, r: &mut Recorder<'_>, back: &BackwardStep) {
        let dx = back.dx[0];
        let uniforms = self.uniforms(r, back.dy, dx.map_or(back.dy, |dx| dx.view));
        let buffer = r.slot(self.step.node).param_buffer;
        if self.step.frozen {
            r.dispatch(&SCALES, &[], buffer, &uniforms, uniforms.x.c as usize);
        } else {
            r.dispatch(&SUMS, &[], buffer, &uniforms, uniforms.summing());
            r.dispatch(&FINISH, &[], buffer, &uniforms, uniforms.x.c as usize);
        }
        if let Some(dx) = dx {
            r.dispatch(&BACKWARD, &[accumulate(dx.accumulate)], buffer, &uniforms, uniforms.normalizing());
        }
    }
}
