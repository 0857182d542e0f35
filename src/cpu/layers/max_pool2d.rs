//! Max pooling. The backward pass finds the first maximum of each window again.

use super::pooling::{AxisWindow, Windows, clear_sample};
use crate::cpu::gemm::weights::Weights;
use crate::cpu::memory::Map;
use crate::cpu::operation::{ExecContext, Operation};
use crate::cpu::simd::{self, Access, Kernel, Part, Simd, Whole};
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

    fn row<'a>(&'a self, x: &Map, y: &Map, s: usize, oy: usize) -> Row<'a> {
        let (h, w) = (x.view.h, x.view.w);
        let window = self.windows.rows[oy];
        let [down, right] = self.windows.dilation;
        Row {
            x: x.at((s * h + window.first) * w),
            taps: window.taps,
            down: down * w * x.view.pixel_stride,
            columns: &self.windows.columns,
            pixel_stride: x.view.pixel_stride,
            right: right * x.view.pixel_stride,
            y: y.at((s * y.view.h + oy) * y.view.w),
            y_stride: y.view.pixel_stride,
            c: x.view.c,
        }
    }
}

impl Operation for MaxPool2d {
    fn forward(&self, ctx: &ExecContext) {
        let (x, y) = (ctx.map(self.step.inputs[0]), ctx.map(self.step.output));
        // SAFETY: the plan keeps input and output apart; each task has its own rows, and windows lie in the input.
        self.windows.for_rows(ctx, &y, |s, oy| unsafe { simd::dispatch(Forward(self.row(&x, &y, s, oy))) });
    }

    fn backward(&self, ctx: &ExecContext, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(write) = step.dx[0] else { return };
        let (x, y) = (ctx.map(self.step.inputs[0]), ctx.map(self.step.output));
        let (dy, dx) = (ctx.map(step.dy), ctx.map(write.view));
        self.windows.for_samples(ctx, &y, |s, rows| {
            // SAFETY: the plan keeps values and gradients apart; each task has its own samples. Gradients lie as their
            // values do.
            unsafe {
                if !write.accumulate {
                    clear_sample(&dx, s);
                }
                for oy in rows {
                    let row = self.row(&x, &y, s, oy);
                    let (dy, dx) = (self.row(&x, &dy, s, oy).y, self.row(&dx, &y, s, oy).x);
                    simd::dispatch(Backward { row, dy, dx });
                }
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
    /// Floats from one input pixel to the next.
    pixel_stride: usize,
    /// Floats from one tap to the next.
    right: usize,
    y: *mut f32,
    y_stride: usize,
    c: usize,
}

struct Forward<'a>(Row<'a>);

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        let row = self.0;
        // SAFETY: all windows lie in the input, and the output has as many pixels as there are windows.
        unsafe {
            for (ox, window) in row.columns.iter().enumerate() {
                let (x, y) = (row.x.add(window.first * row.pixel_stride), row.y.add(ox * row.y_stride));
                let mut c = 0;
                while c + S::LANES <= row.c {
                    maximum(s, Whole, &row, x.add(c), window.taps, y.add(c));
                    c += S::LANES;
                }
                if c < row.c {
                    maximum(s, Part(row.c - c), &row, x.add(c), window.taps, y.add(c));
                }
            }
        }
    }
}

/// The maximum of one window's vectors of channels. NaN wins.
#[inline(always)]
unsafe fn maximum<S: Simd, A: Access>(s: S, a: A, row: &Row, x: *const f32, taps: usize, y: *mut f32) {
    // SAFETY: see Forward.
    unsafe {
        let mut best = a.load(s, x);
        let mut numbers = s.eq(best, best);
        for ky in 0..row.taps {
            let line = x.add(ky * row.down);
            for kx in 0..taps {
                let v = a.load(s, line.add(kx * row.right));
                best = s.at_least(best, v);
                numbers = s.both(numbers, s.eq(v, v));
            }
        }
        a.store(s, y, s.select(numbers, best, s.splat(f32::NAN)));
    }
}

struct Backward<'a> {
    row: Row<'a>,
    dy: *const f32,
    dx: *mut f32,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        let Backward { row, dy, dx } = self;
        // SAFETY: as for Forward; gradients lie as their values do.
        unsafe {
            for (ox, window) in row.columns.iter().enumerate() {
                let (at, out) = (window.first * row.pixel_stride, ox * row.y_stride);
                let mut c = 0;
                while c + S::LANES <= row.c {
                    let (y, dy) = (s.load(row.y.add(out + c)), s.load(dy.add(out + c)));
                    route(s, Whole, &row, row.x.add(at + c), dx.add(at + c), window.taps, [y, dy]);
                    c += S::LANES;
                }
                if c < row.c {
                    let part = Part(row.c - c);
                    let (y, dy) = (part.load(s, row.y.add(out + c)), part.load(s, dy.add(out + c)));
                    route(s, part, &row, row.x.add(at + c), dx.add(at + c), window.taps, [y, dy]);
                }
            }
        }
    }
}

/// Adds dy to the gradient of the first tap that is the maximum y.
#[inline(always)]
unsafe fn route<S: Simd, A: Access>(
    s: S,
    a: A,
    row: &Row,
    x: *const f32,
    dx: *mut f32,
    taps: usize,
    [y, dy]: [S::F32; 2],
) {
    // SAFETY: see Backward.
    unsafe {
        let mut left = dy;
        for ky in 0..row.taps {
            for kx in 0..taps {
                let at = ky * row.down + kx * row.right;
                let here = s.eq(a.load(s, x.add(at)), y);
                a.store(s, dx.add(at), s.add(a.load(s, dx.add(at)), s.keep(here, left)));
                left = s.select(here, s.splat(0.0), left);
            }
        }
    }
}
