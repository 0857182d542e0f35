//! Activations as layers.

use crate::cpu::gemm::weights::Weights;
use crate::cpu::operation::{ExecContext, Operation};
use crate::cpu::simd::activation::{activate, differentiate};
use crate::layers::Activation;
use crate::plan::{BackwardStep, Step};

/// An activation as a step of its own.
pub(crate) struct Elementwise {
    pub step: Step,
    pub activation: Activation,
}

impl Operation for Elementwise {
    fn forward(&self, ctx: &ExecContext) {
        let (x, y) = (ctx.map(self.step.inputs[0]), ctx.map(self.step.output));
        activate(ctx.pool, self.activation, &x, &y);
    }

    fn backward(&self, ctx: &ExecContext, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(write) = step.dx[0] else { return };
        let (y, dy, dx) = (ctx.map(self.step.output), ctx.map(step.dy), ctx.map(write.view));
        differentiate(ctx.pool, self.activation, &y, &dy, &dx, write.accumulate);
    }
}
