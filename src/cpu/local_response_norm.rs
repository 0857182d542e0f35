//! Local response normalisation across the channels of each pixel.

use super::memory::split;
use super::operation::{Frame, Operation};
use super::weights::Weights;
use crate::layers;
use crate::plan::{BackwardStep, Step};

/// Each value divided by a power of its neighbours' squares.
pub(super) struct LocalResponseNorm {
    pub step: Step,
    pub layer: layers::LocalResponseNorm,
}

impl LocalResponseNorm {
    /// `k + alpha / size * sum of squares` around channel c.
    fn base(&self, x: &[f32], c: usize) -> f32 {
        let squares: f32 = x[self.layer.neighbours(c, x.len())].iter().map(|v| v * v).sum();
        self.layer.k + self.layer.alpha / self.layer.size as f32 * squares
    }
}

impl Operation for LocalResponseNorm {
    fn forward(&self, frame: &Frame) {
        let (x, y) = (frame.map(self.step.inputs[0]), frame.map(self.step.output));
        split(frame.pool, x.pixels, 16 * x.place.c, |range| {
            for p in range {
                // SAFETY: the plan keeps input and output apart; each task has its own pixels.
                let (x, y) = unsafe { (x.row(p), y.row_mut(p)) };
                for (c, y) in y.iter_mut().enumerate() {
                    *y = x[c] * self.base(x, c).powf(-self.layer.beta);
                }
            }
        });
    }

    fn backward(&self, frame: &Frame, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(write) = step.dx[0] else { return };
        let (x, dy, dx) = (frame.map(self.step.inputs[0]), frame.map(step.dy), frame.map(write.place));
        let beta = self.layer.beta;
        let scale = 2.0 * self.layer.alpha / self.layer.size as f32 * beta;
        split(frame.pool, x.pixels, 32 * x.place.c, |range| {
            for p in range {
                // SAFETY: the plan keeps values and gradients apart; each task has its own pixels.
                let (x, dy, dx) = unsafe { (x.row(p), dy.row(p), dx.row_mut(p)) };
                if !write.accumulate {
                    dx.fill(0.0);
                }
                for c in 0..x.len() {
                    let base = self.base(x, c);
                    let power = base.powf(-beta);
                    dx[c] += dy[c] * power;
                    let shared = dy[c] * scale * x[c] * power / base;
                    self.layer.neighbours(c, x.len()).for_each(|j| dx[j] -= shared * x[j]);
                }
            }
        });
    }
}
