//! Permutes channels, rows and columns.

use crate::gpu::kernel::{accumulate, kernels};
use crate::gpu::operation::GpuOperation;
use crate::gpu::recorder::Recorder;
use crate::gpu::uniforms::{ViewUniforms, shader_struct};
use crate::layers;
use crate::plan::{BackwardStep, GradWrite, Step, View};

kernels!("permute", PermuteUniforms, ["permute.wgsl"], PERMUTE = "permute");

shader_struct! {
    struct PermuteUniforms {
        a: ViewUniforms,
        y: ViewUniforms,
        /// Channels, height and width of y, and the elements of the batch.
        size: [u32; 4],
        /// Distance in `a`, in CHW order, of neighbors on each axis of y.
        strides: [u32; 4],
    }
}

pub(in crate::gpu) struct Permute {
    pub layer: layers::Permute,
    pub step: Step,
}

fn gather(r: &mut Recorder<'_>, layer: layers::Permute, a: View, y: GradWrite) {
    let elements = y.view.pixels(r.batch) * y.view.c;
    let four = |[c, h, w]: [usize; 3]| [c, h, w, elements].map(|v| v as u32);
    let (size, strides) = (four(layer.size()), four(layer.strides()));
    let uniforms = PermuteUniforms { a: a.into(), y: y.view.into(), size, strides };
    r.dispatch(&PERMUTE, &[accumulate(y.accumulate)], 0, &uniforms, elements);
}

impl GpuOperation for Permute {
    fn forward(&self, r: &mut Recorder<'_>) {
        gather(r, self.layer, self.step.inputs[0], GradWrite { view: self.step.output, accumulate: false });
    }

    fn backward(&self, r: &mut Recorder<'_>, back: &BackwardStep) {
        if let Some(dx) = back.dx[0] {
            gather(r, self.layer.inverse(), back.dy, dx);
        }
    }
}
