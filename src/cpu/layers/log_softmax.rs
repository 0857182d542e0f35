//! Logarithm of softmax over the channels of each pixel.

use super::softmax::largest;
use crate::cpu::gemm::weights::Weights;
use crate::cpu::operation::{ExecContext, Operation};
use crate::cpu::rows::for_each_row;
use crate::plan::{BackwardStep, Step};

/// Logarithm of softmax of the channels of each pixel.
pub(crate) struct LogSoftmax {
    pub step: Step,
}

impl Operation for LogSoftmax {
    fn forward(&self, ctx: &ExecContext) {
        let (x, mut y) = (ctx.map(self.step.inputs[0]), ctx.map(self.step.output));
        for_each_row(ctx.pool, 8 * x.view.c, [&x], &mut y, |_, [x], y| {
            let max = largest(x);
            let log_sum = max + x.iter().map(|v| (v - max).exp()).sum::<f32>().ln();
            y.iter_mut().zip(x).for_each(|(y, x)| *y = x - log_sum);
        });
    }

    fn backward(&self, ctx: &ExecContext, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(write) = step.dx[0] else { return };
        let (y, dy, mut dx) = (ctx.map(self.step.output), ctx.map(step.dy), ctx.map(write.view));
        for_each_row(ctx.pool, 8 * y.view.c, [&y, &dy], &mut dx, |_, [y, dy], dx| {
            let sum: f32 = dy.iter().sum();
            for ((dx, y), dy) in dx.iter_mut().zip(y).zip(dy) {
                *dx = if write.accumulate { *dx } else { 0.0 } + dy - y.exp() * sum;
            }
        });
    }
}
