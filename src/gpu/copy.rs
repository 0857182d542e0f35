//! Copies of values, and zeros.

use super::elementwise::Step;
use super::kernel::kernels;
use super::recorder::Recorder;
use crate::plan::View;

kernels!("copy", ["elementwise_prelude.wgsl", "copy.wgsl"], COPY = "copy", CLEAR = "clear");

/// Copies `from` to `to`, or adds it.
pub(super) fn copy(r: &mut Recorder<'_>, from: View, to: View, accumulate: bool) {
    let numbers = Step::new(r, from, from, to);
    r.dispatch(&COPY, &[("ACCUMULATE", f64::from(accumulate))], 0, &numbers, numbers.elements as usize);
}

/// Fills `place` with zeros.
pub(super) fn clear(r: &mut Recorder<'_>, view: View) {
    let numbers = Step::new(r, view, view, view);
    r.dispatch(&CLEAR, &[], 0, &numbers, numbers.elements as usize);
}
