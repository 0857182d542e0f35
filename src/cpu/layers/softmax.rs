//! Softmax over the channels of each pixel.

use crate::cpu::gemm::weights::Weights;
use crate::cpu::operation::{ExecContext, Operation};
use crate::cpu::rows::for_each_row;
use crate::cpu::simd::{self, Lanewise, Simd};
use crate::plan::{BackwardStep, Step};

/// Softmax of the channels of each pixel.
pub(crate) struct Softmax {
    pub step: Step,
}

/// `exp(x - max)`, for the maximum in the field.
struct Shifted(f32);

impl Lanewise<1> for Shifted {
    #[inline(always)]
    fn apply<S: Simd>(&self, s: S, [x]: [S::F32; 1]) -> S::F32 {
        simd::math::exp(s, s.sub(x, s.splat(self.0)))
    }
}

/// Returns the largest number; subtracting it keeps exp from overflowing.
pub(super) fn largest(x: &[f32]) -> f32 {
    x.iter().fold(f32::NEG_INFINITY, |m, &v| if v > m { v } else { m })
}

fn softmax(x: &[f32], y: &mut [f32]) {
    simd::map(&Shifted(largest(x)), [x], y);
    let scale = 1.0 / y.iter().sum::<f32>();
    y.iter_mut().for_each(|v| *v *= scale);
}

impl Operation for Softmax {
    fn forward(&self, ctx: &ExecContext) {
        let (x, mut y) = (ctx.map(self.step.inputs[0]), ctx.map(self.step.output));
        for_each_row(ctx.pool, 8 * x.view.c, [&x], &mut y, |_, [x], y| softmax(x, y));
    }

    fn backward(&self, ctx: &ExecContext, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(write) = step.dx[0] else { return };
        let (y, dy, mut dx) = (ctx.map(self.step.output), ctx.map(step.dy), ctx.map(write.view));
        for_each_row(ctx.pool, 4 * y.view.c, [&y, &dy], &mut dx, |_, [y, dy], dx| {
            let dot: f32 = y.iter().zip(dy).map(|(y, dy)| y * dy).sum();
            for ((dx, y), dy) in dx.iter_mut().zip(y).zip(dy) {
                *dx = if write.accumulate { *dx } else { 0.0 } + y * (dy - dot);
            }
        });
    }
}
