//! Convolution as matrix multiplication. The matrix of windows is never built: [`Im2col`] has the offsets of its rows.

use super::geometry::Geometry;
use super::im2col::{Im2col, aligned};
use crate::cpu::config::OpConfig;
use crate::cpu::gemm::dequant;
use crate::cpu::gemm::driver::{Microkernel, Operands, Span};
use crate::cpu::gemm::epilogue::{Addend, Bounds, Start};
use crate::cpu::gemm::f32::Gemm;
use crate::cpu::gemm::gradient::{Gradient, column_sums};
use crate::cpu::gemm::layout::Layout;
use crate::cpu::gemm::panels::Panels;
use crate::cpu::gemm::repack::{pack_rows, transpose};
use crate::cpu::gemm::weights::Weights;
use crate::cpu::memory::{FloatPtr, Map, split};
use crate::cpu::operation::{ExecContext, Operation};
use crate::cpu::simd;
use crate::cpu::simd::map::Sum;
use crate::plan::{BackwardStep, GradWrite, Step, View};

/// Pixels whose columns are computed at once before they are added to the gradient.
const COLUMN_ROWS: usize = 96;

/// How the gradient of the input is computed.
enum InputGradient {
    /// Each window has its own input: the columns are the gradient.
    Direct,
    /// The columns of each window are computed and added to where the window lies.
    Columns,
    /// Stride 1: a convolution of the output's gradient with the flipped kernel.
    Flipped(Box<Im2col>),
}

/// Anything with weights: a convolution, or a linear layer as the convolution whose kernel is the whole map.
pub(crate) struct Convolution {
    step: Step,
    layout: Layout,
    im2col: Im2col,
    threads: usize,
    /// `None` for inference.
    backward: Option<Backward>,
}

/// State of the backward pass.
struct Backward {
    /// Offset of each pixel of dy.
    dy_rows: Vec<u32>,
    input_gradient: InputGradient,
}

impl Convolution {
    pub(crate) fn new(geometry: Geometry, layout: Layout, step: Step, config: &OpConfig) -> Self {
        let (x, y, n) = (step.inputs[0], step.output, config.n);
        let im2col = Im2col::new(geometry, x, n, [y.h, y.w]);
        let backward = config.training.then(|| Backward {
            dy_rows: (0..y.pixels(n)).map(|p| (p * y.pixel_stride) as u32).collect(),
            input_gradient: input_gradient(&geometry, &im2col, &layout, x, y, n),
        });
        Convolution { step, layout, im2col, threads: config.pool.threads(), backward }
    }

    fn for_backward(&self) -> &Backward {
        self.backward.as_ref().expect("plans with a backward half are for training")
    }

    /// The panels of one group's dy, packed with a row for each pixel.
    fn dy_panels(&self) -> Panels {
        Panels::new(self.for_backward().dy_rows.len(), self.layout.panels.n)
    }

    /// The parts in which the weights are transposed: a flipped kernel's taps, else all rows at once.
    fn flipped_taps(&self) -> usize {
        match self.for_backward().input_gradient {
            InputGradient::Flipped(_) => self.layout.taps,
            _ => 1,
        }
    }

    /// The panels of one group's transposed weights.
    fn transposed(&self) -> Panels {
        let (taps, Panels { k, n, .. }) = (self.flipped_taps(), self.layout.panels);
        Panels::new(taps * n, k / taps)
    }

    fn parameter_gradients(&self, ctx: &ExecContext, dy: &Map, gradients: &mut Weights) {
        let x = ctx.map(self.step.inputs[0]);
        // SAFETY: the scratch memory holds the padded map, then one group's packed dy; see `scratch`.
        unsafe {
            let left = self.im2col.pad_input(ctx.pool, &x, ctx.scratch);
            let packed = ctx.scratch.from(aligned(self.im2col.scratch()));
            let panels = self.dy_panels();
            for g in 0..self.layout.groups {
                let from = dy.channel(g * panels.n);
                split(ctx.pool, panels.k, panels.n, |range| {
                    pack_rows(from, dy.view.pixel_stride, packed, panels, range);
                });
                let right = std::slice::from_raw_parts(packed.at(0), panels.floats());
                if gradients.has_bias {
                    let padded = panels.padded();
                    column_sums(panels, right, &mut gradients.bias[g * padded..][..padded]);
                }
                let floats = self.layout.panels.floats();
                let gradient = Gradient {
                    left: left.from(g * self.layout.cig),
                    rows: &self.im2col.rows,
                    taps: &self.im2col.taps,
                    right,
                    out: FloatPtr::new(&mut gradients.weight[g * floats..][..floats]),
                    panels: self.layout.panels,
                };
                gradient.run(ctx.pool);
            }
        }
    }

    fn input_gradients(&self, ctx: &ExecContext, dy: &Map, write: GradWrite) {
        let dx = ctx.map(write.view);
        let weights = ctx.weights(self.step.node);
        let (panels, taps) = (self.transposed(), self.flipped_taps());
        let Backward { dy_rows, input_gradient, .. } = self.for_backward();
        // SAFETY: the scratch memory holds one group's transposed weights, then what each way needs; see `scratch`.
        unsafe {
            let rest = ctx.scratch.from(aligned(panels.floats()));
            let padded_dy = match input_gradient {
                InputGradient::Flipped(im2col) => im2col.pad_input(ctx.pool, dy, rest),
                _ => dy.channel(0),
            };
            if matches!(input_gradient, InputGradient::Columns) && !write.accumulate {
                split(ctx.pool, dx.pixels, dx.view.c, |range| range.for_each(|p| dx.row_mut(p).fill(0.0)));
            }
            for g in 0..self.layout.groups {
                let weight = self.layout.group(&weights.weight, g);
                transpose(ctx.pool, self.layout.panels, weight, taps, ctx.scratch);
                let right = std::slice::from_raw_parts(ctx.scratch.at(0), panels.floats());
                let own = [Span { offset: 0, len: self.layout.panels.n }];
                let operands = Operands {
                    left: padded_dy.from(g * self.layout.panels.n),
                    rows: dy_rows,
                    spans: &own,
                    panels,
                    addend: None,
                    out: dx.channel(g * self.layout.cig),
                    pixel_stride: dx.view.pixel_stride,
                };
                let gemm = Gemm { operands, right, start: Start::Zero, bounds: Bounds::NONE };
                // The gradient that other readers of the input have written.
                let before = |pixel_stride| write.accumulate.then_some(Addend { from: operands.out, pixel_stride });
                match input_gradient {
                    // A linear layer's rows are whole samples.
                    InputGradient::Direct => {
                        let pixel_stride =
                            if self.layout.taps > 1 { self.layout.panels.k } else { operands.pixel_stride };
                        let operands = Operands { pixel_stride, addend: before(pixel_stride), ..operands };
                        Gemm { operands, ..gemm }.run(ctx.pool);
                    }
                    InputGradient::Flipped(im2col) => {
                        let (rows, spans, addend) =
                            (&im2col.rows[..], &im2col.spans[..], before(operands.pixel_stride));
                        Gemm { operands: Operands { rows, spans, addend, ..operands }, ..gemm }.run(ctx.pool);
                    }
                    InputGradient::Columns => self.columns(ctx, &gemm, &dx, g, rest),
                }
            }
        }
    }

    /// `dx += columns`, sample by sample, so that no two tasks add to one float.
    ///
    /// # Safety
    /// `rest` must hold [`COLUMN_ROWS`] rows of columns for each thread.
    unsafe fn columns(&self, ctx: &ExecContext, gemm: &Gemm, dx: &Map, g: usize, rest: FloatPtr) {
        let pixels = self.step.output.h * self.step.output.w;
        let k = self.layout.panels.k;
        ctx.pool.run_on(ctx.n, &|thread, s| {
            for first in (0..pixels).step_by(COLUMN_ROWS) {
                let count = COLUMN_ROWS.min(pixels - first);
                // SAFETY: each thread has its own columns, each task its own sample.
                unsafe {
                    let columns = rest.from(thread * COLUMN_ROWS * k);
                    let rows = &gemm.operands.rows[s * pixels + first..][..count];
                    let operands = Operands { rows, out: columns, pixel_stride: k, ..gemm.operands };
                    Gemm { operands, ..*gemm }.block(0..count, 0..operands.panels.count());
                    (0..count).for_each(|i| self.scatter(columns.at(i * k), dx, g, s, first + i));
                }
            }
        });
    }

    /// Adds one window's columns to where the window lies.
    ///
    /// # Safety
    /// `column` must hold a window; no other task may use the sample meanwhile.
    unsafe fn scatter(&self, column: *const f32, dx: &Map, g: usize, s: usize, pixel: usize) {
        let Geometry { kernel, stride, dilation, pads, groups } = self.im2col.geometry;
        let (cig, w) = (self.layout.cig, self.step.output.w);
        let (h_in, w_in) = (dx.view.h, dx.view.w);
        let origin = [pixel / w * stride[0], pixel % w * stride[1]];
        let inside = |k: usize, a: usize, size: usize| {
            Some((origin[a] + k * dilation[a]).wrapping_sub(pads[a])).filter(|&i| i < size)
        };
        let merge = groups == 1 && dilation[1] == 1 && dx.dense();
        for ky in 0..kernel[0] {
            let Some(iy) = inside(ky, 0, h_in) else { continue };
            let line = (s * h_in + iy) * w_in;
            let mut kx = 0;
            while kx < kernel[1] {
                let Some(ix) = inside(kx, 1, w_in) else {
                    kx += 1;
                    continue;
                };
                let count = if merge { (kernel[1] - kx).min(w_in - ix) } else { 1 };
                // SAFETY: `count` taps of the window and their pixels of the map; dense when more than one.
                unsafe {
                    let to = dx.at(line + ix).add(g * cig);
                    let from = column.add((ky * kernel[1] + kx) * cig);
                    simd::map_raw(&Sum, [to.cast_const(), from], to, count * cig);
                }
                kx += count;
            }
        }
    }
}

/// Chooses the cheapest possible way to compute the gradient of the input.
fn input_gradient(geometry: &Geometry, im2col: &Im2col, layout: &Layout, x: View, y: View, n: usize) -> InputGradient {
    let whole_map = geometry.kernel == [x.h, x.w] && !im2col.is_padded() && im2col.spans.len() == 1;
    if geometry.is_pointwise() || (whole_map && geometry.groups == 1) {
        return InputGradient::Direct;
    }
    let reach = [geometry.extent(0) - 1, geometry.extent(1) - 1];
    let pad = |side: usize| reach[side % 2].checked_sub(geometry.pads[side]);
    let (Some(top), Some(left), Some(bottom), Some(right), [1, 1]) = (pad(0), pad(1), pad(2), pad(3), geometry.stride)
    else {
        return InputGradient::Columns;
    };
    // Columns have fewer products where the padding is small, but must be added up.
    let lanes = simd::lanes();
    let flipped = x.h * x.w * layout.cig.next_multiple_of(lanes) * layout.taps;
    let columns = y.h * y.w * (layout.cig * layout.taps).next_multiple_of(lanes);
    if flipped > columns + columns / 2 {
        return InputGradient::Columns;
    }
    let geometry = Geometry { pads: [top, left, bottom, right], ..*geometry };
    InputGradient::Flipped(Box::new(Im2col::new(geometry, y, n, [x.h, x.w])))
}

impl Operation for Convolution {
    fn forward(&self, ctx: &ExecContext) {
        let (x, y) = (ctx.map(self.step.inputs[0]), ctx.map(self.step.output));
        let weights = ctx.weights(self.step.node);
        let addend = self.step.inputs.get(1).map(|&view| ctx.map(view));
        // SAFETY: the plan keeps inputs and output apart; the scratch memory holds the padded map, then dequantized weights.
        unsafe {
            let left = self.im2col.pad_input(ctx.pool, &x, ctx.scratch);
            for g in 0..self.layout.groups {
                let operands = Operands {
                    left: left.from(g * self.layout.cig),
                    rows: &self.im2col.rows,
                    spans: &self.im2col.spans,
                    panels: self.layout.panels,
                    addend: addend.as_ref().map(Addend::of),
                    out: y.channel(g * self.layout.panels.n),
                    pixel_stride: y.view.pixel_stride,
                };
                let gemm = Gemm {
                    operands,
                    right: if weights.is_quantized() { &[] } else { self.layout.group(&weights.weight, g) },
                    start: Start::Bias(self.layout.group_bias(&weights.bias, g)),
                    bounds: Bounds::of(self.step.activation),
                };
                if weights.is_quantized() {
                    let rest = ctx.scratch.from(aligned(self.im2col.scratch()));
                    dequant::multiply(ctx.pool, &gemm, weights, rest);
                } else {
                    gemm.run(ctx.pool);
                }
            }
            Bounds::activate_others(ctx.pool, self.step.activation, &y);
        }
    }

    fn backward(&self, ctx: &ExecContext, step: &BackwardStep, gradients: Option<&mut Weights>) {
        let dy = ctx.map(step.dy);
        if let Some(gradients) = gradients {
            self.parameter_gradients(ctx, &dy, gradients);
        }
        if let Some(write) = step.dx[0] {
            self.input_gradients(ctx, &dy, write);
        }
    }

    fn scratch(&self) -> usize {
        let padded = aligned(self.im2col.scratch());
        let Some(Backward { input_gradient, .. }) = &self.backward else {
            return padded.saturating_add(dequant::scratch(self.threads));
        };
        let rest = match input_gradient {
            InputGradient::Direct => 0,
            InputGradient::Columns => self.threads * COLUMN_ROWS * self.layout.panels.k,
            InputGradient::Flipped(im2col) => im2col.scratch(),
        };
        let transposed = aligned(self.transposed().floats());
        padded.saturating_add(self.dy_panels().floats()).max(transposed.saturating_add(rest))
    }
}
