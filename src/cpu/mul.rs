//! Product of two inputs; the second may be a map of one pixel.

use super::memory::{Map, split};
use super::operation::{Frame, Operation};
use super::weights::Weights;
use crate::plan::{BackwardStep, Step};

/// Product of two inputs.
pub(super) struct Mul {
    pub step: Step,
}

/// Pixels of one sample.
fn area(map: &Map) -> usize {
    map.view.h * map.view.w
}

impl Mul {
    /// Calls `f(pixel of the first input, pixel of the second)` for all pixels, in parallel by samples: a gradient of
    /// the second may sum over a sample's pixels.
    fn for_pixels(frame: &Frame, a: &Map, b: &Map, f: impl Fn(usize, usize) + Sync) {
        let (pixels, spread) = (area(a), area(a) / area(b));
        split(frame.pool, frame.n, pixels * a.view.c, |samples| {
            samples.for_each(|s| (s * pixels..(s + 1) * pixels).for_each(|p| f(p, p / spread)));
        });
    }
}

impl Operation for Mul {
    fn forward(&self, frame: &Frame) {
        let (a, b, y) = (frame.map(self.step.inputs[0]), frame.map(self.step.inputs[1]), frame.map(self.step.output));
        Self::for_pixels(frame, &a, &b, |p, q| {
            // SAFETY: the plan keeps inputs and output apart; each task has its own samples.
            let (a, b, y) = unsafe { (a.row(p), b.row(q), y.row_mut(p)) };
            y.iter_mut().zip(a).zip(b).for_each(|((y, a), b)| *y = a * b);
        });
    }

    fn backward(&self, frame: &Frame, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let (a, b) = (frame.map(self.step.inputs[0]), frame.map(self.step.inputs[1]));
        let dy = frame.map(step.dy);
        for (i, write) in step.dx.iter().enumerate() {
            let Some(write) = write else { continue };
            let to = frame.map(write.view);
            if !write.accumulate {
                split(frame.pool, to.pixels, to.view.c, |range| {
                    // SAFETY: nobody else uses the gradient now; each task has its own pixels.
                    range.for_each(|p| unsafe { to.row_mut(p).fill(0.0) });
                });
            }
            Self::for_pixels(frame, &a, &b, |p, q| {
                let (other, at) = if i == 0 { (&b, p) } else { (&a, q) };
                // SAFETY: the plan keeps values and gradients apart; each task has its own samples.
                let (dy, other, to) = unsafe { (dy.row(p), other.row(if i == 0 { q } else { p }), to.row_mut(at)) };
                to.iter_mut().zip(dy).zip(other).for_each(|((to, dy), v)| *to += dy * v);
            });
        }
    }
}
