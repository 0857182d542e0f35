//! The numbers that element-wise layers give their shaders.

use super::program::{GpuView, Recorder};
use crate::plan::View;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Step {
    pub a: GpuView,
    pub b: GpuView,
    pub y: GpuView,
    pub elements: u32,
    pub stream: u32,
    pub threshold: u32,
    pub scale: f32,
}

impl Step {
    /// Operands `a` and `b` (the same when there is one), result `y`, and an invocation for each element of `a`.
    pub(super) fn new(r: &Recorder<'_>, a: View, b: View, y: View) -> Self {
        let elements = (a.pixels(r.batch) * a.c) as u32;
        Step { a: a.into(), b: b.into(), y: y.into(), elements, stream: 0, threshold: 0, scale: 1.0 }
    }
    /// The same with an invocation for each element of `y`.
    pub(super) fn for_result(r: &Recorder<'_>, a: View, b: View, y: View) -> Self {
        Step { elements: (y.pixels(r.batch) * y.c) as u32, ..Step::new(r, a, b, y) }
    }
}
