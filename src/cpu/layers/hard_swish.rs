//! Hard swish.

use crate::cpu::gemm::weights::Weights;
use crate::cpu::operation::{ExecContext, Operation};
use crate::cpu::simd::pointwise::{on_maps, write};
use crate::cpu::simd::{Lanewise, Simd};
use crate::plan::{BackwardStep, Step};

/// x times its hard sigmoid.
pub(crate) struct HardSwish {
    pub step: Step,
}

/// min(max(x / 6 + 1/2, 0), 1)
#[inline(always)]
fn gate<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let line = s.fma(x, s.splat(1.0 / 6.0), s.splat(0.5));
    s.at_most(s.at_least(line, s.splat(0.0)), s.splat(1.0))
}

struct Forward;

impl Lanewise<1> for Forward {
    #[inline(always)]
    fn apply<S: Simd>(&self, s: S, [x]: [S::F32; 1]) -> S::F32 {
        s.mul(x, gate(s, x))
    }
}

/// dy times the gate, plus x / 6 where the gate is neither shut nor open.
struct Backward;

impl Lanewise<2> for Backward {
    #[inline(always)]
    fn apply<S: Simd>(&self, s: S, [x, dy]: [S::F32; 2]) -> S::F32 {
        let inside = s.both(s.gt(x, s.splat(-3.0)), s.gt(s.splat(3.0), x));
        let slope = s.keep(inside, s.mul(x, s.splat(1.0 / 6.0)));
        s.mul(dy, s.add(gate(s, x), slope))
    }
}

impl Operation for HardSwish {
    fn forward(&self, ctx: &ExecContext) {
        let (x, y) = (ctx.map(self.step.inputs[0]), ctx.map(self.step.output));
        on_maps(ctx.pool, &Forward, [&x], &y);
    }

    fn backward(&self, ctx: &ExecContext, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(to) = step.dx[0] else { return };
        let (x, dy, dx) = (ctx.map(self.step.inputs[0]), ctx.map(step.dy), ctx.map(to.view));
        write(ctx.pool, Backward, [&x, &dy], &dx, to.accumulate);
    }
}
