//! Values that change places across channels and pixels.

use super::kernel::kernels;
use super::program::{GpuView, Recorder};
use crate::layers;
use crate::plan::{BackwardStep, Step as PlanStep, View};

kernels!("permute", ["permute.wgsl"], PERMUTE = "permute");

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Step {
    a: GpuView,
    y: GpuView,
    /// The size of y's sample along each axis, and all of its elements.
    size: [u32; 4],
    /// How far apart in a neighbours on each axis are.
    strides: [u32; 4],
}

fn gather(r: &mut Recorder<'_>, layer: layers::Permute, a: View, y: View, accumulate: bool) {
    let elements = y.pixels(r.batch) * y.c;
    let four = |[c, h, w]: [usize; 3]| [c, h, w, elements].map(|v| v as u32);
    let numbers = Step { a: a.into(), y: y.into(), size: four(layer.size()), strides: four(layer.strides()) };
    r.dispatch(&PERMUTE, &[("ACCUMULATE", f64::from(accumulate))], 0, &numbers, elements);
}

pub(super) fn forward(r: &mut Recorder<'_>, layer: &layers::Permute, step: &PlanStep) {
    gather(r, *layer, step.inputs[0], step.output, false);
}

pub(super) fn backward(r: &mut Recorder<'_>, layer: &layers::Permute, back: &BackwardStep) {
    if let Some(dx) = back.dx[0] {
        gather(r, layer.inverse(), back.dy, dx.view, dx.accumulate);
    }
}
