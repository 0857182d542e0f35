//! Concatenation: copies what the plan could not have written in place.

use crate::cpu::gemm::weights::Weights;
use crate::cpu::operation::{ExecContext, Operation};
use crate::cpu::simd::pointwise::transfer;
use crate::plan::{BackwardStep, Step, View};

/// Inputs stacked along channels.
pub(crate) struct Concat {
    pub step: Step,
}

/// Returns the channels of `whole` that an input of this shape occupies from `channel` on.
fn part(whole: View, channel: usize, input: View) -> View {
    // A vector that still lies as a map is reordered by its flatten, so geometries agree here.
    View { offset: whole.offset + channel, c: input.c, ..whole }
}

impl Operation for Concat {
    fn forward(&self, ctx: &ExecContext) {
        for (&x, &channel) in self.step.inputs.iter().zip(&self.step.channels) {
            let y = ctx.map(part(self.step.output, channel, x));
            transfer(ctx.pool, &ctx.map(x), &y, false);
        }
    }

    fn backward(&self, ctx: &ExecContext, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        for (write, &channel) in step.dx.iter().zip(&self.step.channels) {
            let Some(write) = write else { continue };
            let dy = ctx.map(part(step.dy, channel, write.view));
            transfer(ctx.pool, &dy, &ctx.map(write.view), write.accumulate);
        }
    }
}
