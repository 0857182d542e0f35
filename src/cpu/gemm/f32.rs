//! Matrix multiplication of floats.
//!
//! The left matrix is never copied. Its row for an output pixel is a few spans of floats that lie in the map (for the
//! window of a convolution, one span for each kernel row), so a row is an offset, and all rows share their spans. The
//! right matrix is packed: panels as wide as a tile, in each panel row after row.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::driver::{Microkernel, Operands, Tile};
use super::epilogue::{Bounds, Start};
use crate::cpu::simd::{self, Access, Kernel, MAX_LANES, MAX_ROWS, Part, Simd, Whole};

/// Rows of the lower tile.
const FEW_ROWS: usize = 4;

/// `out = left * right + start + addend`, within bounds.
#[derive(Clone, Copy)]
pub(crate) struct Gemm<'a> {
    pub operands: Operands<'a>,
    pub right: &'a [f32],
    pub start: Start<'a>,
    pub bounds: Bounds,
}

impl Microkernel for Gemm<'_> {
    fn operands(&self) -> &Operands<'_> {
        &self.operands
    }

    fn right_len(&self) -> usize {
        self.right.len()
    }

    #[inline(always)]
    fn height(&self, rows: usize) -> usize {
        if is_few(rows) { rows } else { rows.min(simd::rows()) }
    }

    #[inline(always)]
    unsafe fn tile(&self, rows: Range<usize>, panels: Range<usize>) {
        let layout = self.operands.panels;
        let (column, width) = (layout.column(panels.start), layout.width(panels.start));
        let start = match self.start {
            Start::Bias(bias) => bias[column..][..panels.len() * width].as_ptr(),
            Start::Zero => std::ptr::null(),
        };
        let (single, few) = (rows.len() == 1, is_few(rows.len()));
        // SAFETY: the matrices hold the tile; `block` has checked that `right` holds all panels.
        unsafe {
            let right = self.right.as_ptr().add(layout.start(panels.start));
            let tile = Tiles { tile: self.operands.tile(rows, panels), right, start, bounds: self.bounds };
            match (single, few, width > layout.lanes) {
                (true, _, true) => simd::dispatch(RowTile::<2>(&tile)),
                (true, _, false) => simd::dispatch(RowTile::<1>(&tile)),
                (_, true, true) => simd::dispatch(RowsTile::<2, true>(&tile)),
                (_, true, false) => simd::dispatch(RowsTile::<1, true>(&tile)),
                (_, false, true) => simd::dispatch(RowsTile::<2, false>(&tile)),
                (_, false, false) => simd::dispatch(RowsTile::<1, false>(&tile)),
            }
        }
    }
}

/// True if so many rows are computed by the lower tile, where the full tile is higher.
fn is_few(rows: usize) -> bool {
    rows <= FEW_ROWS && FEW_ROWS < simd::rows()
}

/// A tile of floats.
struct Tiles<'a> {
    tile: Tile<'a>,
    right: *const f32,
    /// Null when sums start at zero.
    start: *const f32,
    bounds: Bounds,
}

impl Tiles<'_> {
    /// Returns the first column of each panel, counted from the first column of the tile.
    #[inline(always)]
    fn firsts<S: Simd, const NV: usize>(&self) -> impl Iterator<Item = usize> + use<S, NV> {
        (0..self.tile.panels).map(|panel| panel * NV * S::LANES)
    }

    /// Returns the first sums of the panel at this column.
    ///
    /// # Safety
    /// `start` is null or holds NV vectors from this column on.
    #[inline(always)]
    unsafe fn starts<S: Simd, const NV: usize>(&self, s: S, column: usize) -> [S::F32; NV] {
        // SAFETY: `start` holds a value for each column of the tile's panels, so NV vectors from each panel's first column.
        unsafe {
            let mut acc = [s.splat(0.0); NV];
            if !self.start.is_null() {
                for v in 0..NV {
                    acc[v] = s.load(self.start.add(column + v * S::LANES));
                }
            }
            acc
        }
    }

    /// Finishes and writes the rows of the panel at this column.
    ///
    /// # Safety
    /// `sums` holds `vectors` for each row, `out` the rows and their columns.
    // Natively S is only known to be available where this is inlined; in wasm one function serves all tiles.
    #[cfg_attr(target_arch = "wasm32", inline(never))]
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    unsafe fn write<S: Simd>(&self, s: S, sums: *const f32, column: usize, vectors: usize) {
        for m in 0..self.tile.rows {
            for v in 0..vectors {
                // SAFETY: `sums` holds the vectors of each row, and no lane beyond the last column of `out` is touched.
                unsafe {
                    let y = s.load(sums.add((m * vectors + v) * S::LANES));
                    let to = self.tile.out.add(m * self.tile.pixel_stride + column + v * S::LANES);
                    let addend = self.tile.addend.wrapping_add(m * self.tile.addend_stride + column + v * S::LANES);
                    let n = self.tile.columns.saturating_sub(v * S::LANES);
                    if n >= S::LANES {
                        self.finish(s, Whole, y, addend, to);
                    } else if n > 0 {
                        self.finish(s, Part(n), y, addend, to);
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn finish<S: Simd, A: Access>(&self, s: S, a: A, mut y: S::F32, addend: *const f32, to: *mut f32) {
        // SAFETY: see `write`.
        unsafe {
            if !self.tile.addend.is_null() {
                y = s.add(a.load(s, addend), y);
            }
            a.store(s, to, self.bounds.apply(s, y));
        }
    }
}

/// The sums of a tile on their way from registers to the output. Going through memory keeps every index into the
/// registers constant; otherwise compilers keep the registers themselves in memory, throughout the loop over K.
#[repr(C, align(64))]
struct Sums(MaybeUninit<[f32; MAX_ROWS * 2 * MAX_LANES]>);

/// [`Simd::ROWS`] rows, or [`FEW_ROWS`], times NV vectors of columns. The loop over K is not unrolled: compilers to
/// WebAssembly and V8 do best with exactly this shape.
struct RowsTile<'a, const NV: usize, const FEW: bool>(&'a Tiles<'a>);

impl<const NV: usize, const FEW: bool> Kernel for RowsTile<'_, NV, FEW> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        let t = self.0;
        let rows = if FEW { FEW_ROWS } else { S::ROWS };
        // SAFETY: the spans lie in `left`, `right` holds a vector row for each float of them; see `Microkernel::run`.
        unsafe {
            let mut right = t.right;
            for column in t.firsts::<S, NV>() {
                let mut acc = [t.starts::<_, NV>(s, column); MAX_ROWS];
                for span in t.tile.spans {
                    let mut left = [t.tile.left[0]; MAX_ROWS];
                    for m in 0..rows {
                        left[m] = t.tile.left[m].add(span.offset);
                    }
                    for k in 0..span.len {
                        let mut b = [s.splat(0.0); NV];
                        for v in 0..NV {
                            b[v] = s.load(right.add(v * S::LANES));
                        }
                        for m in 0..rows {
                            let a = s.splat(*left[m].add(k));
                            for v in 0..NV {
                                acc[m][v] = s.fma(a, b[v], acc[m][v]);
                            }
                        }
                        right = right.add(NV * S::LANES);
                    }
                }
                if t.tile.rows == rows && t.tile.columns >= NV * S::LANES {
                    for m in 0..rows {
                        for v in 0..NV {
                            let at = m * t.tile.addend_stride + column + v * S::LANES;
                            let to = t.tile.out.add(m * t.tile.pixel_stride + column + v * S::LANES);
                            t.finish(s, Whole, acc[m][v], t.tile.addend.wrapping_add(at), to);
                        }
                    }
                    continue;
                }
                let mut sums = Sums(MaybeUninit::uninit());
                let to = sums.0.as_mut_ptr().cast::<f32>();
                for m in 0..rows {
                    for v in 0..NV {
                        s.store(to.add((m * NV + v) * S::LANES), acc[m][v]);
                    }
                }
                t.write(s, to, column, NV);
            }
        }
    }
}

/// One row: bound by memory, so four chains of sums hide the latency instead of rows.
struct RowTile<'a, const NV: usize>(&'a Tiles<'a>);

impl<const NV: usize> Kernel for RowTile<'_, NV> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        const CHAINS: usize = 4;
        let t = self.0;
        // SAFETY: as for RowsTile.
        unsafe {
            let mut right = t.right;
            for column in t.firsts::<S, NV>() {
                let mut acc = [[s.splat(0.0); NV]; CHAINS];
                acc[0] = t.starts::<_, NV>(s, column);
                for span in t.tile.spans {
                    let mut left = t.tile.left[0].add(span.offset);
                    let end = left.add(span.len);
                    let whole = left.add(span.len / CHAINS * CHAINS);
                    while left < whole {
                        for c in 0..CHAINS {
                            let a = s.splat(*left.add(c));
                            for v in 0..NV {
                                acc[c][v] = s.fma(a, s.load(right.add((c * NV + v) * S::LANES)), acc[c][v]);
                            }
                        }
                        left = left.add(CHAINS);
                        right = right.add(CHAINS * NV * S::LANES);
                    }
                    while left < end {
                        let a = s.splat(*left);
                        for v in 0..NV {
                            acc[0][v] = s.fma(a, s.load(right.add(v * S::LANES)), acc[0][v]);
                        }
                        left = left.add(1);
                        right = right.add(NV * S::LANES);
                    }
                }
                let mut sums = Sums(MaybeUninit::uninit());
                let to = sums.0.as_mut_ptr().cast::<f32>();
                for v in 0..NV {
                    let sum = s.add(s.add(acc[0][v], acc[1][v]), s.add(acc[2][v], acc[3][v]));
                    s.store(to.add(v * S::LANES), sum);
                }
                t.write(s, to, column, NV);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::gemm::driver::Span;
    use crate::cpu::gemm::epilogue::Addend;
    use crate::cpu::gemm::panels::Panels;
    use crate::cpu::gemm::testing::{close, packed, random};
    use crate::cpu::memory::FloatPtr;
    use crate::cpu::pool::Pool;
    use crate::cpu::simd::doubled::with_both;
    use crate::layers::Activation;

    /// Every remainder of rows and columns around every tile size, with spans of several lengths, and memory beyond the
    /// columns untouched.
    #[test]
    fn products_with_remainders() {
        with_both(products);
    }

    fn products() {
        for pool in [Pool::single(), Pool::new(3)] {
            for m in [1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 97] {
                for n in (1..=18).chain([31, 32, 33, 40]) {
                    for lens in [vec![1], vec![7], vec![3, 3, 3], vec![16, 1]] {
                        check(&pool, m, n, &lens);
                    }
                }
            }
        }
    }

    fn check(pool: &Pool, m: usize, n: usize, lens: &[usize]) {
        let k: usize = lens.iter().sum();
        let left_stride = k + 3 * lens.len() + 2;
        let mut left = random(m * left_stride, 1);
        let right = random(k * n, 2);
        let bias = random(n.next_multiple_of(8), 3);
        let rows: Vec<u32> = (0..m).map(|i| (i * left_stride) as u32).collect();
        let mut offset = 1;
        let spans: Vec<Span> = lens
            .iter()
            .map(|&len| {
                offset += len + 3;
                Span { offset: offset - len - 3, len }
            })
            .collect();
        let taps: Vec<usize> = spans.iter().flat_map(|r| r.offset..r.offset + r.len).collect();
        let panels = Panels::new(k, n);
        let packed = packed(panels, |k, j| right[k * n + j]);
        let pixel_stride = n + 1;
        let truth = |i: usize, j: usize| -> f64 {
            let product = |kk: usize| f64::from(left[i * left_stride + taps[kk]]) * f64::from(right[kk * n + j]);
            (0..k).map(product).sum()
        };
        let want: Vec<f64> = (0..m * n).map(|i| truth(i / n, i % n)).collect();
        let left = FloatPtr::new(&mut left);
        for (start, add) in [(Start::Zero, false), (Start::Bias(&bias), false), (Start::Bias(&bias), true)] {
            let before = random(m * pixel_stride, 4);
            let mut out = before.clone();
            let to = FloatPtr::new(&mut out);
            let addend = add.then_some(Addend { from: to, pixel_stride });
            let operands = Operands { left, rows: &rows, spans: &spans, panels, addend, out: to, pixel_stride };
            let bounds = Bounds::of(matches!(start, Start::Bias(_)).then_some(Activation::Relu));
            let gemm = Gemm { operands, right: &packed, start, bounds };
            // SAFETY: the rows and the output are as large as their strides say.
            unsafe { gemm.run(pool) };
            for i in 0..m {
                for j in 0..n {
                    let got = out[i * pixel_stride + j];
                    let addend = if add { f64::from(before[i * pixel_stride + j]) } else { 0.0 };
                    match start {
                        Start::Zero => close(got, want[i * n + j]),
                        Start::Bias(bias) => close(got, (want[i * n + j] + f64::from(bias[j]) + addend).max(0.0)),
                    }
                }
                assert_eq!(out[i * pixel_stride + n], before[i * pixel_stride + n]);
            }
        }
    }
}
