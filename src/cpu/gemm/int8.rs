//! Matrix multiplication of integers: the loops of `f32.rs` over words that hold two codes each, or four.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::driver::{BLOCK_ROWS, Span, block, walk};
use super::epilogue::{Addend, Requantize};
use super::panels::Panels;
use crate::cpu::memory::FloatPtr;
use crate::cpu::pool::Pool;
use crate::cpu::simd::{self, Access, Kernel, MAX_LANES, MAX_ROWS, Part, Simd, Whole};

/// `out = left * right * scales + bias + addend`, rounded before the addend and bounded or rounded after it. Offsets, spans
/// and the panels' rows count words.
pub(crate) struct Int8Gemm<'a> {
    pub left: FloatPtr,
    /// Where each row starts.
    pub rows: &'a [u32],
    pub spans: &'a [Span],
    /// A byte for each code of each word of the panels.
    pub right: &'a [i8],
    /// Codes of a packing_factor: 2 of 16 bits, or 4 of 8.
    pub packing_factor: usize,
    pub panels: Panels,
    /// One value for each column, padded as the panels are.
    pub scales: &'a [f32],
    /// The same.
    pub bias: &'a [f32],
    /// What becomes of a product that something is added to.
    pub requantize: Requantize,
    /// What is added then.
    pub addend: Option<Addend>,
    /// What becomes of the sum.
    pub activation: Requantize,
    pub out: FloatPtr,
    /// Floats from one output row to the next.
    pub pixel_stride: usize,
}

impl Int8Gemm<'_> {
    /// # Safety
    /// Every span of every row must lie in `left`, every row in `addend`, and nobody may write there meanwhile; `out`, which
    /// may be `addend`, must hold all rows, and nobody else may use their columns meanwhile.
    pub(crate) unsafe fn run(&self, pool: &Pool) {
        let (rows, panels) = (self.rows.len(), self.panels.count());
        let blocks = rows.div_ceil(BLOCK_ROWS);
        if pool.threads() == 1 || rows * self.panels.floats() < 1 << 15 {
            // SAFETY: the caller's promise.
            return (0..blocks).for_each(|i| unsafe { self.block(block(i, rows), 0..panels) });
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
    /// As [`Int8Gemm::run`], for these rows and the panels' columns.
    unsafe fn block(&self, rows: Range<usize>, panels: Range<usize>) {
        debug_assert_eq!(self.spans.iter().map(|r| r.len).sum::<usize>(), self.panels.k);
        assert!(self.right.len() >= self.packing_factor * self.panels.floats() && rows.end <= self.rows.len());
        let full = tile_height(self.packing_factor);
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
                spans: self.spans,
                right: self.right.as_ptr().add(self.packing_factor * self.panels.start(panels.start)),
                panels: panels.len(),
                scales: self.scales[columns.clone()].as_ptr(),
                bias: self.bias[columns].as_ptr(),
                addend: self
                    .addend
                    .map_or(std::ptr::null(), |a| a.from.at(first * a.pixel_stride + column).cast_const()),
                addend_stride: self.addend.map_or(0, |a| a.pixel_stride),
                requantize: self.requantize,
                activation: self.activation,
                out: self.out.at(first * self.pixel_stride + column),
                pixel_stride: self.pixel_stride,
                rows: rows.len(),
                columns: self.panels.columns(panels.start),
            };
            match (rows.len() == 1, width > self.panels.lanes, self.packing_factor) {
                (true, true, 2) => simd::dispatch(Product::<2, true, _>(&tile, Pairs)),
                (true, false, 2) => simd::dispatch(Product::<1, true, _>(&tile, Pairs)),
                (false, true, 2) => simd::dispatch(Product::<2, false, _>(&tile, Pairs)),
                (false, false, 2) => simd::dispatch(Product::<1, false, _>(&tile, Pairs)),
                (true, true, _) => simd::dispatch(Product::<2, true, _>(&tile, Quads)),
                (true, false, _) => simd::dispatch(Product::<1, true, _>(&tile, Quads)),
                (false, true, _) => simd::dispatch(Product::<2, false, _>(&tile, Quads)),
                (false, false, _) => simd::dispatch(Product::<1, false, _>(&tile, Quads)),
            }
        }
    }
}

/// Rows of a tile here, of words of so many codes. Bytes need no register to be widened in.
struct TileRows(usize);

const fn tile_rows<S: Simd>(packing_factor: usize) -> usize {
    if packing_factor == 4 { S::ROWS } else { S::INT_ROWS }
}

/// Rows of a full tile.
pub(crate) fn tile_height(packing_factor: usize) -> usize {
    // SAFETY: nothing is read or written.
    unsafe { simd::dispatch(TileRows(packing_factor)) }
}

impl Kernel for TileRows {
    type Output = usize;

    #[inline(always)]
    unsafe fn run<S: Simd>(self, _s: S) -> usize {
        tile_rows::<S>(self.0)
    }
}

/// Parts of a product that fit the registers, as in `f32.rs`: rows times panels that follow each other.
struct Tiles<'a> {
    left: [*const f32; MAX_ROWS],
    spans: &'a [Span],
    right: *const i8,
    panels: usize,
    scales: *const f32,
    bias: *const f32,
    /// Null when nothing is added.
    addend: *const f32,
    addend_stride: usize,
    requantize: Requantize,
    activation: Requantize,
    out: *mut f32,
    pixel_stride: usize,
    rows: usize,
    /// Of a panel.
    columns: usize,
}

/// Panels whose sums wait until all of them are finished: what that needs in registers is loaded once.
const HELD_PANELS: usize = 8;

/// Sums on their way from registers to the output, as in `f32.rs`.
#[repr(C, align(64))]
struct Sums(MaybeUninit<[i32; HELD_PANELS * MAX_ROWS * 2 * MAX_LANES]>);

impl Tiles<'_> {
    /// Finishes and writes the rows of these panels, some lanes at the end of a row alone.
    ///
    /// # Safety
    /// `sums` holds `vectors` of each of `rows` for each panel, `out` the rows that exist and their
    /// columns.
    // Natively S is only known to be available where this is inlined; in wasm one function serves all products.
    #[cfg_attr(target_arch = "wasm32", inline(never))]
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    unsafe fn write<S: Simd>(&self, s: S, sums: *const i32, panels: Range<usize>, rows: usize, vectors: usize) {
        let (width, size) = (vectors * S::LANES, rows * vectors * S::LANES);
        for (i, panel) in panels.enumerate() {
            for v in 0..vectors {
                let n = self.columns.saturating_sub(v * S::LANES);
                let column = panel * width + v * S::LANES;
                // SAFETY: the caller's promise; no lane beyond the last column is touched.
                unsafe {
                    let sums = sums.add(i * size + v * S::LANES);
                    if n >= S::LANES {
                        self.finish(s, Whole, sums, width, column);
                    } else if n > 0 {
                        self.finish(s, Part(n), sums, width, column);
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
    unsafe fn finish<S: Simd, A: Access>(&self, s: S, a: A, sums: *const i32, apart: usize, column: usize) {
        // SAFETY: see `write`.
        unsafe {
            let (scale, bias) = (s.load(self.scales.add(column)), s.load(self.bias.add(column)));
            for m in 0..self.rows {
                // Not fused, so that every machine rounds twice.
                let mut y = s.add(s.mul(s.to_float(s.load_i32(sums.add(m * apart))), scale), bias);
                if !self.addend.is_null() {
                    let addend = a.load(s, self.addend.add(m * self.addend_stride + column));
                    y = s.add(addend, self.requantize.apply(s, y));
                }
                a.store(s, self.out.add(m * self.pixel_stride + column), self.activation.apply(s, y));
            }
        }
    }
}

/// The integers that a word of 32 bits holds.
trait Word {
    /// How many.
    const LEN: usize;
    /// A vector of words.
    type V<S: Simd>: Copy;

    /// # Safety
    /// `p` must be valid for reading [`Word::LEN`] bytes for each lane.
    unsafe fn load<S: Simd>(s: S, p: *const i8) -> Self::V<S>;
    /// # Safety
    /// `p` must be valid for reading a word.
    unsafe fn splat<S: Simd>(s: S, p: *const f32) -> Self::V<S>;
    fn dot<S: Simd>(s: S, a: Self::V<S>, b: Self::V<S>, acc: S::I32) -> S::I32;
}

/// Two of 16 bits.
struct Pairs;

/// Four of 8 bits.
struct Quads;

impl Word for Pairs {
    const LEN: usize = 2;
    type V<S: Simd> = S::I16;

    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const i8) -> S::I16 {
        // SAFETY: `p` is valid for reading two bytes for each lane.
        unsafe { s.load_i8_as_i16(p) }
    }
    #[inline(always)]
    unsafe fn splat<S: Simd>(s: S, p: *const f32) -> S::I16 {
        // SAFETY: `p` is valid for reading a word.
        unsafe { s.splat_i16(p.cast()) }
    }
    #[inline(always)]
    fn dot<S: Simd>(s: S, a: S::I16, b: S::I16, acc: S::I32) -> S::I32 {
        s.dot_i16(a, b, acc)
    }
}

impl Word for Quads {
    const LEN: usize = 4;
    type V<S: Simd> = S::I8;

    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const i8) -> S::I8 {
        // SAFETY: `p` is valid for reading four bytes for each lane.
        unsafe { s.load_i8(p) }
    }
    #[inline(always)]
    unsafe fn splat<S: Simd>(s: S, p: *const f32) -> S::I8 {
        // SAFETY: `p` is valid for reading a word.
        unsafe { s.splat_i8(p.cast()) }
    }
    #[inline(always)]
    fn dot<S: Simd>(s: S, a: S::I8, b: S::I8, acc: S::I32) -> S::I32 {
        s.dot_u8(a, b, acc)
    }
}

/// One row or [`Simd::INT_ROWS`], times NV vectors of columns; the loop has the shape of that over floats. One row needs
/// no more chains of sums than its vectors, as integers are added in one cycle.
struct Product<'a, const NV: usize, const ONE: bool, W>(&'a Tiles<'a>, W);

impl<const NV: usize, const ONE: bool, W: Word> Kernel for Product<'_, NV, ONE, W> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        if W::LEN == 4 && !S::DOT_U8 {
            return; // Never chosen.
        }
        let packing_factor = W::LEN;
        let (t, rows) = (self.0, if ONE { 1 } else { tile_rows::<S>(packing_factor) });
        // SAFETY: the spans lie in `left`, `right` holds a vector row for each word of them; see `Int8Gemm::run`.
        unsafe {
            let mut sums = Sums(MaybeUninit::uninit());
            let mut right = t.right;
            for panel in 0..t.panels {
                let mut acc = [[s.zero_i32(); NV]; MAX_ROWS];
                for span in t.spans {
                    let mut left = [t.left[0]; MAX_ROWS];
                    for m in 0..rows {
                        left[m] = t.left[m].add(span.offset);
                    }
                    for k in 0..span.len {
                        let mut b = [W::load(s, right); NV];
                        for v in 1..NV {
                            b[v] = W::load(s, right.add(packing_factor * v * S::LANES));
                        }
                        for m in 0..rows {
                            let a = W::splat(s, left[m].add(k));
                            for v in 0..NV {
                                acc[m][v] = W::dot(s, a, b[v], acc[m][v]);
                            }
                        }
                        right = right.add(packing_factor * NV * S::LANES);
                    }
                }
                let held = panel % HELD_PANELS;
                let to = sums.0.as_mut_ptr().cast::<i32>();
                for m in 0..rows {
                    for v in 0..NV {
                        s.store_i32(to.add(((held * rows + m) * NV + v) * S::LANES), acc[m][v]);
                    }
                }
                if held + 1 == HELD_PANELS || panel + 1 == t.panels {
                    t.write(s, to, panel - held..panel + 1, rows, NV);
                }
            }
        }
    }
}
