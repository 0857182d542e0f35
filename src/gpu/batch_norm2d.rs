//! Batch normalisation. In training, forward leaves the batch's statistics where the running ones' gradients are;
//! backward reads them there and replaces them by how far the running ones are to move.

use super::activation::constants;
use super::conv2d::Splits;
use super::kernel::kernels;
use super::program::{GpuView, Recorder};
use crate::layers::BatchNorm2d;
use crate::plan::{BackwardStep, Step as PlanStep, View};

kernels!(
    "batch_norm2d",
    ["grads.wgsl", "batch_norm2d.wgsl"],
    STATISTICS = "statistics",
    MERGE = "merge",
    FORWARD = "forward",
    SUMS = "sums",
    FINISH = "finish",
    SCALES = "scales",
    BACKWARD = "backward",
);

/// Pixels of one channel that an invocation normalises.
const RUN: usize = 8;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Step {
    x: GpuView,
    dy: GpuView,
    /// The result: y, or the gradient of x.
    y: GpuView,
    params: [u32; 4],
    pixels: u32,
    splits: u32,
    slice: u32,
    scratch: u32,
    epsilon: f32,
    momentum: f32,
    unused: [u32; 2],
}

impl Step {
    fn new(r: &mut Recorder<'_>, layer: &BatchNorm2d, step: &PlanStep, dy: View, y: View) -> Self {
        let x = step.inputs[0];
        let sum = Splits::new(r.batch * x.h, x.w, x.c);
        let (splits, rows, _) = sum.numbers(r);
        // Two sums for each slice, then four coefficients.
        let scratch = r.scratch((2 * sum.count + 4) * x.c);
        Step {
            x: x.into(),
            dy: dy.into(),
            y: y.into(),
            params: r.slot(step.node).at,
            pixels: x.pixels(r.batch) as u32,
            splits,
            slice: rows * x.w as u32,
            scratch: scratch as u32,
            epsilon: layer.epsilon,
            momentum: layer.momentum,
            unused: [0; 2],
        }
    }

    /// Invocations that take all pixels.
    fn runs(&self) -> usize {
        (self.pixels as usize).div_ceil(RUN) * self.x.c as usize
    }

    /// Invocations that take all slices.
    fn slices(&self) -> usize {
        (self.splits * self.x.c) as usize
    }
}

pub(super) fn forward(r: &mut Recorder<'_>, layer: &BatchNorm2d, step: &PlanStep) {
    let numbers = Step::new(r, layer, step, step.output, step.output);
    let bank = r.slot(step.node).bank;
    let batch_statistics = r.training && !step.frozen;
    if batch_statistics {
        r.dispatch(&STATISTICS, &[], bank, &numbers, numbers.slices());
        r.dispatch(&MERGE, &[], bank, &numbers, numbers.x.c as usize);
    }
    let constants = constants(step.activation, &[("TRAINING", f64::from(batch_statistics))]);
    r.dispatch(&FORWARD, &constants, bank, &numbers, numbers.runs());
}

pub(super) fn backward(r: &mut Recorder<'_>, layer: &BatchNorm2d, step: &PlanStep, back: &BackwardStep) {
    let dx = back.dx[0];
    let numbers = Step::new(r, layer, step, back.dy, dx.map_or(back.dy, |dx| dx.view));
    let bank = r.slot(step.node).bank;
    if step.frozen {
        r.dispatch(&SCALES, &[], bank, &numbers, numbers.x.c as usize);
    } else {
        r.dispatch(&SUMS, &[], bank, &numbers, numbers.slices());
        r.dispatch(&FINISH, &[], bank, &numbers, numbers.x.c as usize);
    }
    if let Some(dx) = dx {
        r.dispatch(&BACKWARD, &[("ACCUMULATE", f64::from(dx.accumulate))], bank, &numbers, numbers.runs());
    }
}
