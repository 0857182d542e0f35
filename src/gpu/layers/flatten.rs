//! Copies between maps in NHWC order and vectors in CHW order.

use crate::gpu::elementwise::ElementwiseUniforms;
use crate::gpu::kernel::{accumulate, kernels};
use crate::gpu::operation::GpuOperation;
use crate::gpu::recorder::Recorder;
use crate::plan::{BackwardStep, GradWrite, Step, View};

kernels!(
    "flatten",
    ElementwiseUniforms,
    ["../elementwise.wgsl", "flatten.wgsl"],
    TO_VECTOR = "to_vector",
    TO_MAP = "to_map",
);

/// Records a copy of a map to a vector.
pub(in crate::gpu) fn to_vector(r: &mut Recorder<'_>, map: View, vector: View) {
    let uniforms = ElementwiseUniforms::new(r, map, vector, vector);
    r.dispatch(&TO_VECTOR, &[accumulate(false)], 0, &uniforms, uniforms.elements as usize);
}

/// Records a copy of a vector to a map.
pub(in crate::gpu) fn to_map(r: &mut Recorder<'_>, vector: View, map: View) {
    to_map_grad(r, vector, GradWrite { view: map, accumulate: false });
}

fn to_map_grad(r: &mut Recorder<'_>, vector: View, map: GradWrite) {
    let uniforms = ElementwiseUniforms::new(r, map.view, vector, vector);
    r.dispatch(&TO_MAP, &[accumulate(map.accumulate)], 0, &uniforms, uniforms.elements as usize);
}

pub(in crate::gpu) struct Flatten {
    pub step: Step,
}

impl GpuOperation for Flatten {
    fn forward(&self, r: &mut Recorder<'_>) {
        to_vector(r, self.step.inputs[0], self.step.output);
    }

    fn backward(&self, r: &mut Recorder<'_>, back: &BackwardStep) {
        if let Some(dx) = back.dx[0] {
            to_map_grad(r, back.dy, dx);
        }
    }
}
