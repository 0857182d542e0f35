//! Convolution as matrix multiplication. The matrix of windows is never built: [`Lowering`] says where its rows lie.

use super::add::Add;
use super::algorithm::{self, Algorithm, Calibrated};
use super::codes;
use super::depthwise::Depthwise;
use super::elementwise::{Copy, Sum};
use super::gemm::{Addend, Bounds, Gemm, Gradient, Panels, Run, Start, column_sums, pack_rows, transpose};
use super::int8::Int8;
use super::memory::{Map, Shared, split};
use super::operation::{Frame, Operation, Setting};
use super::pool::Pool;
use super::simd;
use super::weights::{Layout, Weights};
use super::winograd::Winograd;
use crate::layers;
use crate::plan::{BackwardStep, GradWrite, Step, View};

/// Pixels whose columns are computed at once before they are added to the gradient.
const COLUMN_ROWS: usize = 96;

/// A window in numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    /// `[top, left, bottom, right]`.
    pub pads: [usize; 4],
    pub groups: usize,
}

impl Geometry {
    fn extent(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }

    fn is_pointwise(&self) -> bool {
        self.kernel == [1; 2] && self.stride == [1; 2] && self.pads == [0; 4]
    }
}

/// The windows of a map as rows of a matrix: each output pixel's window starts at `rows` and its floats are at `taps`
/// from there, which are `runs` of neighbours. With padding, the map is copied into a frame of zeros first.
pub(super) struct Lowering {
    geometry: Geometry,
    input: View,
    n: usize,
    pub rows: Vec<u32>,
    taps: Vec<u32>,
    pub runs: Vec<Run>,
}

impl Lowering {
    pub(super) fn new(geometry: Geometry, input: View, n: usize, output: [usize; 2]) -> Self {
        let mut lowering = Lowering { geometry, input, n, rows: vec![], taps: vec![], runs: vec![] };
        let [h, w] = lowering.framed();
        let pixel_stride = lowering.pixel_stride();
        let Geometry { kernel, stride, dilation, groups, .. } = geometry;
        for s in 0..n {
            for oy in 0..output[0] {
                let line = (s * h + oy * stride[0]).wrapping_mul(w);
                // Offsets that wrap belong to scratch memory whose size is refused.
                let offset = |ox| (line.wrapping_add(ox * stride[1])).wrapping_mul(pixel_stride) as u32;
                lowering.rows.extend((0..output[1]).map(offset));
            }
        }
        for ky in 0..kernel[0] {
            for kx in 0..kernel[1] {
                let offset =
                    (ky * dilation[0]).wrapping_mul(w).wrapping_add(kx * dilation[1]).wrapping_mul(pixel_stride);
                lowering.tap(offset, input.c / groups);
            }
        }
        lowering
    }

    /// Appends `len` neighbours, which may continue the last run.
    fn tap(&mut self, offset: usize, len: usize) {
        self.taps.extend((offset..offset + len).map(|t| t as u32));
        match self.runs.last_mut() {
            Some(run) if run.offset + run.len == offset => run.len += len,
            _ => self.runs.push(Run { offset, len }),
        }
    }

    fn is_padded(&self) -> bool {
        self.geometry.pads != [0; 4]
    }

    /// Height and width with padding.
    pub(super) fn framed(&self) -> [usize; 2] {
        let [top, left, bottom, right] = self.geometry.pads;
        [self.input.h + top + bottom, self.input.w + left + right]
    }

    /// Floats from one pixel to the next in what the rows index.
    fn pixel_stride(&self) -> usize {
        if self.is_padded() { self.input.c } else { self.input.pixel_stride }
    }

    /// Floats of the padded copy; 0 when there is none.
    fn scratch(&self) -> usize {
        let [h, w] = self.framed();
        if self.is_padded() { [h, w, self.input.c].iter().fold(self.n, |a, &b| a.saturating_mul(b)) } else { 0 }
    }

    /// What the rows index: the map itself, or its padded copy in `scratch`.
    ///
    /// # Safety
    /// Nobody may write to the map meanwhile; `scratch` must hold [`Lowering::scratch`] floats for nobody else.
    unsafe fn stage(&self, pool: &Pool, map: &Map, scratch: Shared) -> Shared {
        if !self.is_padded() {
            return map.channel(0);
        }
        let [top, left, _, right] = self.geometry.pads;
        let ([h, w], c) = (self.framed(), self.input.c);
        split(pool, self.n * h, w * c, |lines| {
            for line in lines {
                // SAFETY: each task has its own lines of the copy.
                let to = unsafe { std::slice::from_raw_parts_mut(scratch.at(line * w * c), w * c) };
                let (s, y) = (line / h, line % h);
                if y < top || y >= top + self.input.h {
                    to.fill(0.0);
                    continue;
                }
                let (border, rest) = to.split_at_mut(left * c);
                let (inside, end) = rest.split_at_mut(self.input.w * c);
                border.fill(0.0);
                end.fill(0.0);
                debug_assert_eq!(end.len(), right * c);
                let first = (s * self.input.h + y - top) * self.input.w;
                // SAFETY: a line of the map, dense or pixel by pixel.
                unsafe {
                    if map.dense() {
                        simd::map(&Copy, [map.at(first).cast_const()], inside.as_mut_ptr(), inside.len());
                    } else {
                        for (x, pixel) in inside.chunks_exact_mut(c).enumerate() {
                            simd::map(&Copy, [map.at(first + x).cast_const()], pixel.as_mut_ptr(), c);
                        }
                    }
                }
            }
        });
        scratch
    }
}

/// How the gradient of the input is computed.
enum InputGradient {
    /// Each window has its own input: the columns are the gradient.
    Direct,
    /// The columns of each window are computed and added to where the window lies.
    Columns,
    /// Stride 1: a convolution of the output's gradient with the flipped kernel.
    Flipped(Box<Lowering>),
}

/// Anything with weights: a convolution, or a linear layer as the convolution whose kernel is the whole map.
pub(super) struct Convolution {
    step: Step,
    layout: Layout,
    lowering: Lowering,
    threads: usize,
    /// Only for training.
    backward: Option<Backward>,
}

/// What the backward pass needs.
struct Backward {
    /// Where each pixel of dy starts.
    dy_rows: Vec<u32>,
    input_gradient: InputGradient,
}

impl Geometry {
    pub(super) fn of(layer: &layers::Conv2d, x: View) -> Self {
        let &layers::Conv2d { window, groups, .. } = layer;
        let layers::Window { kernel, stride, dilation, .. } = window;
        Geometry { kernel, stride, dilation, pads: window.pads([x.h, x.w]), groups }
    }
}

/// A convolution of the plan.
pub(super) fn operation(layer: &layers::Conv2d, step: Step, setting: &Setting) -> Box<dyn Operation> {
    let (x, y) = (step.inputs[0], step.output);
    let geometry = Geometry::of(layer, x);
    let algorithm = algorithm::choose(&geometry, x, y, setting.prefer, setting.calibrated);
    let layout = Layout::of_convolution(&geometry, algorithm, x, y, setting.calibrated);
    if let Some([conv, sum]) = step.split_residual_add().filter(|_| algorithm != Algorithm::Int8) {
        let halves = [operation(layer, conv, setting), Box::new(Add { step: sum })];
        return Box::new(Halves(halves));
    }
    match algorithm {
        Algorithm::Direct => Box::new(Convolution::new(geometry, step, setting)),
        Algorithm::Winograd => Box::new(Winograd::new(geometry, layout, step, setting)),
        Algorithm::Depthwise => Box::new(Depthwise::new(geometry, layout, step)),
        Algorithm::Int8 => Box::new(Int8::new(geometry, layout, step, setting.n)),
    }
}

/// A convolution whose result is rounded, and a sum.
struct Halves([Box<dyn Operation>; 2]);

impl Operation for Halves {
    fn forward(&self, frame: &Frame) {
        self.0.iter().for_each(|half| half.forward(frame));
    }

    fn scratch(&self) -> usize {
        self.0[0].scratch()
    }
}

impl Convolution {
    pub(super) fn new(geometry: Geometry, step: Step, setting: &Setting) -> Self {
        let (x, y, n) = (step.inputs[0], step.output, setting.n);
        let layout = Layout::of_convolution(&geometry, Algorithm::Direct, x, y, Calibrated::No);
        let lowering = Lowering::new(geometry, x, n, [y.h, y.w]);
        let backward = setting.training.then(|| Backward {
            dy_rows: (0..y.pixels(n)).map(|p| (p * y.pixel_stride) as u32).collect(),
            input_gradient: input_gradient(&geometry, &lowering, &layout, x, y, n),
        });
        Convolution { step, layout, lowering, threads: setting.pool.threads(), backward }
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

    fn parameter_gradients(&self, frame: &Frame, dy: &Map, gradients: &mut Weights) {
        let x = frame.map(self.step.inputs[0]);
        // SAFETY: the scratch memory holds the staged map, then one group's packed dy; see `scratch`.
        unsafe {
            let left = self.lowering.stage(frame.pool, &x, frame.scratch);
            let packed = frame.scratch.from(aligned(self.lowering.scratch()));
            let panels = self.dy_panels();
            for g in 0..self.layout.groups {
                let from = dy.channel(g * panels.n);
                split(frame.pool, panels.k, panels.n, |range| {
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
                    rows: &self.lowering.rows,
                    taps: &self.lowering.taps,
                    right,
                    out: Shared::new(&mut gradients.weight[g * floats..][..floats]),
                    panels: self.layout.panels,
                };
                gradient.run(frame.pool);
            }
        }
    }

    fn input_gradients(&self, frame: &Frame, dy: &Map, write: GradWrite) {
        let dx = frame.map(write.view);
        let weights = frame.weights(self.step.node);
        let (panels, taps) = (self.transposed(), self.flipped_taps());
        let Backward { dy_rows, input_gradient, .. } = self.for_backward();
        // SAFETY: the scratch memory holds one group's transposed weights, then what each way needs; see `scratch`.
        unsafe {
            let rest = frame.scratch.from(aligned(panels.floats()));
            let dy_staged = match input_gradient {
                InputGradient::Flipped(lowering) => lowering.stage(frame.pool, dy, rest),
                _ => dy.channel(0),
            };
            if matches!(input_gradient, InputGradient::Columns) && !write.accumulate {
                split(frame.pool, dx.pixels, dx.view.c, |range| range.for_each(|p| dx.row_mut(p).fill(0.0)));
            }
            for g in 0..self.layout.groups {
                let weight = self.layout.group(&weights.weight, g);
                transpose(frame.pool, self.layout.panels, weight, taps, frame.scratch);
                let right = std::slice::from_raw_parts(frame.scratch.at(0), panels.floats());
                let own = [Run { offset: 0, len: self.layout.panels.n }];
                let gemm = Gemm {
                    left: dy_staged.from(g * self.layout.panels.n),
                    rows: dy_rows,
                    runs: &own,
                    right,
                    panels,
                    start: Start::Zero,
                    addend: None,
                    bounds: Bounds::NONE,
                    out: dx.channel(g * self.layout.cig),
                    pixel_stride: dx.view.pixel_stride,
                };
                // What other readers of the input wrote there.
                let before = |pixel_stride| write.accumulate.then_some(Addend { from: gemm.out, pixel_stride });
                match input_gradient {
                    // A linear layer's rows are whole samples.
                    InputGradient::Direct => {
                        let pixel_stride = if self.layout.taps > 1 { self.layout.panels.k } else { gemm.pixel_stride };
                        Gemm { pixel_stride, addend: before(pixel_stride), ..gemm }.run(frame.pool);
                    }
                    InputGradient::Flipped(lowering) => {
                        let (rows, runs, addend) = (&lowering.rows[..], &lowering.runs[..], before(gemm.pixel_stride));
                        Gemm { rows, runs, addend, ..gemm }.run(frame.pool);
                    }
                    InputGradient::Columns => self.columns(frame, &gemm, &dx, g, rest),
                }
            }
        }
    }

    /// `dx += columns`, sample by sample, so that no two tasks add to the same place.
    ///
    /// # Safety
    /// `rest` must hold [`COLUMN_ROWS`] rows of columns for each thread.
    unsafe fn columns(&self, frame: &Frame, gemm: &Gemm, dx: &Map, g: usize, rest: Shared) {
        let pixels = self.step.output.h * self.step.output.w;
        let k = self.layout.panels.k;
        frame.pool.run_on(frame.n, &|thread, s| {
            for first in (0..pixels).step_by(COLUMN_ROWS) {
                let count = COLUMN_ROWS.min(pixels - first);
                // SAFETY: each thread has its own columns, each task its own sample.
                unsafe {
                    let columns = rest.from(thread * COLUMN_ROWS * k);
                    let rows = &gemm.rows[s * pixels + first..][..count];
                    let part = Gemm { rows, out: columns, pixel_stride: k, ..*gemm };
                    part.block(0..count, 0..part.panels.count());
                    (0..count).for_each(|i| self.scatter(columns.at(i * k), dx, g, s, first + i));
                }
            }
        });
    }

    /// Adds one window's columns to where the window lies.
    ///
    /// # Safety
    /// `column` must hold a window; nobody else may use the sample meanwhile.
    unsafe fn scatter(&self, column: *const f32, dx: &Map, g: usize, s: usize, pixel: usize) {
        let Geometry { kernel, stride, dilation, pads, groups } = self.lowering.geometry;
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
                // SAFETY: `count` taps of the window and as many pixels of the map; dense when more than one.
                unsafe {
                    let to = dx.at(line + ix).add(g * cig);
                    let from = column.add((ky * kernel[1] + kx) * cig);
                    simd::map(&Sum, [to.cast_const(), from], to, count * cig);
                }
                kx += count;
            }
        }
    }
}

/// Chooses the cheapest way that is possible.
fn input_gradient(
    geometry: &Geometry,
    lowering: &Lowering,
    layout: &Layout,
    x: View,
    y: View,
    n: usize,
) -> InputGradient {
    let whole_map = geometry.kernel == [x.h, x.w] && !lowering.is_padded() && lowering.runs.len() == 1;
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
    InputGradient::Flipped(Box::new(Lowering::new(geometry, y, n, [x.h, x.w])))
}

/// A part of the scratch memory of this size, rounded up to cache lines.
fn aligned(floats: usize) -> usize {
    floats.checked_next_multiple_of(16).unwrap_or(usize::MAX)
}

impl Operation for Convolution {
    fn forward(&self, frame: &Frame) {
        let (x, y) = (frame.map(self.step.inputs[0]), frame.map(self.step.output));
        let weights = frame.weights(self.step.node);
        let addend = self.step.inputs.get(1).map(|&view| frame.map(view));
        // SAFETY: the plan keeps inputs and output apart; the scratch memory holds the staged map, then codes as floats.
        unsafe {
            let left = self.lowering.stage(frame.pool, &x, frame.scratch);
            for g in 0..self.layout.groups {
                let gemm = Gemm {
                    left: left.from(g * self.layout.cig),
                    rows: &self.lowering.rows,
                    runs: &self.lowering.runs,
                    right: if weights.is_quantized() { &[] } else { self.layout.group(&weights.weight, g) },
                    panels: self.layout.panels,
                    start: Start::Bias(self.layout.group_bias(&weights.bias, g)),
                    addend: addend
                        .as_ref()
                        .map(|map| Addend { from: map.channel(0), pixel_stride: map.view.pixel_stride }),
                    bounds: Bounds::of(self.step.activation),
                    out: y.channel(g * self.layout.panels.n),
                    pixel_stride: y.view.pixel_stride,
                };
                if weights.is_quantized() {
                    let rest = frame.scratch.from(aligned(self.lowering.scratch()));
                    codes::multiply(frame.pool, &gemm, weights, rest);
                } else {
                    gemm.run(frame.pool);
                }
            }
            Bounds::activate_others(frame.pool, self.step.activation, &y);
        }
    }

    fn backward(&self, frame: &Frame, step: &BackwardStep, gradients: Option<&mut Weights>) {
        let dy = frame.map(step.dy);
        if let Some(gradients) = gradients {
            self.parameter_gradients(frame, &dy, gradients);
        }
        if let Some(write) = step.dx[0] {
            self.input_gradients(frame, &dy, write);
        }
    }

    fn scratch(&self) -> usize {
        let staged = aligned(self.lowering.scratch());
        let Some(Backward { input_gradient, .. }) = &self.backward else {
            return staged.saturating_add(codes::scratch(self.threads));
        };
        let rest = match input_gradient {
            InputGradient::Direct => 0,
            InputGradient::Columns => self.threads * COLUMN_ROWS * self.layout.panels.k,
            InputGradient::Flipped(lowering) => lowering.scratch(),
        };
        let transposed = aligned(self.transposed().floats());
        staged.saturating_add(self.dy_panels().floats()).max(transposed.saturating_add(rest))
    }
}
