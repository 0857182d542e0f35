//! Concatenation: copies what the plan could not have written in place.

use super::elementwise::transfer;
use super::operation::{Frame, Operation};
use super::weights::Weights;
use crate::plan::{BackwardStep, Step, View};

/// Inputs stacked along channels.
pub(super) struct Concat {
    pub step: Step,
}

/// The channels of `whole` that an input of this shape occupies from `channel` on.
fn part(whole: View, channel: usize, input: View) -> View {
    // A vector that still lies as a map is reordered by its flatten, so geometries agree here.
    View { offset: whole.offset + channel, c: input.c, ..whole }
}

impl Operation for Concat {
    fn forward(&self, frame: &Frame) {
        for (&x, &channel) in self.step.inputs.iter().zip(&self.step.channels) {
            let y = frame.map(part(self.step.output, channel, x));
            // SAFETY: the plan keeps inputs and output apart.
            unsafe { transfer(frame.pool, &frame.map(x), &y, false) };
        }
    }

    fn backward(&self, frame: &Frame, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        for (write, &channel) in step.dx.iter().zip(&self.step.channels) {
            let Some(write) = write else { continue };
            let dy = frame.map(part(step.dy, channel, write.view));
            // SAFETY: the plan keeps the gradients of inputs and output apart.
            unsafe { transfer(frame.pool, &dy, &frame.map(write.view), write.accumulate) };
        }
    }
}
