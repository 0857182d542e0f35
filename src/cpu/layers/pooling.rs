//! The windows of max and average pooling: their inputs, the loop over them, and the division of the work.

use std::ops::Range;

use crate::cpu::memory::{Map, split};
use crate::cpu::operation::ExecContext;
use crate::cpu::simd::{Access, Kernel, Part, Simd, Whole};
use crate::layers::Window;

/// A pooling window along one axis, cut to the input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AxisWindow {
    /// Index of the first input in the window.
    pub first: usize,
    /// Number of inputs in the window, a dilation apart.
    pub taps: usize,
}

/// All windows of a pooling.
pub(crate) struct Windows {
    pub rows: Vec<AxisWindow>,
    pub columns: Vec<AxisWindow>,
    pub dilation: [usize; 2],
}

impl Windows {
    pub(crate) fn new(window: &Window, input: [usize; 2], output: [usize; 2]) -> Self {
        let pads = window.pads(input);
        let windows_of_axis = |a: usize| {
            let window = |o: usize| {
                let at = |k: usize| (o * window.stride[a] + k * window.dilation[a]).wrapping_sub(pads[a]);
                let mut inside = (0..window.kernel[a]).map(at).filter(|&i| i < input[a]);
                let first = inside.next().unwrap_or(0);
                AxisWindow { first, taps: 1 + inside.count() }
            };
            (0..output[a]).map(window).collect()
        };
        Windows { rows: windows_of_axis(0), columns: windows_of_axis(1), dilation: window.dilation }
    }

    /// Returns the windows of output row `oy` of sample `s`, over the maps `x` and `y`.
    pub(crate) fn row(&self, x: &Map, y: &Map, s: usize, oy: usize) -> WindowRow<'_> {
        let (rows, [down, right]) = (self.rows[oy], self.dilation);
        WindowRow {
            x: x.at((s * x.view.h + rows.first) * x.view.w),
            y: y.at((s * y.view.h + oy) * y.view.w),
            columns: &self.columns,
            taps: rows.taps,
            steps: [down * x.view.w * x.view.pixel_stride, right * x.view.pixel_stride],
            pixel_strides: [x.view.pixel_stride, y.view.pixel_stride],
            channels: x.view.c,
        }
    }

    /// Calls `f(sample, output row)` for all rows, in parallel.
    pub(crate) fn for_rows(&self, ctx: &ExecContext, y: &Map, f: impl Fn(usize, usize) + Sync) {
        let (h, w, c) = (y.view.h, y.view.w, y.view.c);
        let taps = self.rows[0].taps * self.columns[0].taps;
        split(ctx.pool, ctx.n * h, w * c * taps, |range| range.for_each(|r| f(r / h, r % h)));
    }

    /// Calls `f(sample, output rows)` for all samples, in parallel. One task has all rows of a sample, whose windows may
    /// overlap.
    pub(crate) fn for_samples(&self, ctx: &ExecContext, y: &Map, f: impl Fn(usize, Range<usize>) + Sync) {
        let (h, w, c) = (y.view.h, y.view.w, y.view.c);
        let taps = self.rows[0].taps * self.columns[0].taps;
        split(ctx.pool, ctx.n, h * w * c * taps, |range| range.for_each(|s| f(s, 0..h)));
    }
}

/// The windows of one output row.
#[derive(Clone, Copy)]
pub(crate) struct WindowRow<'a> {
    /// The first pixel of the uppermost input row of the windows.
    pub x: *mut f32,
    /// The first pixel of the output row.
    pub y: *mut f32,
    columns: &'a [AxisWindow],
    /// Input rows of each window.
    taps: usize,
    /// Floats from one tap to the next, down and to the right.
    steps: [usize; 2],
    /// Floats from one input pixel to the next, and from one output pixel to the next.
    pixel_strides: [usize; 2],
    channels: usize,
}

/// The taps of one window.
#[derive(Clone, Copy)]
pub(crate) struct Taps {
    count: [usize; 2],
    steps: [usize; 2],
}

impl Taps {
    /// Calls `f` with the floats from the first tap to each tap, row by row.
    #[inline(always)]
    pub(crate) fn for_each(self, mut f: impl FnMut(usize)) {
        for ky in 0..self.count[0] {
            for kx in 0..self.count[1] {
                f(ky * self.steps[0] + kx * self.steps[1]);
            }
        }
    }
}

/// A direction of one kind of pooling: its work on a vector of channels of one window.
pub(crate) trait PoolKernel {
    /// A number of each window that its vectors share.
    type Factor<S: Simd>: Copy;

    /// Returns the factor of the window of output column `ox`.
    fn factor<S: Simd>(&self, s: S, ox: usize) -> Self::Factor<S>;

    /// Pools some channels. `x` and `y` are the floats from the first pixel of the row to the channels of the first tap,
    /// and of the output.
    ///
    /// # Safety
    /// All taps, and the output, must hold the channels that `a` accesses, and no other task may use what is written.
    unsafe fn pool<S: Simd, A: Access>(&self, s: S, a: A, factor: Self::Factor<S>, taps: Taps, x: usize, y: usize);
}

/// Kernel that calls a [`PoolKernel`] for each vector of channels of each window of a row.
pub(crate) struct EachWindow<'a, P> {
    pub row: WindowRow<'a>,
    pub pooling: P,
}

impl<P: PoolKernel> Kernel for EachWindow<'_, P> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        let EachWindow { row, pooling } = self;
        let whole = row.channels / S::LANES * S::LANES;
        for (ox, window) in row.columns.iter().enumerate() {
            let (x, y) = (window.first * row.pixel_strides[0], ox * row.pixel_strides[1]);
            let taps = Taps { count: [row.taps, window.taps], steps: row.steps };
            let factor = pooling.factor(s, ox);
            // SAFETY: windows are cut to the input, the output row has a pixel for each of them, and `Whole` and `Part`
            // end with the last channel.
            unsafe {
                for c in (0..whole).step_by(S::LANES) {
                    pooling.pool(s, Whole, factor, taps, x + c, y + c);
                }
                if whole < row.channels {
                    pooling.pool(s, Part(row.channels - whole), factor, taps, x + whole, y + whole);
                }
            }
        }
    }
}

/// Clears the pixels of one sample.
///
/// # Safety
/// No other task may use the sample meanwhile.
pub(crate) unsafe fn clear_sample(map: &Map, s: usize) {
    let pixels = map.view.h * map.view.w;
    // SAFETY: the pixels are of the sample, which this task alone uses.
    (s * pixels..(s + 1) * pixels).for_each(|p| unsafe { map.row_mut(p).fill(0.0) });
}
