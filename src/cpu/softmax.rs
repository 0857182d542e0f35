//! Softmax over the channels of each pixel.

use super::memory::split;
use super::operation::{Frame, Operation};
use super::simd::{self, Lanewise, Simd};
use super::weights::Weights;
use crate::plan::{BackwardStep, Step};

/// Probabilities.
pub(super) struct Softmax {
    pub step: Step,
}

/// exp(x - max)
struct Shifted(f32);

impl Lanewise<1> for Shifted {
    #[inline(always)]
    unsafe fn apply<S: Simd>(&self, [x]: [S::V; 1]) -> S::V {
        // SAFETY: arithmetic only; S is available by the caller's promise.
        unsafe { simd::exp::<S>(S::sub(x, S::splat(self.0))) }
    }
}

fn softmax(x: &[f32], y: &mut [f32]) {
    // Subtracting the maximum changes nothing but keeps exp from overflowing.
    let max = x.iter().fold(f32::NEG_INFINITY, |m, &v| if v > m { v } else { m });
    // SAFETY: both have as many floats.
    unsafe { simd::map(&Shifted(max), [x.as_ptr()], y.as_mut_ptr(), x.len().min(y.len())) };
    let scale = 1.0 / y.iter().sum::<f32>();
    y.iter_mut().for_each(|v| *v *= scale);
}

impl Operation for Softmax {
    fn forward(&self, frame: &Frame) {
        let (x, y) = (frame.map(self.step.inputs[0]), frame.map(self.step.output));
        split(frame.pool, x.pixels, 8 * x.view.c, |range| {
            // SAFETY: the plan keeps input and output apart; each task has its own pixels.
            range.for_each(|p| unsafe { softmax(x.row(p), y.row_mut(p)) });
        });
    }

    fn backward(&self, frame: &Frame, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(write) = step.dx[0] else { return };
        let (y, dy, dx) = (frame.map(self.step.output), frame.map(step.dy), frame.map(write.view));
        split(frame.pool, y.pixels, 4 * y.view.c, |range| {
            for p in range {
                // SAFETY: the plan keeps values and gradients apart; each task has its own pixels.
                let (y, dy, dx) = unsafe { (y.row(p), dy.row(p), dx.row_mut(p)) };
                let dot: f32 = y.iter().zip(dy).map(|(y, dy)| y * dy).sum();
                for ((dx, y), dy) in dx.iter_mut().zip(y).zip(dy) {
                    *dx = if write.accumulate { *dx } else { 0.0 } + y * (dy - dot);
                }
            }
        });
    }
}
