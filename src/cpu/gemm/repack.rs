//! Packing of matrices into panels, and transposition of packed matrices.

use std::ops::Range;

use super::panels::Panels;
use crate::cpu::memory::{FloatPtr, split};
use crate::cpu::pool::Pool;
use crate::cpu::simd::{self, Kernel, Simd};

/// Packs `rows` rows of `n` floats, `pixel_stride` apart, into panels; the lanes beyond column n become zeros.
///
/// # Safety
/// `from` must hold the rows, and `to` [`Panels::floats`] of `Panels { k: rows, n }` that nothing else uses meanwhile.
pub(crate) unsafe fn pack_rows(from: FloatPtr, pixel_stride: usize, to: FloatPtr, panels: Panels, range: Range<usize>) {
    for panel in 0..panels.count() {
        let (column, width) = (panels.column(panel), panels.width(panel));
        // SAFETY: `from` holds the rows and `to` all panels, so each holds this panel's columns of the range.
        unsafe {
            simd::dispatch(PackRows {
                from: from.at(range.start * pixel_stride + column),
                pixel_stride,
                to: to.at(panels.start(panel) + range.start * width),
                rows: range.len(),
                width,
                columns: panels.columns(panel),
            });
        }
    }
}

/// Copies rows of up to two vectors, filling up with zeros.
struct PackRows {
    from: *const f32,
    pixel_stride: usize,
    to: *mut f32,
    rows: usize,
    width: usize,
    columns: usize,
}

impl Kernel for PackRows {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        let PackRows { mut from, pixel_stride, mut to, rows, width, columns } = self;
        // SAFETY: `from` holds `columns` floats of each row, `to` `width`; see `pack_rows`.
        unsafe {
            for _ in 0..rows {
                for v in 0..width / S::LANES {
                    let n = columns - v * S::LANES;
                    let p = from.add(v * S::LANES);
                    let x = if n >= S::LANES { s.load(p) } else { s.load_part(p, n) };
                    s.store(to.add(v * S::LANES), x);
                }
                from = from.add(pixel_stride);
                to = to.add(width);
            }
        }
    }
}

/// Packs the transpose of a packed matrix whose rows come in `taps` equal parts, the last part first:
/// `to[(taps - 1 - t) * n + j][i] = from[t * rows + i][j]`. Block by block, because a column of one is a row of the other.
///
/// # Safety
/// `to` must hold [`Panels::floats`] of the panels of `taps * n` rows and `k / taps` columns that nothing else uses.
pub(crate) unsafe fn transpose(pool: &Pool, panels: Panels, from: &[f32], taps: usize, to: FloatPtr) {
    assert!(from.len() >= panels.floats());
    let (rows, n) = (panels.k / taps, panels.n);
    let transposed = Panels::new(taps * n, rows);
    split(pool, transposed.count() * taps, n * 2 * panels.lanes, |range| {
        for part in range {
            let (panel, tap) = (part / taps, part % taps);
            let (first, width) = (transposed.column(panel), transposed.width(panel));
            let start = transposed.start(panel) + (taps - 1 - tap) * n * width;
            // SAFETY: each part has its own rows of a panel.
            let to = unsafe { std::slice::from_raw_parts_mut(to.at(start), n * width) };
            for source in 0..panels.count() {
                let (column, step) = (panels.column(source), panels.width(source));
                let block = &from[panels.start(source) + (tap * rows + first) * step..];
                for j in 0..panels.columns(source) {
                    let line = &mut to[(column + j) * width..][..width];
                    let (values, fill) = line.split_at_mut(transposed.columns(panel));
                    values.iter_mut().enumerate().for_each(|(i, v)| *v = block[i * step + j]);
                    fill.fill(0.0);
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::gemm::testing::{packed, random};

    #[test]
    fn transposes_with_remainders() {
        for (taps, rows, n) in [(1, 1, 1), (1, 17, 5), (3, 5, 33), (4, 16, 16), (9, 40, 7)] {
            let matrix = random(taps * rows * n, 1);
            let panels = Panels::new(taps * rows, n);
            let from = packed(panels, |k, j| matrix[k * n + j]);
            let want = packed(Panels::new(taps * n, rows), |k, i| matrix[((taps - 1 - k / n) * rows + i) * n + k % n]);
            let mut to = vec![f32::NAN; want.len()];
            // SAFETY: `to` has the size of the transposed panels.
            unsafe { transpose(&Pool::new(2), panels, &from, taps, FloatPtr::new(&mut to)) };
            assert_eq!(to, want);
        }
    }
}
