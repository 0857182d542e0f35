//! Matrix multiplication of integers: the loops of `gemm.rs` over words that hold two codes each, or four.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::gemm::{Addend, Bounds, Panels, Run};
use super::memory::Shared;
use super::pool::Pool;
use super::simd::{self, Access, Kernel, MAX_LANES, MAX_ROWS, Part, Simd, Whole};

/// Rows of the left matrix that one task multiplies with all its panels: as many as stay in the second-level cache.
const BLOCK_ROWS: usize = 96;

/// `out = left * right * scales + bias + addend`, then an activation that tiles can do. Offsets, runs and the panels' rows
/// count words.
pub(super) struct Int8Gemm<'a> {
    pub left: Shared,
    /// Where each row starts.
    pub rows: &'a [u32],
    pub runs: &'a [Run],
    /// A byte for each code of each word of the panels.
    pub right: &'a [i8],
    /// Codes of a word: 2 of 16 bits, or 4 of 8.
    pub word: usize,
    pub panels: Panels,
    /// One value for each column, padded as the panels are.
    pub scales: &'a [f32],
    /// The same.
    pub bias: &'a [f32],
    pub addend: Option<Addend>,
    pub bounds: Bounds,
    pub out: Shared,
    /// Floats from one output row to the next.
    pub pitch: usize,
}

impl Int8Gemm<'_> {
    /// # Safety
    /// Every run of every row must lie in `left`, every row in `addend`, and nobody may write there meanwhile; `out`, which
    /// may be `addend`, must hold all rows, and nobody else may use their columns meanwhile.
    pub(super) unsafe fn run(&self, pool: &Pool) {
        let (rows, panels) = (self.rows.len(), self.panels.count());
        let blocks = rows.div_ceil(BLOCK_ROWS);
        let block = |i: usize| i * BLOCK_ROWS..((i + 1) * BLOCK_ROWS).min(rows);
        if pool.threads() == 1 || rows * self.panels.floats() < 1 << 15 {
            // SAFETY: the caller's promise.
            return (0..blocks).for_each(|i| unsafe { self.block(block(i), 0..panels) });
        }
        // Few blocks of rows: split the panels too, until there is work for all.
        let splits = (4 * pool.threads()).div_ceil(blocks).min(panels);
        pool.run(blocks * splits, &|task| {
            let (i, j) = (task / splits, task % splits);
            // SAFETY: the caller's promise; no two tasks have a row and a panel in common.
            unsafe { self.block(block(i), panels * j / splits..panels * (j + 1) / splits) };
        });
    }

    /// Some rows times some panels.
    ///
    /// # Safety
    /// As [`Int8Gemm::run`], for these rows and the panels' columns.
    unsafe fn block(&self, rows: Range<usize>, panels: Range<usize>) {
        debug_assert_eq!(self.runs.iter().map(|r| r.len).sum::<usize>(), self.panels.k);
        assert!(self.right.len() >= self.word * self.panels.floats() && rows.end <= self.rows.len());
        // SAFETY: nothing is read or written.
        let step = if rows.len() == 1 { 1 } else { unsafe { simd::dispatch(TileRows(self.word)) } };
        for panel in panels {
            for first in rows.clone().step_by(step) {
                let count = step.min(rows.end - first);
                // SAFETY: the caller's promise, and the assertions above.
                unsafe {
                    let tile = self.tile(panel, first, count);
                    match (step, self.panels.width(panel) > self.panels.lanes, self.word) {
                        (1, true, 2) => simd::dispatch(Product::<2, true, false>(&tile)),
                        (1, false, 2) => simd::dispatch(Product::<1, true, false>(&tile)),
                        (_, true, 2) => simd::dispatch(Product::<2, false, false>(&tile)),
                        (_, false, 2) => simd::dispatch(Product::<1, false, false>(&tile)),
                        (1, true, _) => simd::dispatch(Product::<2, true, true>(&tile)),
                        (1, false, _) => simd::dispatch(Product::<1, true, true>(&tile)),
                        (_, true, _) => simd::dispatch(Product::<2, false, true>(&tile)),
                        (_, false, _) => simd::dispatch(Product::<1, false, true>(&tile)),
                    }
                }
            }
        }
    }

    /// # Safety
    /// The rows and the panel must exist.
    unsafe fn tile(&self, panel: usize, first: usize, count: usize) -> Tile<'_> {
        let (column, width) = (self.panels.column(panel), self.panels.width(panel));
        // SAFETY: the rows exist; those beyond the last stand in for it and are not written.
        unsafe {
            Tile {
                left: std::array::from_fn(|m| self.left.at(self.rows[first + m.min(count - 1)] as usize).cast_const()),
                runs: self.runs,
                right: self.right.as_ptr().add(self.word * self.panels.start(panel)),
                scales: self.scales[column..][..width].as_ptr(),
                bias: self.bias[column..][..width].as_ptr(),
                addend: self.addend.map_or(std::ptr::null(), |a| a.from.at(first * a.pitch + column).cast_const()),
                addend_pitch: self.addend.map_or(0, |a| a.pitch),
                bounds: self.bounds,
                out: self.out.at(first * self.pitch + column),
                pitch: self.pitch,
                rows: count,
                columns: self.panels.columns(panel),
            }
        }
    }
}

/// Rows of a tile here, of words of so many codes. Bytes need no register to be widened in.
struct TileRows(usize);

const fn tile_rows<S: Simd>(word: usize) -> usize {
    if word == 4 { S::ROWS } else { S::INT_ROWS }
}

impl Kernel for TileRows {
    type Output = usize;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> usize {
        tile_rows::<S>(self.0)
    }
}

/// The part of a product that fits the registers.
struct Tile<'a> {
    left: [*const f32; MAX_ROWS],
    runs: &'a [Run],
    right: *const i8,
    scales: *const f32,
    bias: *const f32,
    /// Null when nothing is added.
    addend: *const f32,
    addend_pitch: usize,
    bounds: Bounds,
    out: *mut f32,
    pitch: usize,
    rows: usize,
    columns: usize,
}

/// Sums on their way from registers to the output, as in `gemm.rs`.
#[repr(C, align(64))]
struct Sums(MaybeUninit<[f32; MAX_ROWS * 2 * MAX_LANES]>);

impl Tile<'_> {
    /// Makes floats of the sums, finishes and writes them.
    ///
    /// # Safety
    /// S must be available; `sums` holds NV vectors for each row, `out` the rows and their columns.
    #[inline(always)]
    unsafe fn write<S: Simd, const NV: usize>(&self, sums: *const f32) {
        for m in 0..self.rows {
            for v in 0..NV {
                // SAFETY: the caller's promise; no lane beyond the last column is touched.
                unsafe {
                    let sum = S::to_float(S::load(sums.add((m * NV + v) * S::LANES)));
                    let (scale, bias) = (self.scales.add(v * S::LANES), self.bias.add(v * S::LANES));
                    // Not fused, so that every machine rounds twice.
                    let y = S::add(S::mul(sum, S::load(scale)), S::load(bias));
                    let to = self.out.add(m * self.pitch + v * S::LANES);
                    let addend = self.addend.wrapping_add(m * self.addend_pitch + v * S::LANES);
                    let n = self.columns.saturating_sub(v * S::LANES);
                    if n >= S::LANES {
                        self.finish::<S, _>(Whole, y, addend, to);
                    } else if n > 0 {
                        self.finish::<S, _>(Part(n), y, addend, to);
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn finish<S: Simd, A: Access>(&self, a: A, mut y: S::V, addend: *const f32, to: *mut f32) {
        // SAFETY: see `write`.
        unsafe {
            if !self.addend.is_null() {
                y = S::add(a.load::<S>(addend), y);
            }
            a.store::<S>(to, self.bounds.apply::<S>(y));
        }
    }
}

/// One row or [`Simd::INT_ROWS`], times NV vectors of columns; the loop has the shape of that over floats. One row needs
/// no more chains of sums than its vectors, as integers are added in one cycle.
struct Product<'a, const NV: usize, const ONE: bool, const BYTES: bool>(&'a Tile<'a>);

impl<const NV: usize, const ONE: bool, const BYTES: bool> Kernel for Product<'_, NV, ONE, BYTES> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        if BYTES && !S::QUADS {
            return; // Never chosen.
        }
        let word = if BYTES { 4 } else { 2 };
        let (t, rows) = (self.0, if ONE { 1 } else { tile_rows::<S>(word) });
        // SAFETY: the runs lie in `left`, `right` holds a vector row for each word of them; see `Int8Gemm::run`.
        unsafe {
            let mut acc = [[S::splat(0.0); NV]; MAX_ROWS];
            let mut right = t.right;
            for run in t.runs {
                let mut left = [t.left[0]; MAX_ROWS];
                for m in 0..rows {
                    left[m] = t.left[m].add(run.offset);
                }
                for k in 0..run.len {
                    let mut b = [S::splat(0.0); NV];
                    for v in 0..NV {
                        let codes = right.add(word * v * S::LANES);
                        b[v] = if BYTES { S::load(codes.cast()) } else { S::load_pairs(codes) };
                    }
                    for m in 0..rows {
                        let a = S::splat_pair(left[m].add(k));
                        for v in 0..NV {
                            let acc = &mut acc[m][v];
                            *acc = if BYTES { S::dot_bytes(a, b[v], *acc) } else { S::dot(a, b[v], *acc) };
                        }
                    }
                    right = right.add(word * NV * S::LANES);
                }
            }
            let mut sums = Sums(MaybeUninit::uninit());
            let to = sums.0.as_mut_ptr().cast::<f32>();
            for m in 0..rows {
                for v in 0..NV {
                    S::store(to.add((m * NV + v) * S::LANES), acc[m][v]);
                }
            }
            t.write::<S, NV>(to);
        }
    }
}
