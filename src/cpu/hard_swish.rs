//! Hard swish.

use super::elementwise::{on_maps, write};
use super::operation::{Frame, Operation};
use super::simd::{Lanewise, Simd};
use super::weights::Weights;
use crate::plan::{BackwardStep, Step};

/// x times its hard sigmoid.
pub(super) struct HardSwish {
    pub step: Step,
}

/// min(max(x / 6 + 1/2, 0), 1)
#[inline(always)]
unsafe fn gate<S: Simd>(x: S::V) -> S::V {
    // SAFETY: arithmetic only; S is available by the caller's promise.
    unsafe {
        let line = S::fma(x, S::splat(1.0 / 6.0), S::splat(0.5));
        S::at_most(S::at_least(line, S::splat(0.0)), S::splat(1.0))
    }
}

struct Forward;

impl Lanewise<1> for Forward {
    #[inline(always)]
    unsafe fn apply<S: Simd>(&self, [x]: [S::V; 1]) -> S::V {
        // SAFETY: arithmetic only; S is available by the caller's promise.
        unsafe { S::mul(x, gate::<S>(x)) }
    }
}

/// dy times the gate, plus x / 6 where the gate is neither shut nor open.
struct Backward;

impl Lanewise<2> for Backward {
    #[inline(always)]
    unsafe fn apply<S: Simd>(&self, [x, dy]: [S::V; 2]) -> S::V {
        // SAFETY: arithmetic only; S is available by the caller's promise.
        unsafe {
            let inside = S::and(S::gt(x, S::splat(-3.0)), S::gt(S::splat(3.0), x));
            let slope = S::and(inside, S::mul(x, S::splat(1.0 / 6.0)));
            S::mul(dy, S::add(gate::<S>(x), slope))
        }
    }
}

impl Operation for HardSwish {
    fn forward(&self, frame: &Frame) {
        let (x, y) = (frame.map(self.step.inputs[0]), frame.map(self.step.output));
        // SAFETY: the plan keeps input and output apart.
        unsafe { on_maps(frame.pool, &Forward, [&x], &y) };
    }

    fn backward(&self, frame: &Frame, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(to) = step.dx[0] else { return };
        let (x, dy, dx) = (frame.map(self.step.inputs[0]), frame.map(step.dy), frame.map(to.view));
        // SAFETY: the plan keeps values and gradients apart.
        unsafe { write(frame.pool, Backward, [&x, &dy], &dx, to.accumulate) };
    }
}
