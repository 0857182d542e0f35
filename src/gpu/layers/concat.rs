//! What of a concatenation is not written in place; copies and zeros for others too.

use crate::gpu::copy::copy;
use crate::gpu::recorder::Recorder;
use crate::plan::{BackwardStep, Step as PlanStep, View};

/// The channels of `whole` from `channel` on that belong to `part`.
fn slice(whole: View, channel: usize, part: View) -> View {
    View { offset: whole.offset + channel, c: part.c, ..whole }
}

pub(crate) fn forward(r: &mut Recorder<'_>, step: &PlanStep) {
    for (input, channel) in step.inputs.iter().zip(&step.channels) {
        copy(r, *input, slice(step.output, *channel, *input), false);
    }
}

pub(crate) fn backward(r: &mut Recorder<'_>, step: &PlanStep, back: &BackwardStep) {
    for ((dx, channel), input) in back.dx.iter().zip(&step.channels).zip(&step.inputs) {
        if let Some(dx) = dx {
            copy(r, slice(back.dy, *channel, *input), dx.view, dx.accumulate);
        }
    }
}
