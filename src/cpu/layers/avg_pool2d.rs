//! Average pooling.

use super::pooling::{AxisWindow, Windows, clear_sample};
use crate::cpu::gemm::weights::Weights;
use crate::cpu::memory::Map;
use crate::cpu::operation::{ExecContext, Operation};
use crate::cpu::simd::{self, Access, Kernel, Part, Simd, Whole};
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

    /// Windows that divide the input into as many as the output has, see [`layers::AdaptiveAvgPool2d`].
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

    fn row<'a>(&'a self, x: &Map, y: &Map, s: usize, oy: usize) -> Row<'a> {
        let (h, w) = (x.view.h, x.view.w);
        let window = self.windows.rows[oy];
        let [down, right] = self.windows.dilation;
        Row {
            x: x.at((s * h + window.first) * w),
            taps: window.taps,
            down: down * w * x.view.pixel_stride,
            columns: &self.windows.columns,
            counts: &self.counts[1],
            count: self.counts[0][oy],
            pixel_stride: x.view.pixel_stride,
            right: right * x.view.pixel_stride,
            y: y.at((s * y.view.h + oy) * y.view.w),
            y_stride: y.view.pixel_stride,
            c: x.view.c,
        }
    }
}

impl Operation for AvgPool2d {
    fn forward(&self, ctx: &ExecContext) {
        let (x, y) = (ctx.map(self.step.inputs[0]), ctx.map(self.step.output));
        self.windows.for_rows(ctx, &y, |s, oy| {
            // SAFETY: the plan keeps input and output apart; each task has its own rows, and windows lie in the input.
            unsafe { simd::dispatch(Each::<true>(self.row(&x, &y, s, oy))) };
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
                rows.for_each(|oy| simd::dispatch(Each::<false>(self.row(&dx, &dy, s, oy))));
            }
        });
    }
}

/// One row of windows.
#[derive(Clone, Copy)]
struct Row<'a> {
    /// The first input row that the windows see.
    x: *mut f32,
    /// Input rows.
    taps: usize,
    /// Floats from one to the next.
    down: usize,
    columns: &'a [AxisWindow],
    counts: &'a [usize],
    /// Rows that count.
    count: usize,
    /// Floats from one input pixel to the next.
    pixel_stride: usize,
    /// Floats from one tap to the next.
    right: usize,
    y: *mut f32,
    y_stride: usize,
    c: usize,
}

/// Forward: the mean of each window goes to y. Backward: y, a gradient, is spread over x.
struct Each<'a, const FORWARD: bool>(Row<'a>);

impl<const FORWARD: bool> Kernel for Each<'_, FORWARD> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        let row = self.0;
        // SAFETY: all windows lie in the input, and the output has as many pixels as there are windows.
        unsafe {
            for (ox, window) in row.columns.iter().enumerate() {
                let weight = s.splat(1.0 / (row.count * row.counts[ox]) as f32);
                let (x, y) = (row.x.add(window.first * row.pixel_stride), row.y.add(ox * row.y_stride));
                let mut c = 0;
                while c + S::LANES <= row.c {
                    one::<_, _, FORWARD>(s, Whole, &row, x.add(c), window.taps, y.add(c), weight);
                    c += S::LANES;
                }
                if c < row.c {
                    one::<_, _, FORWARD>(s, Part(row.c - c), &row, x.add(c), window.taps, y.add(c), weight);
                }
            }
        }
    }
}

/// One window's vectors of channels.
#[inline(always)]
unsafe fn one<S: Simd, A: Access, const FORWARD: bool>(
    s: S,
    a: A,
    row: &Row,
    x: *mut f32,
    taps: usize,
    y: *mut f32,
    weight: S::F32,
) {
    // SAFETY: see Each.
    unsafe {
        let mut sum = s.splat(0.0);
        let spread = if FORWARD { sum } else { s.mul(a.load(s, y), weight) };
        for ky in 0..row.taps {
            for kx in 0..taps {
                let p = x.add(ky * row.down + kx * row.right);
                let v = a.load(s, p);
                if FORWARD {
                    sum = s.add(sum, v);
                } else {
                    a.store(s, p, s.add(v, spread));
                }
            }
        }
        if FORWARD {
            a.store(s, y, s.mul(sum, weight));
        }
    }
}
