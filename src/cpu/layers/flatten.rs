//! Flatten where its order is seen: from pixels of channels to the order CHW, and back.

use crate::cpu::gemm::weights::Weights;
use crate::cpu::nchw::{from_chw, to_chw};
use crate::cpu::operation::{ExecContext, Operation};
use crate::cpu::rows::for_each_sample;
use crate::plan::{BackwardStep, Step};

/// Flattening of a map to a vector in CHW order.
pub(crate) struct Flatten {
    pub step: Step,
}

impl Operation for Flatten {
    fn forward(&self, ctx: &ExecContext) {
        let (x, mut y) = (ctx.map(self.step.inputs[0]), ctx.map(self.step.output));
        let cost = y.view.c;
        for_each_sample(ctx.pool, ctx.n, cost, [&x], &mut y, |s, [x], y| to_chw(x, s, y.row_mut(s)));
    }

    fn backward(&self, ctx: &ExecContext, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(write) = step.dx[0] else { return };
        let (dy, mut dx) = (ctx.map(step.dy), ctx.map(write.view));
        for_each_sample(ctx.pool, ctx.n, dy.view.c, [&dy], &mut dx, |s, [dy], dx| {
            from_chw(dy.row(s), dx, s, write.accumulate);
        });
    }
}
