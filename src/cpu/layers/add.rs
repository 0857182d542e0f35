//! Sum of inputs, then the fused activation; every input's gradient is the output's.

use crate::cpu::gemm::weights::Weights;
use crate::cpu::operation::{ExecContext, Operation};
use crate::cpu::simd::activation::activate;
use crate::cpu::simd::map::Sum;
use crate::cpu::simd::pointwise::{on_maps, transfer};
use crate::plan::{BackwardStep, Step};

/// Sum of two or more inputs.
pub(crate) struct Add {
    pub step: Step,
}

impl Operation for Add {
    fn forward(&self, ctx: &ExecContext) {
        let y = ctx.map(self.step.output);
        let input = |i: usize| ctx.map(self.step.inputs[i]);
        on_maps(ctx.pool, &Sum, [&input(0), &input(1)], &y);
        for i in 2..self.step.inputs.len() {
            transfer(ctx.pool, &input(i), &y, true);
        }
        if let Some(activation) = self.step.activation {
            activate(ctx.pool, activation, &y, &y);
        }
    }

    fn backward(&self, ctx: &ExecContext, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let dy = ctx.map(step.dy);
        for write in step.dx.iter().flatten() {
            transfer(ctx.pool, &dy, &ctx.map(write.view), write.accumulate);
        }
    }
}
