//! Dropout while training. The mask is drawn again for the backward pass instead of being kept.

use crate::cpu::gemm::weights::Weights;
use crate::cpu::memory::Map;
use crate::cpu::operation::{ExecContext, Operation};
use crate::cpu::rows::for_each_row;
use crate::cpu::simd::pointwise::transfer;
use crate::layers::{self, Mode};
use crate::plan::{BackwardStep, Step};
use crate::rng;

/// Dropout: sets random values to zero in training.
pub(crate) struct Dropout {
    pub step: Step,
    pub layer: layers::Dropout,
}

impl Dropout {
    /// Computes `to = mask * from`, or `to += mask * from` when `accumulate`.
    fn mask(&self, ctx: &ExecContext, from: &Map, to: &mut Map, accumulate: bool) {
        let Mode::Training { seed, stream } = ctx.mode.of(self.step.node) else {
            return transfer(ctx.pool, from, to, accumulate);
        };
        let (threshold, scale) = (self.layer.threshold(), self.layer.scale());
        let (c, pixels) = (from.view.c, from.view.h * from.view.w);
        for_each_row(ctx.pool, c, [from], to, |p, [from], to| {
            // The counter is the position in NCHW, on every backend.
            let first = p / pixels * c * pixels + p % pixels;
            for (k, (x, y)) in from.iter().zip(to).enumerate() {
                let keep = rng::word(seed, stream, (first + k * pixels) as u32) >= threshold;
                *y = if accumulate { *y } else { 0.0 } + if keep { x * scale } else { 0.0 };
            }
        });
    }
}

impl Operation for Dropout {
    fn forward(&self, ctx: &ExecContext) {
        self.mask(ctx, &ctx.map(self.step.inputs[0]), &mut ctx.map(self.step.output), false);
    }

    fn backward(&self, ctx: &ExecContext, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(write) = step.dx[0] else { return };
        self.mask(ctx, &ctx.map(step.dy), &mut ctx.map(write.view), write.accumulate);
    }
}
