//! Matrix multiplication: everything with weights becomes one of these two loops.
//!
//! The left matrix is never copied. Its row for an output pixel is a few spans of floats that lie in the map as they are
//! (a convolution's window: one span for each kernel row), so a row is an offset and all rows share the same spans. The
//! right matrix is packed: panels of as many columns as a tile is wide, in each panel row after row.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::driver::{BLOCK_ROWS, Span, block, walk};
use super::epilogue::{Addend, Bounds, Start};
use super::panels::Panels;
use crate::cpu::memory::FloatPtr;
use crate::cpu::pool::Pool;
use crate::cpu::simd::{self, Access, Kernel, MAX_LANES, MAX_ROWS, Part, Simd, Whole};

/// Rows of the lower tile.
const FEW_ROWS: usize = 4;

/// `out = left * right + start + addend`, then an activation that tiles can do.
pub(crate) struct Gemm<'a> {
    pub left: FloatPtr,
    /// Where each row starts.
    pub rows: &'a [u32],
    pub spans: &'a [Span],
    pub right: &'a [f32],
    pub panels: Panels,
    pub start: Start<'a>,
    pub addend: Option<Addend>,
    pub bounds: Bounds,
    pub out: FloatPtr,
    /// Floats from one output row to the next.
    pub pixel_stride: usize,
}

impl Gemm<'_> {
    /// # Safety
    /// Every span of every row must lie in `left`, every row in `addend`, and nobody may write there meanwhile; `out`, which
    /// may be `addend`, must hold all rows, and nobody else may use their columns meanwhile.
    pub(crate) unsafe fn run(&self, pool: &Pool) {
        let (rows, panels) = (self.rows.len(), self.panels.count());
        let blocks = rows.div_ceil(BLOCK_ROWS);
        if pool.threads() == 1 || self.rows.len() * self.panels.n * self.panels.k < 1 << 15 {
            // SAFETY: the caller's promise.
            (0..blocks).for_each(|i| unsafe { self.block(block(i, rows), 0..panels) });
            return;
        }
        // Few blocks of rows: split the panels too, until there is work for all.
        let splits = (4 * pool.threads()).div_ceil(blocks).min(panels);
        pool.run(blocks * splits, &|task| {
            let (i, j) = (task / splits, task % splits);
            // SAFETY: the caller's promise; no two tasks have a row and a panel in common.
            unsafe { self.block(block(i, rows), panels * j / splits..panels * (j + 1) / splits) };
        });
    }

    /// Some rows times some panels.
    ///
    /// # Safety
    /// As [`Gemm::run`], for these rows and the panels' columns.
    pub(crate) unsafe fn block(&self, rows: Range<usize>, panels: Range<usize>) {
        debug_assert_eq!(self.spans.iter().map(|r| r.len).sum::<usize>(), self.panels.k);
        assert!(self.right.len() >= self.panels.floats() && rows.end <= self.rows.len());
        // SAFETY: the caller's promise, and the assertions above.
        walk(self.panels, rows, panels, height, |rows, panels| unsafe { self.tiles(rows, panels) });
    }

    /// Rows of a tile times panels that are whole, or one that is not.
    ///
    /// # Safety
    /// As [`Gemm::block`].
    #[inline(always)]
    unsafe fn tiles(&self, rows: Range<usize>, panels: Range<usize>) {
        let (first, last) = (rows.start, rows.end - 1);
        let (column, width) = (self.panels.column(panels.start), self.panels.width(panels.start));
        let start = match self.start {
            Start::Bias(bias) => bias[column..][..panels.len() * width].as_ptr(),
            Start::Zero => std::ptr::null(),
        };
        // SAFETY: the caller's promise.
        unsafe {
            let tile = Tiles {
                // Rows beyond the last stand in for it and are not written.
                left: std::array::from_fn(|m| self.left.at(self.rows[last.min(first + m)] as usize).cast_const()),
                spans: self.spans,
                right: self.right.as_ptr().add(self.panels.start(panels.start)),
                panels: panels.len(),
                start,
                addend: self
                    .addend
                    .map_or(std::ptr::null(), |a| a.from.at(first * a.pixel_stride + column).cast_const()),
                addend_stride: self.addend.map_or(0, |a| a.pixel_stride),
                bounds: self.bounds,
                out: self.out.at(first * self.pixel_stride + column),
                pixel_stride: self.pixel_stride,
                rows: rows.len(),
                columns: self.panels.columns(panels.start),
            };
            match (rows.len() == 1, is_few(rows.len()), width > self.panels.lanes) {
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

/// Whether so many rows are for the lower tile, where a full one is higher.
fn is_few(rows: usize) -> bool {
    rows <= FEW_ROWS && FEW_ROWS < simd::rows()
}

/// How many of these rows a tile takes.
fn height(rows: usize) -> usize {
    if is_few(rows) { rows } else { rows.min(simd::rows()) }
}

/// Parts of a product that fit the registers, one after the other: rows times panels that follow each other. What is passed
/// to a kernel is passed once for all of them.
struct Tiles<'a> {
    left: [*const f32; MAX_ROWS],
    spans: &'a [Span],
    right: *const f32,
    panels: usize,
    /// Null when sums start at zero.
    start: *const f32,
    /// Null when nothing is added.
    addend: *const f32,
    addend_stride: usize,
    bounds: Bounds,
    out: *mut f32,
    pixel_stride: usize,
    rows: usize,
    /// Of a panel.
    columns: usize,
}

impl Tiles<'_> {
    /// The first column of each panel, counted from that of the first.
    #[inline(always)]
    fn firsts<S: Simd, const NV: usize>(&self) -> impl Iterator<Item = usize> + use<S, NV> {
        (0..self.panels).map(|panel| panel * NV * S::LANES)
    }

    /// # Safety
    /// `start` is null or holds NV vectors from this column on.
    #[inline(always)]
    unsafe fn starts<S: Simd, const NV: usize>(&self, s: S, column: usize) -> [S::F32; NV] {
        // SAFETY: the caller's promise.
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
        for m in 0..self.rows {
            for v in 0..vectors {
                // SAFETY: the caller's promise; no lane beyond the last column is touched.
                unsafe {
                    let y = s.load(sums.add((m * vectors + v) * S::LANES));
                    let to = self.out.add(m * self.pixel_stride + column + v * S::LANES);
                    let addend = self.addend.wrapping_add(m * self.addend_stride + column + v * S::LANES);
                    let n = self.columns.saturating_sub(v * S::LANES);
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
            if !self.addend.is_null() {
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
        // SAFETY: the spans lie in `left`, `right` holds a vector row for each float of them; see `Gemm::run`.
        unsafe {
            let mut right = t.right;
            for column in t.firsts::<S, NV>() {
                let mut acc = [t.starts::<_, NV>(s, column); MAX_ROWS];
                for span in t.spans {
                    let mut left = [t.left[0]; MAX_ROWS];
                    for m in 0..rows {
                        left[m] = t.left[m].add(span.offset);
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
                if t.rows == rows && t.columns >= NV * S::LANES {
                    for m in 0..rows {
                        for v in 0..NV {
                            let at = m * t.addend_stride + column + v * S::LANES;
                            let to = t.out.add(m * t.pixel_stride + column + v * S::LANES);
                            t.finish(s, Whole, acc[m][v], t.addend.wrapping_add(at), to);
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
                for span in t.spans {
                    let mut left = t.left[0].add(span.offset);
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
    use crate::cpu::gemm::testing::{close, packed, random};
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
            let gemm = Gemm {
                left,
                rows: &rows,
                spans: &spans,
                right: &packed,
                panels,
                start,
                addend: add.then_some(Addend { from: to, pixel_stride }),
                bounds: Bounds::of(matches!(start, Start::Bias(_)).then_some(Activation::Relu)),
                out: to,
                pixel_stride,
            };
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
