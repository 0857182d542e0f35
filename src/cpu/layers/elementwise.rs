//! Activations as layers.

use crate::cpu::gemm::weights::Weights;
use crate::cpu::operation::{Frame, Operation};
use crate::cpu::simd::activation::{activate, differentiate};
use crate::layers::Activation;
use crate::plan::{BackwardStep, Step};

/// An activation as a step of its own.
pub(crate) struct Elementwise {
    pub step: Step,
    pub activation: Activation,
}

impl Operation for Elementwise {
    fn forward(&self, frame: &Frame) {
        let (x, y) = (frame.map(self.step.inputs[0]), frame.map(self.step.output));
        activate(frame.pool, self.activation, &x, &y);
    }

    fn backward(&self, frame: &Frame, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(write) = step.dx[0] else { return };
        let (y, dy, dx) = (frame.map(self.step.output), frame.map(step.dy), frame.map(write.view));
        differentiate(frame.pool, self.activation, &y, &dy, &dx, write.accumulate);
    }
}
