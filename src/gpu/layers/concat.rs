//! Copies the branches of a concatenation that are not written in place.

use crate::gpu::copy::{copy, copy_grad};
use crate::gpu::operation::GpuOperation;
use crate::gpu::recorder::Recorder;
use crate::plan::{BackwardStep, Step, View};

pub(in crate::gpu) struct Concat {
    pub step: Step,
}

/// The channels of `whole` from `channel` on that hold `part`.
fn slice(whole: View, channel: usize, part: View) -> View {
    View { offset: whole.offset + channel, c: part.c, ..whole }
}

impl GpuOperation for Concat {
    fn forward(&self, r: &mut Recorder<'_>) {
        for (input, channel) in self.step.inputs.iter().zip(&self.step.channels) {
            copy(r, *input, slice(self.step.output, *channel, *input));
        }
    }

    fn backward(&self, r: &mut Recorder<'_>, back: &BackwardStep) {
        for ((dx, channel), input) in back.dx.iter().zip(&self.step.channels).zip(&self.step.inputs) {
            if let Some(dx) = dx {
                copy_grad(r, slice(back.dy, *channel, *input), *dx);
            }
        }
    }
}
