//! Values that change places across channels and pixels.

use super::memory::{Map, split};
use super::operation::{Frame, Operation};
use super::weights::Weights;
use crate::layers;
use crate::plan::{BackwardStep, Step};

/// Axes of a view in another order.
pub(super) struct Permute {
    pub step: Step,
    pub layer: layers::Permute,
}

/// Brings values of `x`, which the plan keeps apart from `y`, to `y`.
fn gather(layer: layers::Permute, frame: &Frame, x: &Map, y: &Map, accumulate: bool) {
    let [from, to] = [x, y].map(|map| map.view.h * map.view.w);
    split(frame.pool, y.pixels, 8 * y.view.c, |range| {
        for p in range {
            // SAFETY: the plan keeps input and output apart; each task has its own pixels.
            let row = unsafe { y.row_mut(p) };
            for (c, y) in row.iter_mut().enumerate() {
                let i = layer.source(c * to + p % to);
                // SAFETY: the same.
                let x = unsafe { x.row(p / to * from + i % from) }[i / from];
                *y = if accumulate { *y + x } else { x };
            }
        }
    });
}

impl Operation for Permute {
    fn forward(&self, frame: &Frame) {
        let (x, y) = (frame.map(self.step.inputs[0]), frame.map(self.step.output));
        gather(self.layer, frame, &x, &y, false);
    }

    fn backward(&self, frame: &Frame, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(write) = step.dx[0] else { return };
        let (dy, dx) = (frame.map(step.dy), frame.map(write.view));
        gather(self.layer.inverse(), frame, &dy, &dx, write.accumulate);
    }
}
