//! Dropout while training. The mask is drawn again for the backward pass instead of being kept.

use super::memory::{Map, split};
use super::operation::{Frame, Operation};
use super::weights::Weights;
use crate::layers::{self, Mode};
use crate::plan::{BackwardStep, Step};
use crate::rng;

/// Random zeros.
pub(super) struct Dropout {
    pub step: Step,
    pub layer: layers::Dropout,
}

impl Dropout {
    /// `to = mask * from`, plus what was there when `accumulate`.
    ///
    /// # Safety
    /// The maps may not overlap; nobody else may use `to` meanwhile.
    unsafe fn mask(&self, frame: &Frame, from: &Map, to: &Map, accumulate: bool) {
        let Mode::Training { seed, stream } = frame.mode.of(self.step.node) else {
            // SAFETY: the caller's promise.
            return unsafe { super::elementwise::transfer(frame.pool, from, to, accumulate) };
        };
        let (threshold, scale) = (self.layer.threshold(), self.layer.scale());
        let (c, pixels) = (from.view.c, from.view.h * from.view.w);
        split(frame.pool, from.pixels, c, |range| {
            for p in range {
                // The counter is the position in NCHW, on every backend.
                let first = p / pixels * c * pixels + p % pixels;
                // SAFETY: the caller's promise; each task has its own pixels.
                let (from, to) = unsafe { (from.row(p), to.row_mut(p)) };
                for (k, (x, y)) in from.iter().zip(to).enumerate() {
                    let keep = rng::word(seed, stream, (first + k * pixels) as u32) >= threshold;
                    *y = if accumulate { *y } else { 0.0 } + if keep { x * scale } else { 0.0 };
                }
            }
        });
    }
}

impl Operation for Dropout {
    fn forward(&self, frame: &Frame) {
        // SAFETY: the plan keeps input and output apart.
        unsafe { self.mask(frame, &frame.map(self.step.inputs[0]), &frame.map(self.step.output), false) };
    }

    fn backward(&self, frame: &Frame, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(write) = step.dx[0] else { return };
        // SAFETY: the plan keeps the gradients of input and output apart.
        unsafe { self.mask(frame, &frame.map(step.dy), &frame.map(write.view), write.accumulate) };
    }
}
