//! Batch normalisation. Training computes the batch's statistics forward and again backward, instead of keeping them.

use crate::cpu::gemm::epilogue::Bounds;
use crate::cpu::gemm::weights::Weights;
use crate::cpu::memory::{Map, for_each_chunk, split};
use crate::cpu::operation::{DropoutMode, ExecContext, Operation};
use crate::cpu::pool::Pool;
use crate::cpu::rows::{for_each_row, reading};
use crate::cpu::simd::{self, Access, Kernel, Part, Simd, Whole};
use crate::layers;
use crate::plan::{BackwardStep, GradWrite, Step};

/// Parts that sums over pixels are divided into on any number of threads, so that results do not depend on the number.
const PARTS: usize = 16;

/// Normalisation by channel.
pub(crate) struct BatchNorm2d {
    pub step: Step,
    pub layer: layers::BatchNorm2d,
}

/// Returns `K` sums over all pixels for each channel: `add(channels of the maps, sums)` adds one pixel.
fn sums<const N: usize, const K: usize>(
    pool: &Pool,
    maps: [&Map; N],
    add: impl Fn([&[f32]; N], &mut [Vec<f32>; K]) + Sync,
) -> [Vec<f32>; K] {
    let (c, pixels) = (maps[0].view.c, maps[0].pixels);
    let mut parts = vec![0.0; PARTS * K * c];
    for_each_chunk(pool, pixels * c * K / PARTS, &mut parts, K * c, |i, part| {
        let mut local = std::array::from_fn(|_| vec![0.0; c]);
        let rows = reading(maps);
        (pixels * i / PARTS..pixels * (i + 1) / PARTS).for_each(|p| add(rows.map(|rows| rows.row(p)), &mut local));
        part.chunks_exact_mut(c).zip(&local).for_each(|(part, sum)| part.copy_from_slice(sum));
    });
    std::array::from_fn(|k| (0..c).map(|ch| (0..PARTS).map(|i| parts[(i * K + k) * c + ch]).sum()).collect())
}

/// Returns mean and biased variance of each channel.
fn statistics(pool: &Pool, x: &Map) -> [Vec<f32>; 2] {
    let count = x.pixels as f32;
    let [mut mean] = sums(pool, [x], |[x], [sum]| {
        sum.iter_mut().zip(x).for_each(|(s, x)| *s += x);
    });
    mean.iter_mut().for_each(|m| *m /= count);
    let [mut var] = sums(pool, [x], |[x], [sum]| {
        sum.iter_mut().zip(x).zip(&mean).for_each(|((s, x), m)| *s += (x - m) * (x - m));
    });
    var.iter_mut().for_each(|v| *v /= count);
    [mean, var]
}

impl BatchNorm2d {
    fn inverse(&self, var: &[f32]) -> Vec<f32> {
        var.iter().map(|&v| self.inverse_of(v)).collect()
    }

    fn inverse_of(&self, var: f32) -> f32 {
        1.0 / (var + self.layer.epsilon).sqrt()
    }

    /// Writes the normalisation by these statistics as `x * scale + shift`.
    fn line(&self, weights: &Weights, [mean, var]: [&[f32]; 2], scale: &mut [f32], shift: &mut [f32]) {
        for c in 0..scale.len() {
            scale[c] = self.inverse_of(var[c]) * weights.weight[c];
            shift[c] = weights.bias[c] - scale[c] * mean[c];
        }
    }

    /// Writes the gradient of normalisation by running statistics, which only scales each channel.
    fn backward_frozen(&self, ctx: &ExecContext, dy: &Map, dx: Option<GradWrite>) {
        let Some(write) = dx else { return };
        let (mut dx, weights) = (ctx.map(write.view), ctx.weights(self.step.node));
        let inverse = self.inverse(&weights.statistics[1]);
        for_each_row(ctx.pool, 2 * dy.view.c, [dy], &mut dx, |_, [dy], dx| {
            for c in 0..dy.len() {
                dx[c] = if write.accumulate { dx[c] } else { 0.0 } + weights.weight[c] * inverse[c] * dy[c];
            }
        });
    }
}

/// `y = x * scale + shift` within the bounds, channel by channel of some pixels.
struct Scale<'a> {
    pixels: usize,
    x: *const f32,
    y: *mut f32,
    /// Floats from one pixel of x, and of y, to the next.
    pixel_stride: [usize; 2],
    scale: &'a [f32],
    shift: &'a [f32],
    bounds: Bounds,
}

impl Kernel for Scale<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        let channels = self.scale.len();
        let whole = channels / S::LANES * S::LANES;
        // SAFETY: pixels, scale and shift hold all channels.
        unsafe {
            for p in 0..self.pixels {
                let (x, y) = (self.x.add(p * self.pixel_stride[0]), self.y.add(p * self.pixel_stride[1]));
                for c in (0..whole).step_by(S::LANES) {
                    self.vector(s, Whole, x, y, c);
                }
                if whole < channels {
                    self.vector(s, Part(channels - whole), x, y, whole);
                }
            }
        }
    }
}

impl Scale<'_> {
    /// Normalises a vector of channels, from channel `c` on.
    ///
    /// # Safety
    /// `x`, `y`, `scale` and `shift` must hold the channels that `a` accesses.
    #[inline(always)]
    unsafe fn vector<S: Simd, A: Access>(&self, s: S, a: A, x: *const f32, y: *mut f32, c: usize) {
        // SAFETY: `a` limits every access to channels that the pixels, `scale` and `shift` hold.
        unsafe {
            let (scale, shift) = (self.scale.as_ptr().add(c), self.shift.as_ptr().add(c));
            let line = s.fma(a.load(s, x.add(c)), a.load(s, scale), a.load(s, shift));
            a.store(s, y.add(c), self.bounds.apply(s, line));
        }
    }
}

impl Operation for BatchNorm2d {
    fn forward(&self, ctx: &ExecContext) {
        let (x, y) = (ctx.map(self.step.inputs[0]), ctx.map(self.step.output));
        let weights = ctx.weights(self.step.node);
        // SAFETY: the scratch memory holds two values for each channel; see `scratch`.
        let (scale, shift) = unsafe {
            let floats = std::slice::from_raw_parts_mut(ctx.scratch.start(), 2 * x.view.c);
            floats.split_at_mut(x.view.c)
        };
        match ctx.mode {
            DropoutMode::Training { .. } if !self.step.frozen => {
                let [mean, var] = statistics(ctx.pool, &x);
                self.line(weights, [&mean, &var], scale, shift);
            }
            _ => self.line(weights, weights.statistics.each_ref().map(|s| &s[..]), scale, shift),
        }
        let bounds = Bounds::of(self.step.activation);
        split(ctx.pool, x.pixels, 2 * x.view.c, |range| {
            let (from, to) = (x.at(range.start).cast_const(), y.at(range.start));
            // SAFETY: the plan keeps input and output apart; each task has its own pixels.
            unsafe {
                simd::dispatch(Scale {
                    pixels: range.len(),
                    x: from,
                    y: to,
                    pixel_stride: [x.view.pixel_stride, y.view.pixel_stride],
                    scale,
                    shift,
                    bounds,
                });
            }
        });
        Bounds::activate_others(ctx.pool, self.step.activation, &y);
    }

    fn scratch(&self) -> usize {
        2 * self.step.output.c
    }

    fn backward(&self, ctx: &ExecContext, step: &BackwardStep, gradients: Option<&mut Weights>) {
        let (x, dy) = (ctx.map(self.step.inputs[0]), ctx.map(step.dy));
        let Some(gradients) = gradients else { return self.backward_frozen(ctx, &dy, step.dx[0]) };
        let [mean, var] = statistics(ctx.pool, &x);
        let inverse = self.inverse(&var);
        let [dbias, dweight] = sums(ctx.pool, [&x, &dy], |[x, dy], [dbias, dweight]| {
            for c in 0..x.len() {
                dbias[c] += dy[c];
                dweight[c] += dy[c] * (x[c] - mean[c]) * inverse[c];
            }
        });
        if let Some(write) = step.dx[0] {
            let mut dx = ctx.map(write.view);
            let weight = &ctx.weights(self.step.node).weight;
            let count = x.pixels as f32;
            for_each_row(ctx.pool, 4 * x.view.c, [&x, &dy], &mut dx, |_, [x, dy], dx| {
                for c in 0..x.len() {
                    let normal = (x[c] - mean[c]) * inverse[c];
                    let d = weight[c] * inverse[c] * (dy[c] - (dbias[c] + normal * dweight[c]) / count);
                    dx[c] = if write.accumulate { dx[c] } else { 0.0 } + d;
                }
            });
        }
        let c = x.view.c;
        gradients.weight[..c].copy_from_slice(&dweight);
        gradients.bias[..c].copy_from_slice(&dbias);
        // The running statistics move towards the mean and, by PyTorch's rule, the unbiased variance.
        let unbiased = x.pixels as f32 / (x.pixels.max(2) - 1) as f32;
        gradients.statistics[0].copy_from_slice(&mean);
        gradients.statistics[1].iter_mut().zip(&var).for_each(|(to, v)| *to = v * unbiased);
    }
}
