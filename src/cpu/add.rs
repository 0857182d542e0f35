//! Sum of inputs, then the fused activation; every input's gradient is the output's.

use super::elementwise::{Sum, activate, on_maps, transfer};
use super::operation::{Frame, Operation};
use super::weights::Weights;
use crate::plan::{BackwardStep, Step};

/// Sum of two or more inputs.
pub(super) struct Add {
    pub step: Step,
}

impl Operation for Add {
    fn forward(&self, frame: &Frame) {
        let y = frame.map(self.step.output);
        let input = |i: usize| frame.map(self.step.inputs[i]);
        // SAFETY: the plan keeps inputs and output apart, but for a first input that is the output.
        unsafe {
            on_maps(frame.pool, &Sum, [&input(0), &input(1)], &y);
            for i in 2..self.step.inputs.len() {
                transfer(frame.pool, &input(i), &y, true);
            }
            if let Some(activation) = self.step.activation {
                activate(frame.pool, activation, &y, &y);
            }
        }
    }

    fn backward(&self, frame: &Frame, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let dy = frame.map(step.dy);
        for write in step.dx.iter().flatten() {
            // SAFETY: the plan keeps the gradients of input and output apart.
            unsafe { transfer(frame.pool, &dy, &frame.map(write.view), write.accumulate) };
        }
    }
}
