//! Max pooling. The backward pass finds the first maximum of each window again.

use super::pooling::{EachWindow, PoolKernel, Taps, Windows, clear_sample};
use crate::cpu::gemm::weights::Weights;
use crate::cpu::operation::{ExecContext, Operation};
use crate::cpu::simd::{self, Access, Simd};
use crate::layers;
use crate::plan::{BackwardStep, Step};

/// Maximum over windows.
pub(crate) struct MaxPool2d {
    step: Step,
    windows: Windows,
}

impl MaxPool2d {
    pub(crate) fn new(layer: &layers::MaxPool2d, step: Step) -> Self {
        let (x, y) = (step.inputs[0], step.output);
        let windows = Windows::new(&layer.window, [x.h, x.w], [y.h, y.w]);
        MaxPool2d { step, windows }
    }
}

impl Operation for MaxPool2d {
    fn forward(&self, ctx: &ExecContext) {
        let (x, y) = (ctx.map(self.step.inputs[0]), ctx.map(self.step.output));
        self.windows.for_rows(ctx, &y, |s, oy| {
            let row = self.windows.row(&x, &y, s, oy);
            // SAFETY: the plan keeps input and output apart, and each task has its own rows.
            unsafe { simd::dispatch(EachWindow { row, pooling: Forward { x: row.x, y: row.y } }) };
        });
    }

    fn backward(&self, ctx: &ExecContext, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(write) = step.dx[0] else { return };
        let (x, y) = (ctx.map(self.step.inputs[0]), ctx.map(self.step.output));
        let (dy, dx) = (ctx.map(step.dy), ctx.map(write.view));
        self.windows.for_samples(ctx, &y, |s, rows| {
            // SAFETY: the plan keeps values and gradients apart, and gives gradients the strides of their values; each task
            // has its own samples.
            unsafe {
                if !write.accumulate {
                    clear_sample(&dx, s);
                }
                for oy in rows {
                    let row = self.windows.row(&x, &y, s, oy);
                    let gradient = self.windows.row(&dx, &dy, s, oy);
                    let pooling = Backward { x: row.x, y: row.y, dy: gradient.y, dx: gradient.x };
                    simd::dispatch(EachWindow { row, pooling });
                }
            }
        });
    }
}

/// Writes the maximum of each window to `y`. NaN wins.
struct Forward {
    x: *const f32,
    y: *mut f32,
}

impl PoolKernel for Forward {
    type Factor<S: Simd> = ();

    #[inline(always)]
    fn factor<S: Simd>(&self, _s: S, _ox: usize) {}

    #[inline(always)]
    unsafe fn pool<S: Simd, A: Access>(&self, s: S, a: A, _factor: (), taps: Taps, x: usize, y: usize) {
        // SAFETY: all taps and the output hold the channels that `a` accesses.
        unsafe {
            let x = self.x.add(x);
            let mut best = a.load(s, x);
            let mut numbers = s.eq(best, best);
            taps.for_each(|tap| {
                let v = a.load(s, x.add(tap));
                best = s.at_least(best, v);
                numbers = s.both(numbers, s.eq(v, v));
            });
            a.store(s, self.y.add(y), s.select(numbers, best, s.splat(f32::NAN)));
        }
    }
}

/// Adds `dy` to the gradient of the first tap of each window that is its maximum `y`.
struct Backward {
    x: *const f32,
    y: *const f32,
    dy: *const f32,
    dx: *mut f32,
}

impl PoolKernel for Backward {
    type Factor<S: Simd> = ();

    #[inline(always)]
    fn factor<S: Simd>(&self, _s: S, _ox: usize) {}

    #[inline(always)]
    unsafe fn pool<S: Simd, A: Access>(&self, s: S, a: A, _factor: (), taps: Taps, x: usize, y: usize) {
        // SAFETY: all taps and the output hold the channels that `a` accesses, and gradients lie like their values.
        unsafe {
            let (x, dx) = (self.x.add(x), self.dx.add(x));
            let (y, mut left) = (a.load(s, self.y.add(y)), a.load(s, self.dy.add(y)));
            taps.for_each(|tap| {
                let here = s.eq(a.load(s, x.add(tap)), y);
                a.store(s, dx.add(tap), s.add(a.load(s, dx.add(tap)), s.keep(here, left)));
                left = s.select(here, s.splat(0.0), left);
            });
        }
    }
}
