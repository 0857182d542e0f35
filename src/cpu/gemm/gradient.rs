//! The gradient of weights: products summed over pixels.
//!
//! The loops are not [`Microkernel`](super::driver::Microkernel)'s. The sums run over the rows of the left matrix, which
//! lie apart in a map, and not over spans of one row; the output is packed panels; and sums are continued from chunk to
//! chunk of pixels, in the outermost loop of a task, so that the right matrix, one row for each pixel, stays in the cache.

use std::ops::Range;

use super::driver::is_small;
use super::panels::Panels;
use crate::cpu::memory::FloatPtr;
use crate::cpu::pool::Pool;
use crate::cpu::simd::{self, Kernel, MAX_ROWS, Simd};

/// Pixels after which the sums of a tile are written back, so that its operands stay in the cache.
const CHUNK: usize = 256;

/// `out[k][n] = sum over pixels of left[pixel][k] * right[pixel][n]`: the gradient of weights. Right and out are
/// packed, right with one row for each pixel.
pub(crate) struct Gradient<'a> {
    pub left: FloatPtr,
    /// Offset of the row of each pixel.
    pub rows: &'a [u32],
    /// Offset of each `k` in a row.
    pub taps: &'a [u32],
    pub right: &'a [f32],
    pub out: FloatPtr,
    pub panels: Panels,
}

impl Gradient<'_> {
    /// Computes the gradient on all threads.
    ///
    /// # Safety
    /// Every tap of every row must lie in `left`, and no task may write there meanwhile; `out` must hold the panels, and
    /// nothing else may use them meanwhile.
    pub(crate) unsafe fn run(&self, pool: &Pool) {
        let tiles = self.panels.k.div_ceil(simd::rows());
        let small = is_small(pool, self.rows.len() * self.panels.floats());
        let tasks = if small { 1 } else { (4 * pool.threads()).min(tiles) };
        // SAFETY: `left` holds every tap of every row, `out` all tiles, and no two tasks have a tile in common.
        pool.run(tasks, &|i| unsafe { self.tiles(tiles * i / tasks..tiles * (i + 1) / tasks) });
    }

    /// Computes some rows of tiles, over all pixels: each sum has one order, whatever the number of threads.
    ///
    /// # Safety
    /// The matrices must be valid as [`Gradient::run`] says, and no other task may use the tiles.
    unsafe fn tiles(&self, tiles: Range<usize>) {
        let pixels = Panels { k: self.rows.len(), ..self.panels };
        assert!(self.right.len() >= pixels.floats() && self.taps.len() == self.panels.k);
        for first in (0..self.rows.len()).step_by(CHUNK) {
            let chunk = &self.rows[first..(first + CHUNK).min(self.rows.len())];
            for panel in 0..self.panels.count() {
                let width = self.panels.width(panel);
                for tile in tiles.clone() {
                    let k = tile * simd::rows();
                    let count = simd::rows().min(self.panels.k - k);
                    // SAFETY: `right` holds a panel row for each pixel, by the assertion above; `out` holds every tile.
                    unsafe {
                        let tile = GradientTile {
                            left: self.left.at(0),
                            rows: chunk,
                            taps: std::array::from_fn(|m| self.taps[k + m.min(count - 1)] as usize),
                            right: self.right.as_ptr().add(pixels.start(panel) + first * width),
                            out: self.out.at(self.panels.start(panel) + k * width),
                            count,
                            accumulate: first > 0,
                        };
                        if width > self.panels.lanes {
                            simd::dispatch(GradientKernel::<2>(&tile));
                        } else {
                            simd::dispatch(GradientKernel::<1>(&tile));
                        }
                    }
                }
            }
        }
    }
}

/// The part of a gradient that fits the registers, over a chunk of pixels.
struct GradientTile<'a> {
    left: *const f32,
    rows: &'a [u32],
    taps: [usize; MAX_ROWS],
    right: *const f32,
    out: *mut f32,
    count: usize,
    accumulate: bool,
}

struct GradientKernel<'a, const NV: usize>(&'a GradientTile<'a>);

impl<const NV: usize> Kernel for GradientKernel<'_, NV> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        let t = self.0;
        // SAFETY: taps of all rows lie in `left`, `right` has a row for each, `out` has `count`; see `Gradient::run`.
        unsafe {
            let mut acc = [[s.splat(0.0); NV]; MAX_ROWS];
            let mut taps = [t.left; MAX_ROWS];
            for m in 0..S::ROWS {
                taps[m] = t.left.add(t.taps[m]);
            }
            let mut right = t.right;
            for &row in t.rows {
                let mut b = [s.splat(0.0); NV];
                for v in 0..NV {
                    b[v] = s.load(right.add(v * S::LANES));
                }
                for m in 0..S::ROWS {
                    let a = s.splat(*taps[m].add(row as usize));
                    for v in 0..NV {
                        acc[m][v] = s.fma(a, b[v], acc[m][v]);
                    }
                }
                right = right.add(NV * S::LANES);
            }
            for m in 0..S::ROWS {
                if m < t.count {
                    for v in 0..NV {
                        let p = t.out.add((m * NV + v) * S::LANES);
                        let y = if t.accumulate { s.add(s.load(p), acc[m][v]) } else { acc[m][v] };
                        s.store(p, y);
                    }
                }
            }
        }
    }
}

/// Writes the sums of the columns of packed rows to `sums`, padded as the panels are.
pub(crate) fn column_sums(panels: Panels, packed: &[f32], sums: &mut [f32]) {
    for panel in 0..panels.count() {
        let width = panels.width(panel);
        let rows = &packed[panels.start(panel)..][..panels.k * width];
        // SAFETY: `rows` holds k rows of `width`, which is one or two vectors, as does `sums`.
        unsafe { simd::dispatch(ColumnSums { rows, width, sums: &mut sums[panels.column(panel)..][..width] }) };
    }
}

struct ColumnSums<'a> {
    rows: &'a [f32],
    width: usize,
    sums: &'a mut [f32],
}

impl Kernel for ColumnSums<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        for first in (0..self.width).step_by(S::LANES) {
            // SAFETY: `rows` is a multiple of `width` long, which is a multiple of LANES.
            unsafe {
                // Partial sums keep the rounding error of many pixels small.
                let mut total = s.splat(0.0);
                for chunk in self.rows.chunks(CHUNK * self.width) {
                    let mut sum = s.splat(0.0);
                    for row in (0..chunk.len()).step_by(self.width) {
                        sum = s.add(sum, s.load(chunk.as_ptr().add(row + first)));
                    }
                    total = s.add(total, sum);
                }
                s.store(self.sums.as_mut_ptr().add(first), total);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::gemm::repack::pack_rows;
    use crate::cpu::gemm::testing::{close, random};
    use crate::cpu::simd::doubled::with_both;

    #[test]
    fn gradients_with_remainders() {
        with_both(gradients);
    }

    fn gradients() {
        for pool in [Pool::single(), Pool::new(3)] {
            for (pixels, k, n) in [(1, 1, 1), (3, 5, 7), (300, 13, 17), (257, 6, 8), (600, 25, 6), (64, 40, 33)] {
                let (mut left, right) = (random(pixels * k, 1), random(pixels * n, 2));
                let rows: Vec<u32> = (0..pixels).map(|i| (i * k) as u32).collect();
                let taps: Vec<u32> = (0..k as u32).rev().collect();
                let panels = Panels::new(k, n);
                let of_pixels = Panels::new(pixels, n);
                let mut packed = vec![f32::NAN; of_pixels.floats()];
                // SAFETY: both are as large as the shapes say.
                unsafe {
                    pack_rows(FloatPtr::new(&mut right.clone()), n, FloatPtr::new(&mut packed), of_pixels, 0..pixels)
                };
                let mut out = vec![f32::NAN; panels.floats()];
                let mut sums = vec![f32::NAN; panels.padded()];
                column_sums(of_pixels, &packed, &mut sums);
                let gradient = Gradient {
                    left: FloatPtr::new(&mut left),
                    rows: &rows,
                    taps: &taps,
                    right: &packed,
                    out: FloatPtr::new(&mut out),
                    panels,
                };
                // SAFETY: left holds every tap of every row.
                unsafe { gradient.run(&pool) };
                for j in 0..n {
                    let (start, width) = panels.view(j);
                    for i in 0..k {
                        let tap = taps[i] as usize;
                        let product = |p: usize| f64::from(left[p * k + tap]) * f64::from(right[p * n + j]);
                        close(out[start + i * width], (0..pixels).map(product).sum());
                    }
                    close(sums[j], (0..pixels).map(|p| f64::from(right[p * n + j])).sum());
                }
                assert!(sums[n..].iter().all(|&s| s == 0.0) && out.iter().all(|v| v.is_finite()));
            }
        }
    }
}
