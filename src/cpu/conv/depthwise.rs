//! Depthwise convolution: each channel has a kernel of its own, so vectors are channels and nothing is summed across them.
//! Padding is never read: windows that reach beyond the input take fewer taps.

use std::ops::Range;

use super::geometry::Geometry;
use crate::cpu::gemm::epilogue::Bounds;
use crate::cpu::gemm::layout::Layout;
use crate::cpu::gemm::panels::Panels;
use crate::cpu::gemm::weights::Weights;
use crate::cpu::memory::{Map, split};
use crate::cpu::operation::{ExecContext, Operation};
use crate::cpu::simd::{self, Access, Kernel, Part, Simd, Whole};
use crate::plan::Step;

/// Pixels that are computed side by side, each in sums of its own, so that additions need not wait for each other.
pub(crate) const PIXELS: usize = 4;

/// The taps of a window along one axis that lie in the input.
#[derive(Clone, Debug)]
struct Reach {
    taps: Range<usize>,
    /// Index of the first tap in the input.
    first: usize,
}

impl Reach {
    /// Returns the taps of output `o` on an axis (0 rows, 1 columns) of `size` inputs.
    fn new(geometry: &Geometry, axis: usize, o: usize, size: usize) -> Self {
        let (start, pad, dilation) = (o * geometry.stride[axis], geometry.pads[axis], geometry.dilation[axis]);
        let before = |position: usize| (position + pad).saturating_sub(start).div_ceil(dilation);
        let end = before(size).min(geometry.kernel[axis]);
        let taps = before(0).min(end)..end;
        Reach { first: (start + taps.start * dilation).saturating_sub(pad).min(size - 1), taps }
    }
}

/// A convolution with a group for each channel, in and out.
pub(crate) struct Depthwise {
    step: Step,
    geometry: Geometry,
    /// A row of channels for each tap.
    panels: Panels,
    rows: Vec<Reach>,
    columns: Vec<Reach>,
    /// Columns that see all taps.
    inner: Range<usize>,
}

impl Depthwise {
    pub(crate) fn new(geometry: Geometry, layout: Layout, step: Step) -> Self {
        let (x, y) = (step.inputs[0], step.output);
        let reaches = |axis: usize, outputs: usize, size: usize| -> Vec<Reach> {
            (0..outputs).map(|o| Reach::new(&geometry, axis, o, size)).collect()
        };
        let (rows, columns) = (reaches(0, y.h, x.h), reaches(1, y.w, x.w));
        let whole = |r: &Reach| r.taps.len() == geometry.kernel[1];
        let first = columns.iter().position(whole).unwrap_or(y.w);
        let inner = first..first + columns[first..].iter().take_while(|r| whole(r)).count();
        Depthwise { panels: layout.panels, geometry, step, rows, columns, inner }
    }

    /// Computes one row of outputs.
    ///
    /// # Safety
    /// No other task may use the row meanwhile, and no task may write to `x`.
    unsafe fn row(&self, x: &Map, y: &Map, weights: &Weights, row: usize) {
        // SAFETY: `tile` checks that taps and outputs lie in the maps, and this task alone has the row of outputs.
        unsafe {
            let mut ox = 0;
            while ox < y.view.w {
                if self.inner.contains(&ox) && ox + PIXELS <= self.inner.end {
                    simd::dispatch(Pixels::<PIXELS>(&self.tile(x, y, weights, row, ox)));
                    ox += PIXELS;
                } else {
                    simd::dispatch(Pixels::<1>(&self.tile(x, y, weights, row, ox)));
                    ox += 1;
                }
            }
        }
    }

    fn tile<'a>(&self, x: &Map, y: &Map, weights: &'a Weights, row: usize, ox: usize) -> Tile<'a> {
        let Geometry { kernel, stride, dilation, .. } = self.geometry;
        let (s, oy) = (row / y.view.h, row % y.view.h);
        let (rows, columns) = (&self.rows[oy], &self.columns[ox]);
        let pixel_stride = x.view.pixel_stride;
        Tile {
            x: x.at((s * x.view.h + rows.first) * x.view.w + columns.first).cast_const(),
            down: dilation[0] * x.view.w * pixel_stride,
            right: dilation[1] * pixel_stride,
            next: stride[1] * pixel_stride,
            taps: [rows.taps.len(), columns.taps.len()],
            weights: &weights.weight,
            first: rows.taps.start * kernel[1] + columns.taps.start,
            line: kernel[1],
            panels: self.panels,
            bias: &weights.bias,
            bounds: Bounds::of(self.step.activation),
            y: y.at((s * y.view.h + oy) * y.view.w + ox),
            y_stride: y.view.pixel_stride,
        }
    }
}

impl Operation for Depthwise {
    fn forward(&self, ctx: &ExecContext) {
        let (x, y) = (ctx.map(self.step.inputs[0]), ctx.map(self.step.output));
        let weights = ctx.weights(self.step.node);
        let Panels { k, n, .. } = self.panels;
        split(ctx.pool, ctx.n * y.view.h, y.view.w * k * n, |rows| {
            // SAFETY: the plan keeps input and output apart; each task has its own rows.
            rows.for_each(|row| unsafe { self.row(&x, &y, weights, row) });
        });
        Bounds::activate_others(ctx.pool, self.step.activation, &y);
    }
}

/// Neighbouring output pixels whose windows have equal taps.
struct Tile<'a> {
    /// The first tap of the first pixel.
    x: *const f32,
    /// Floats from one row of taps to the next.
    down: usize,
    /// Floats from one tap to the next.
    right: usize,
    /// Floats from one pixel's taps to the next pixel's.
    next: usize,
    /// Rows and columns of taps.
    taps: [usize; 2],
    weights: &'a [f32],
    /// The first tap's row of weights.
    first: usize,
    /// Rows of weights from one row of taps to the next.
    line: usize,
    panels: Panels,
    bias: &'a [f32],
    bounds: Bounds,
    y: *mut f32,
    /// Floats from one output pixel to the next.
    y_stride: usize,
}

/// All channels of N pixels.
struct Pixels<'a, const N: usize>(&'a Tile<'a>);

impl<const N: usize> Kernel for Pixels<'_, N> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        let t = self.0;
        // SAFETY: taps and pixels hold all channels; the weights have a padded row for each tap.
        unsafe {
            let mut c = 0;
            while c + 2 * S::LANES <= t.panels.n {
                channels::<_, _, N, 2>(s, t, Whole, c);
                c += 2 * S::LANES;
            }
            if c + S::LANES <= t.panels.n {
                channels::<_, _, N, 1>(s, t, Whole, c);
                c += S::LANES;
            }
            if c < t.panels.n {
                channels::<_, _, N, 1>(s, t, Part(t.panels.n - c), c);
            }
        }
    }
}

/// Computes NV vectors of channels, from channel `c` on, of N pixels.
///
/// # Safety
/// The tile must hold the channels that `a` accesses.
#[inline(always)]
unsafe fn channels<S: Simd, A: Access, const N: usize, const NV: usize>(s: S, t: &Tile, a: A, c: usize) {
    let (start, width) = t.panels.view(c);
    // SAFETY: `a` limits every access to channels of the tile, and weights and bias are padded to whole vectors.
    unsafe {
        let mut sums = [[s.splat(0.0); NV]; N];
        for v in 0..NV {
            let bias = s.load(t.bias.as_ptr().add(c + v * S::LANES));
            for p in 0..N {
                sums[p][v] = bias;
            }
        }
        let mut line = t.weights.as_ptr().add(start + t.first * width);
        for ky in 0..t.taps[0] {
            let mut x = t.x.add(ky * t.down + c);
            let mut weights = line;
            for _ in 0..t.taps[1] {
                for v in 0..NV {
                    let w = s.load(weights.add(v * S::LANES));
                    for p in 0..N {
                        sums[p][v] = s.fma(a.load(s, x.add(p * t.next + v * S::LANES)), w, sums[p][v]);
                    }
                }
                x = x.add(t.right);
                weights = weights.add(width);
            }
            line = line.add(t.line * width);
        }
        for p in 0..N {
            for v in 0..NV {
                let to = t.y.add(p * t.y_stride + c + v * S::LANES);
                a.store(s, to, t.bounds.apply(s, sums[p][v]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the definition, tap by tap.
    #[test]
    fn windows_see_what_lies_in_the_input() {
        for (kernel, stride, dilation, pad, size) in
            [(3, 1, 1, 1, 7), (3, 2, 1, 0, 8), (5, 2, 1, 2, 5), (3, 1, 3, 4, 6), (2, 3, 2, 5, 3), (1, 1, 1, 2, 2)]
        {
            let [kernel, stride, dilation] = [kernel, stride, dilation].map(|v| [v; 2]);
            let geometry = Geometry { kernel, stride, dilation, pads: [pad; 4], groups: 1 };
            let outputs = (size + 2 * pad - (kernel[0] - 1) * dilation[0] - 1) / stride[0] + 1;
            for o in 0..outputs {
                let at = |k: usize| (o * stride[0] + k * dilation[0]).checked_sub(pad).filter(|&i| i < size);
                let want: Vec<usize> = (0..kernel[0]).filter(|&k| at(k).is_some()).collect();
                let reach = Reach::new(&geometry, 0, o, size);
                assert!(reach.taps.clone().eq(want.iter().copied()), "{geometry:?} at {o}: {reach:?}");
                if let Some(&k) = want.first() {
                    assert_eq!(Some(reach.first), at(k));
                }
            }
        }
    }
}
