//! The numbers that both poolings give their shaders.

use super::conv2d::Geometry;
use super::program::{GpuView, Recorder};
use crate::layers::Window;
use crate::plan::{BackwardStep, Step as PlanStep, View};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Step {
    x: GpuView,
    y: GpuView,
    dx: GpuView,
    dy: GpuView,
    geometry: Geometry,
    pad_after: [i32; 2],
    pub blocks: u32,
    unused: u32,
}

fn new(window: &Window, step: &PlanStep, dx: View, dy: View, blocks: usize) -> Step {
    let x = step.inputs[0];
    let [.., bottom, right] = window.pads([x.h, x.w]);
    Step {
        x: x.into(),
        y: step.output.into(),
        dx: dx.into(),
        dy: dy.into(),
        geometry: Geometry::new(window, [x.h, x.w]),
        pad_after: [bottom as i32, right as i32],
        blocks: blocks as u32,
        unused: 0,
    }
}

/// Invocations for a result: each takes up to four channels of a pixel.
pub(super) fn blocks(r: &Recorder<'_>, result: View) -> usize {
    result.pixels(r.batch) * result.c.div_ceil(4)
}

pub(super) fn forward(r: &Recorder<'_>, window: &Window, step: &PlanStep) -> Step {
    let y = step.output;
    new(window, step, step.inputs[0], y, blocks(r, y))
}

/// `None` when nobody wants the gradient.
pub(super) fn backward(
    r: &Recorder<'_>,
    window: &Window,
    step: &PlanStep,
    back: &BackwardStep,
) -> Option<(Step, bool)> {
    let dx = back.dx[0]?;
    Some((new(window, step, dx.view, back.dy, blocks(r, dx.view)), dx.accumulate))
}
