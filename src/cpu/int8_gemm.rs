//! Matrix multiplication of integers: the loops of `gemm.rs` over words that hold two codes each, or four.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::gemm::{Addend, Bounds, Panels, Run, walk};
use super::memory::Shared;
use super::pool::Pool;
use super::simd::{self, Access, Kernel, MAX_LANES, MAX_ROWS, Part, Simd, Whole};
use crate::layers::Activation;

/// Rows of the left matrix that one task multiplies with all its panels: as many as stay in the second-level cache.
const BLOCK_ROWS: usize = 96;

/// `out = left * right * scales + bias + addend`, rounded before the addend and bounded or rounded after it. Offsets, runs
/// and the panels' rows count words.
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
    /// What becomes of a product that something is added to.
    pub rounding: Rounding,
    /// What is added then.
    pub addend: Option<Addend>,
    /// What becomes of the sum.
    pub ending: Rounding,
    pub out: Shared,
    /// Floats from one output row to the next.
    pub pixel_stride: usize,
}

/// Bounds and, where there is a step, whole steps between them.
#[derive(Clone, Copy)]
pub(super) struct Rounding {
    bounds: Bounds,
    /// 0 for none.
    step: f32,
    inverse: f32,
}

impl Rounding {
    /// That of an activation; none when it neither bounds nor rounds.
    pub(super) fn of(activation: Option<Activation>) -> Self {
        match activation {
            Some(Activation::FakeQuantize { scale, low, high }) => Rounding {
                bounds: Bounds::of(Some(Activation::Clip { min: low, max: high })),
                step: scale,
                inverse: 1.0 / scale,
            },
            other => Rounding { bounds: Bounds::of(other), step: 0.0, inverse: 0.0 },
        }
    }

    /// # Safety
    /// S must be available.
    #[inline(always)]
    unsafe fn apply<S: Simd>(self, x: S::V) -> S::V {
        // SAFETY: arithmetic only; S is available by the caller's promise.
        unsafe {
            if self.step == 0.0 {
                return self.bounds.apply::<S>(x);
            }
            let bounded = self.bounds.apply::<S>(S::mul(x, S::splat(self.inverse)));
            S::mul(S::round(bounded), S::splat(self.step))
        }
    }
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
        let full = tile_height(self.word);
        // One row that is left has a tile of its own.
        let height = |left: usize| if left == 1 { 1 } else { left.min(full) };
        // SAFETY: the caller's promise, and the assertions above.
        walk(self.panels, rows, panels, height, |rows, panels| unsafe { self.tiles(rows, panels) });
    }

    /// Rows of a tile times panels that are whole, or one that is not.
    ///
    /// # Safety
    /// As [`Int8Gemm::block`].
    #[inline(always)]
    unsafe fn tiles(&self, rows: Range<usize>, panels: Range<usize>) {
        let (first, last) = (rows.start, rows.end - 1);
        let (column, width) = (self.panels.column(panels.start), self.panels.width(panels.start));
        let columns = column..column + panels.len() * width;
        // SAFETY: the caller's promise.
        unsafe {
            let tile = Tiles {
                // Rows beyond the last stand in for it and are not written.
                left: std::array::from_fn(|m| self.left.at(self.rows[last.min(first + m)] as usize).cast_const()),
                runs: self.runs,
                right: self.right.as_ptr().add(self.word * self.panels.start(panels.start)),
                panels: panels.len(),
                scales: self.scales[columns.clone()].as_ptr(),
                bias: self.bias[columns].as_ptr(),
                addend: self
                    .addend
                    .map_or(std::ptr::null(), |a| a.from.at(first * a.pixel_stride + column).cast_const()),
                addend_pitch: self.addend.map_or(0, |a| a.pixel_stride),
                rounding: self.rounding,
                ending: self.ending,
                out: self.out.at(first * self.pixel_stride + column),
                pixel_stride: self.pixel_stride,
                rows: rows.len(),
                columns: self.panels.columns(panels.start),
            };
            match (rows.len() == 1, width > self.panels.lanes, self.word) {
                (true, true, 2) => simd::dispatch(Product::<2, true, false>(&tile)),
                (true, false, 2) => simd::dispatch(Product::<1, true, false>(&tile)),
                (false, true, 2) => simd::dispatch(Product::<2, false, false>(&tile)),
                (false, false, 2) => simd::dispatch(Product::<1, false, false>(&tile)),
                (true, true, _) => simd::dispatch(Product::<2, true, true>(&tile)),
                (true, false, _) => simd::dispatch(Product::<1, true, true>(&tile)),
                (false, true, _) => simd::dispatch(Product::<2, false, true>(&tile)),
                (false, false, _) => simd::dispatch(Product::<1, false, true>(&tile)),
            }
        }
    }
}

/// Rows of a tile here, of words of so many codes. Bytes need no register to be widened in.
struct TileRows(usize);

const fn tile_rows<S: Simd>(word: usize) -> usize {
    if word == 4 { S::ROWS } else { S::INT_ROWS }
}

/// Rows of a full tile.
pub(super) fn tile_height(word: usize) -> usize {
    // SAFETY: nothing is read or written.
    unsafe { simd::dispatch(TileRows(word)) }
}

impl Kernel for TileRows {
    type Output = usize;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> usize {
        tile_rows::<S>(self.0)
    }
}

/// Parts of a product that fit the registers, as in `gemm.rs`: rows times panels that follow each other.
struct Tiles<'a> {
    left: [*const f32; MAX_ROWS],
    runs: &'a [Run],
    right: *const i8,
    panels: usize,
    scales: *const f32,
    bias: *const f32,
    /// Null when nothing is added.
    addend: *const f32,
    addend_pitch: usize,
    rounding: Rounding,
    ending: Rounding,
    out: *mut f32,
    pixel_stride: usize,
    rows: usize,
    /// Of a panel.
    columns: usize,
}

/// Panels whose sums wait until all of them are finished: what that needs in registers is loaded once.
const HELD_PANELS: usize = 8;

/// Sums on their way from registers to the output, as in `gemm.rs`.
#[repr(C, align(64))]
struct Sums(MaybeUninit<[f32; HELD_PANELS * MAX_ROWS * 2 * MAX_LANES]>);

impl Tiles<'_> {
    /// Finishes and writes the rows of these panels, some lanes at the end of a row alone.
    ///
    /// # Safety
    /// S must be available; `sums` holds `vectors` of each of `rows` for each panel, `out` the rows that exist and their
    /// columns.
    // Natively S is only known to be available where this is inlined; in wasm one function serves all products.
    #[cfg_attr(target_arch = "wasm32", inline(never))]
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    unsafe fn write<S: Simd>(&self, sums: *const f32, panels: Range<usize>, rows: usize, vectors: usize) {
        let (width, size) = (vectors * S::LANES, rows * vectors * S::LANES);
        for (i, panel) in panels.enumerate() {
            for v in 0..vectors {
                let n = self.columns.saturating_sub(v * S::LANES);
                let column = panel * width + v * S::LANES;
                // SAFETY: the caller's promise; no lane beyond the last column is touched.
                unsafe {
                    let sums = sums.add(i * size + v * S::LANES);
                    if n >= S::LANES {
                        self.finish::<S, _>(Whole, sums, width, column);
                    } else if n > 0 {
                        self.finish::<S, _>(Part(n), sums, width, column);
                    }
                }
            }
        }
    }

    /// Makes floats of the rows' sums at this column, which are so far apart, adds, bounds and writes them.
    ///
    /// # Safety
    /// As `write`.
    #[inline(always)]
    unsafe fn finish<S: Simd, A: Access>(&self, a: A, sums: *const f32, apart: usize, column: usize) {
        // SAFETY: see `write`.
        unsafe {
            let (scale, bias) = (S::load(self.scales.add(column)), S::load(self.bias.add(column)));
            for m in 0..self.rows {
                // Not fused, so that every machine rounds twice.
                let mut y = S::add(S::mul(S::to_float(S::load(sums.add(m * apart))), scale), bias);
                if !self.addend.is_null() {
                    let addend = a.load::<S>(self.addend.add(m * self.addend_pitch + column));
                    y = S::add(addend, self.rounding.apply::<S>(y));
                }
                a.store::<S>(self.out.add(m * self.pixel_stride + column), self.ending.apply::<S>(y));
            }
        }
    }
}

/// One row or [`Simd::INT_ROWS`], times NV vectors of columns; the loop has the shape of that over floats. One row needs
/// no more chains of sums than its vectors, as integers are added in one cycle.
struct Product<'a, const NV: usize, const ONE: bool, const BYTES: bool>(&'a Tiles<'a>);

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
            let mut sums = Sums(MaybeUninit::uninit());
            let mut right = t.right;
            for panel in 0..t.panels {
                let mut acc = [[S::splat(0.0); NV]; MAX_ROWS];
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
                let held = panel % HELD_PANELS;
                let to = sums.0.as_mut_ptr().cast::<f32>();
                for m in 0..rows {
                    for v in 0..NV {
                        S::store(to.add(((held * rows + m) * NV + v) * S::LANES), acc[m][v]);
                    }
                }
                if held + 1 == HELD_PANELS || panel + 1 == t.panels {
                    t.write::<S>(to, panel - held..panel + 1, rows, NV);
                }
            }
        }
    }
}
