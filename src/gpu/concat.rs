//! What of a concatenation is not written in place; copies and zeros for others too.

use super::elementwise::Step;
use super::kernel::kernels;
use super::program::Recorder;
use crate::plan::{BackwardStep, Step as PlanStep, View};

kernels!("copy", ["elementwise_prelude.wgsl", "copy.wgsl"], COPY = "copy", CLEAR = "clear");

/// Copies `from` to `to`, or adds it.
pub(super) fn copy(r: &mut Recorder<'_>, from: View, to: View, accumulate: bool) {
    let numbers = Step::new(r, from, from, to);
    r.dispatch(&COPY, &[("ACCUMULATE", f64::from(accumulate))], 0, &numbers, numbers.elements as usize);
}

/// Fills `place` with zeros.
pub(super) fn clear(r: &mut Recorder<'_>, view: View) {
    let numbers = Step::new(r, view, view, view);
    r.dispatch(&CLEAR, &[], 0, &numbers, numbers.elements as usize);
}

/// The channels of `whole` from `channel` on that belong to `part`.
fn slice(whole: View, channel: usize, part: View) -> View {
    View { offset: whole.offset + channel, c: part.c, ..whole }
}

pub(super) fn forward(r: &mut Recorder<'_>, step: &PlanStep) {
    for (input, channel) in step.inputs.iter().zip(&step.channels) {
        copy(r, *input, slice(step.output, *channel, *input), false);
    }
}

pub(super) fn backward(r: &mut Recorder<'_>, step: &PlanStep, back: &BackwardStep) {
    for ((dx, channel), input) in back.dx.iter().zip(&step.channels).zip(&step.inputs) {
        if let Some(dx) = dx {
            copy(r, slice(back.dy, *channel, *input), dx.view, dx.accumulate);
        }
    }
}
