//! Flatten where its order is seen: from pixels of channels to the order CHW, and back.

use crate::cpu::gemm::weights::Weights;
use crate::cpu::memory::split;
use crate::cpu::nchw::{from_chw, to_chw};
use crate::cpu::operation::{Frame, Operation};
use crate::plan::{BackwardStep, Step};

/// Map to vector.
pub(crate) struct Flatten {
    pub step: Step,
}

impl Operation for Flatten {
    fn forward(&self, frame: &Frame) {
        let (x, y) = (frame.map(self.step.inputs[0]), frame.map(self.step.output));
        // SAFETY: the plan keeps input and output apart; each task has its own samples.
        split(frame.pool, frame.n, y.view.c, |r| r.for_each(|s| unsafe { to_chw(&x, s, y.row_mut(s)) }));
    }

    fn backward(&self, frame: &Frame, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(write) = step.dx[0] else { return };
        let (dy, dx) = (frame.map(step.dy), frame.map(write.view));
        split(frame.pool, frame.n, dy.view.c, |r| {
            // SAFETY: the plan keeps the gradients of input and output apart; each task has its own samples.
            r.for_each(|s| unsafe { from_chw(dy.row(s), &dx, s, write.accumulate) });
        });
    }
}
