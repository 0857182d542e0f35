//! What both poolings share: which inputs each window sees, and how the work is handed out.

use std::ops::Range;

use crate::cpu::memory::{Map, split};
use crate::cpu::operation::ExecContext;
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

    /// Calls `f(sample, output row)` for all rows, in parallel.
    pub(crate) fn for_rows(&self, ctx: &ExecContext, y: &Map, f: impl Fn(usize, usize) + Sync) {
        let (h, w, c) = (y.view.h, y.view.w, y.view.c);
        let taps = self.rows[0].taps * self.columns[0].taps;
        split(ctx.pool, ctx.n * h, w * c * taps, |range| range.for_each(|r| f(r / h, r % h)));
    }

    /// Calls `f(sample, output rows)` for all samples, in parallel: windows of one sample may overlap.
    pub(crate) fn for_samples(&self, ctx: &ExecContext, y: &Map, f: impl Fn(usize, Range<usize>) + Sync) {
        let (h, w, c) = (y.view.h, y.view.w, y.view.c);
        let taps = self.rows[0].taps * self.columns[0].taps;
        split(ctx.pool, ctx.n, h * w * c * taps, |range| range.for_each(|s| f(s, 0..h)));
    }
}

/// Clears the pixels of one sample.
///
/// # Safety
/// Nobody else may use them meanwhile.
pub(crate) unsafe fn clear_sample(map: &Map, s: usize) {
    let pixels = map.view.h * map.view.w;
    // SAFETY: the caller's promise.
    (s * pixels..(s + 1) * pixels).for_each(|p| unsafe { map.row_mut(p).fill(0.0) });
}
