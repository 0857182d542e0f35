//! Logarithm of softmax over the channels of each pixel.

use super::memory::split;
use super::operation::{Frame, Operation};
use super::weights::Weights;
use crate::plan::{BackwardStep, Step};

/// Logarithms of probabilities.
pub(super) struct LogSoftmax {
    pub step: Step,
}

impl Operation for LogSoftmax {
    fn forward(&self, frame: &Frame) {
        let (x, y) = (frame.map(self.step.inputs[0]), frame.map(self.step.output));
        split(frame.pool, x.pixels, 8 * x.view.c, |range| {
            for p in range {
                // SAFETY: the plan keeps input and output apart; each task has its own pixels.
                let (x, y) = unsafe { (x.row(p), y.row_mut(p)) };
                let max = x.iter().fold(f32::NEG_INFINITY, |m, &v| if v > m { v } else { m });
                let log_sum = max + x.iter().map(|v| (v - max).exp()).sum::<f32>().ln();
                y.iter_mut().zip(x).for_each(|(y, x)| *y = x - log_sum);
            }
        });
    }

    fn backward(&self, frame: &Frame, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(write) = step.dx[0] else { return };
        let (y, dy, dx) = (frame.map(self.step.output), frame.map(step.dy), frame.map(write.view));
        split(frame.pool, y.pixels, 8 * y.view.c, |range| {
            for p in range {
                // SAFETY: the plan keeps values and gradients apart; each task has its own pixels.
                let (y, dy, dx) = unsafe { (y.row(p), dy.row(p), dx.row_mut(p)) };
                let sum: f32 = dy.iter().sum();
                for ((dx, y), dy) in dx.iter_mut().zip(y).zip(dy) {
                    *dx = if write.accumulate { *dx } else { 0.0 } + dy - y.exp() * sum;
                }
            }
        });
    }
}
