//! Copies a value, or fills it with zeros.

use super::elementwise::ElementwiseUniforms;
use super::kernel::{accumulate, kernels};
use super::recorder::Recorder;
use crate::plan::{GradWrite, View};

kernels!("copy", ElementwiseUniforms, ["elementwise.wgsl", "copy.wgsl"], COPY = "copy", CLEAR = "clear");

/// Copies `from` to `to`.
pub(super) fn copy(r: &mut Recorder<'_>, from: View, to: View) {
    copy_grad(r, from, GradWrite { view: to, accumulate: false });
}

/// Copies `from` to a gradient, or adds it.
pub(super) fn copy_grad(r: &mut Recorder<'_>, from: View, to: GradWrite) {
    let uniforms = ElementwiseUniforms::new(r, from, from, to.view);
    r.dispatch(&COPY, &[accumulate(to.accumulate)], 0, &uniforms, uniforms.elements as usize);
}

/// Fills `view` with zeros.
pub(super) fn clear(r: &mut Recorder<'_>, view: View) {
    let uniforms = ElementwiseUniforms::new(r, view, view, view);
    r.dispatch(&CLEAR, &[], 0, &uniforms, uniforms.elements as usize);
}
