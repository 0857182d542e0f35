//! The numbers that both poolings give their shaders.

use super::conv2d::Geometry;
use super::program::{GpuPlace, Recorder};
use crate::layers::Window;
use crate::plan::{BackwardStep, Place, Step as PlanStep};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Step {
    x: GpuPlace,
    y: GpuPlace,
    dx: GpuPlace,
    dy: GpuPlace,
    geometry: Geometry,
    pad_after: [i32; 2],
    pub elements: u32,
    unused: u32,
}

fn new(window: &Window, step: &PlanStep, dx: Place, dy: Place, elements: usize) -> Step {
    let x = step.inputs[0];
    let [.., bottom, right] = window.pads([x.h, x.w]);
    Step {
        x: x.into(),
        y: step.output.into(),
        dx: dx.into(),
        dy: dy.into(),
        geometry: Geometry::new(window, [x.h, x.w]),
        pad_after: [bottom as i32, right as i32],
        elements: elements as u32,
        unused: 0,
    }
}

pub(super) fn forward(r: &Recorder<'_>, window: &Window, step: &PlanStep) -> Step {
    let y = step.output;
    new(window, step, step.inputs[0], y, y.pixels(r.batch) * y.c)
}

/// `None` when nobody wants the gradient.
pub(super) fn backward(
    r: &Recorder<'_>,
    window: &Window,
    step: &PlanStep,
    back: &BackwardStep,
) -> Option<(Step, bool)> {
    let dx = back.dx[0]?;
    let elements = dx.place.pixels(r.batch) * dx.place.c;
    Some((new(window, step, dx.place, back.dy, elements), dx.accumulate))
}
