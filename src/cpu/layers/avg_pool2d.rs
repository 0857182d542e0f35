//! Average pooling.

use super::pooling::{AxisWindow, EachWindow, PoolKernel, Taps, Windows, clear_sample};
use crate::cpu::gemm::weights::Weights;
use crate::cpu::operation::{ExecContext, Operation};
use crate::cpu::simd::{self, Access, Simd};
use crate::layers;
use crate::plan::{BackwardStep, Step};

/// Mean over windows.
pub(crate) struct AvgPool2d {
    step: Step,
    windows: Windows,
    /// How many taps count, for each output row and column: the padding's may.
    counts: [Vec<usize>; 2],
}

impl AvgPool2d {
    pub(crate) fn new(layer: &layers::AvgPool2d, step: Step) -> Self {
        let (x, y) = (step.inputs[0], step.output);
        let (input, output) = ([x.h, x.w], [y.h, y.w]);
        let counts = [0, 1].map(|a| (0..output[a]).map(|o| layer.taps(o, a, input)).collect());
        AvgPool2d { windows: Windows::new(&layer.window, input, output), counts, step }
    }

    /// Pools by windows that divide the input by the size of the output, see [`layers::AdaptiveAvgPool2d`].
    pub(crate) fn adaptive(step: Step) -> Self {
        let (x, y) = (step.inputs[0], step.output);
        let windows_of_axis = |output: usize, input: usize| -> Vec<AxisWindow> {
            let range = |o| layers::AdaptiveAvgPool2d::range(o, output, input);
            (0..output).map(|o| AxisWindow { first: range(o).start, taps: range(o).len() }).collect()
        };
        let (rows, columns) = (windows_of_axis(y.h, x.h), windows_of_axis(y.w, x.w));
        let counts = [&rows, &columns].map(|windows_of_axis| windows_of_axis.iter().map(|s| s.taps).collect());
        AvgPool2d { windows: Windows { rows, columns, dilation: [1, 1] }, counts, step }
    }

    /// Returns the weights of the windows of output row `oy`.
    fn weights(&self, oy: usize) -> WindowWeights<'_> {
        WindowWeights { rows: self.counts[0][oy], columns: &self.counts[1] }
    }
}

impl Operation for AvgPool2d {
    fn forward(&self, ctx: &ExecContext) {
        let (x, y) = (ctx.map(self.step.inputs[0]), ctx.map(self.step.output));
        self.windows.for_rows(ctx, &y, |s, oy| {
            let row = self.windows.row(&x, &y, s, oy);
            let pooling = Forward { x: row.x, y: row.y, weights: self.weights(oy) };
            // SAFETY: the plan keeps input and output apart, and each task has its own rows.
            unsafe { simd::dispatch(EachWindow { row, pooling }) };
        });
    }

    fn backward(&self, ctx: &ExecContext, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(write) = step.dx[0] else { return };
        let (dy, dx) = (ctx.map(step.dy), ctx.map(write.view));
        self.windows.for_samples(ctx, &dy, |s, rows| {
            // SAFETY: the plan keeps the gradients of input and output apart; each task has its own samples.
            unsafe {
                if !write.accumulate {
                    clear_sample(&dx, s);
                }
                for oy in rows {
                    let row = self.windows.row(&dx, &dy, s, oy);
                    let pooling = Backward { dx: row.x, dy: row.y, weights: self.weights(oy) };
                    simd::dispatch(EachWindow { row, pooling });
                }
            }
        });
    }
}

/// The number of taps that count in each window of a row: a number of rows times a number of columns.
#[derive(Clone, Copy)]
struct WindowWeights<'a> {
    rows: usize,
    columns: &'a [usize],
}

impl WindowWeights<'_> {
    /// Returns one over the taps of the window of output column `ox`.
    #[inline(always)]
    fn of<S: Simd>(&self, s: S, ox: usize) -> S::F32 {
        s.splat(1.0 / (self.rows * self.columns[ox]) as f32)
    }
}

/// Writes the mean of each window to `y`.
struct Forward<'a> {
    x: *const f32,
    y: *mut f32,
    weights: WindowWeights<'a>,
}

impl PoolKernel for Forward<'_> {
    type Factor<S: Simd> = S::F32;

    #[inline(always)]
    fn factor<S: Simd>(&self, s: S, ox: usize) -> S::F32 {
        self.weights.of(s, ox)
    }

    #[inline(always)]
    unsafe fn pool<S: Simd, A: Access>(&self, s: S, a: A, weight: S::F32, taps: Taps, x: usize, y: usize) {
        // SAFETY: all taps and the output hold the channels that `a` accesses.
        unsafe {
            let (x, mut sum) = (self.x.add(x), s.splat(0.0));
            taps.for_each(|tap| sum = s.add(sum, a.load(s, x.add(tap))));
            a.store(s, self.y.add(y), s.mul(sum, weight));
        }
    }
}

/// Adds the gradient `dy` of each window, times the window's weight, to `dx` at all taps.
struct Backward<'a> {
    dx: *mut f32,
    dy: *const f32,
    weights: WindowWeights<'a>,
}

impl PoolKernel for Backward<'_> {
    type Factor<S: Simd> = S::F32;

    #[inline(always)]
    fn factor<S: Simd>(&self, s: S, ox: usize) -> S::F32 {
        self.weights.of(s, ox)
    }

    #[inline(always)]
    unsafe fn pool<S: Simd, A: Access>(&self, s: S, a: A, weight: S::F32, taps: Taps, x: usize, y: usize) {
        // SAFETY: all taps and the output hold the channels that `a` accesses.
        unsafe {
            let (dx, share) = (self.dx.add(x), s.mul(a.load(s, self.dy.add(y)), weight));
            taps.for_each(|tap| a.store(s, dx.add(tap), s.add(a.load(s, dx.add(tap)), share)));
        }
    }
}
