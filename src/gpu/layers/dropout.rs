//! Dropout in training.

use crate::gpu::elementwise::ElementwiseUniforms;
use crate::gpu::kernel::{accumulate, kernels};
use crate::gpu::operation::GpuOperation;
use crate::gpu::recorder::Recorder;
use crate::layers;
use crate::plan::{BackwardStep, GradWrite, Step, View};

kernels!("dropout", ElementwiseUniforms, ["../elementwise.wgsl", "dropout.wgsl"], MASK = "mask");

pub(in crate::gpu) struct Dropout {
    pub layer: layers::Dropout,
    pub step: Step,
}

impl Dropout {
    fn mask(&self, r: &mut Recorder<'_>, from: View, to: GradWrite) {
        let uniforms = ElementwiseUniforms {
            // The stream of `layers::dropout::training_mode`. The control buffer holds the seed.
            stream: self.step.node as u32,
            threshold: self.layer.threshold(),
            scale: self.layer.scale(),
            ..ElementwiseUniforms::new(r, from, from, to.view)
        };
        r.dispatch(&MASK, &[accumulate(to.accumulate)], 0, &uniforms, uniforms.elements as usize);
    }
}

impl GpuOperation for Dropout {
    fn forward(&self, r: &mut Recorder<'_>) {
        self.mask(r, self.step.inputs[0], GradWrite { view: self.step.output, accumulate: false });
    }

    fn backward(&self, r: &mut Recorder<'_>, back: &BackwardStep) {
        if let Some(dx) = back.dx[0] {
            self.mask(r, back.dy, dx);
        }
    }
}
