//! Matrix multiplication of quantized numbers. An element of the left matrix is a float's 32 bits that hold two quantized
//! inputs of 16 bits, or four of 8: their number is the packing factor.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::driver::{Microkernel, Operands, Tile};
use super::epilogue::Requantize;
use crate::cpu::simd::{self, Access, Kernel, MAX_LANES, MAX_ROWS, Part, Simd, Whole};

/// `out = left * right * scales + bias + addend`, requantized before the addend and bounded or requantized after it.
/// Offsets, spans and the rows of the panels count elements.
#[derive(Clone, Copy)]
pub(crate) struct Int8Gemm<'a> {
    pub operands: Operands<'a>,
    /// The quantized weights, a byte for each; an element of the panels has `packing_factor` of them.
    pub right: &'a [i8],
    /// Quantized inputs in an element: 2 of 16 bits, or 4 of 8.
    pub packing_factor: usize,
    /// Factor of each column, padded as the panels are.
    pub scales: &'a [f32],
    /// Bias of each column, padded as the panels are.
    pub bias: &'a [f32],
    /// Applied to the product before an addend is added; unused without an addend.
    pub requantize: Requantize,
    /// Applied to the sum.
    pub activation: Requantize,
}

impl Microkernel for Int8Gemm<'_> {
    fn operands(&self) -> &Operands<'_> {
        &self.operands
    }

    fn right_len(&self) -> usize {
        self.right.len() / self.packing_factor
    }

    /// A single row has a tile of its own.
    #[inline(always)]
    fn height(&self, rows: usize) -> usize {
        if rows == 1 { 1 } else { rows.min(tile_height(self.packing_factor)) }
    }

    #[inline(always)]
    unsafe fn tile(&self, rows: Range<usize>, panels: Range<usize>) {
        let layout = self.operands.panels;
        let (column, width) = (layout.column(panels.start), layout.width(panels.start));
        let columns = column..column + panels.len() * width;
        let single = rows.len() == 1;
        // SAFETY: the matrices hold the tile; `block` has checked that `right` holds all panels.
        unsafe {
            let tile = Tiles {
                right: self.right.as_ptr().add(self.packing_factor * layout.start(panels.start)),
                scales: self.scales[columns.clone()].as_ptr(),
                bias: self.bias[columns].as_ptr(),
                requantize: self.requantize,
                activation: self.activation,
                tile: self.operands.tile(rows, panels),
            };
            match (single, width > layout.lanes, self.packing_factor) {
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

/// Kernel that returns the rows of a full tile for a packing factor. Bytes need no register to be widened in.
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

/// A tile of quantized numbers.
struct Tiles<'a> {
    tile: Tile<'a>,
    right: *const i8,
    scales: *const f32,
    bias: *const f32,
    requantize: Requantize,
    activation: Requantize,
}

/// Panels whose sums are held until all of them are finished together, so that scales and bounds are loaded once.
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
                let n = self.tile.columns.saturating_sub(v * S::LANES);
                let column = panel * width + v * S::LANES;
                // SAFETY: `sums` holds the vectors of each row, and no lane beyond the last column of `out` is touched.
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
            for m in 0..self.tile.rows {
                // Not fused, so that every machine rounds twice.
                let mut y = s.add(s.mul(s.to_float(s.load_i32(sums.add(m * apart))), scale), bias);
                if !self.tile.addend.is_null() {
                    let addend = a.load(s, self.tile.addend.add(m * self.tile.addend_stride + column));
                    y = s.add(addend, self.requantize.apply(s, y));
                }
                a.store(s, self.tile.out.add(m * self.tile.pixel_stride + column), self.activation.apply(s, y));
            }
        }
    }
}

/// The integers that an element of 32 bits holds.
trait Packing {
    /// Number of the integers in an element.
    const FACTOR: usize;
    /// A vector of elements.
    type V<S: Simd>: Copy;

    /// Loads a vector of elements of the right matrix.
    ///
    /// # Safety
    /// `p` must be valid for reading [`Packing::FACTOR`] bytes for each lane.
    unsafe fn load<S: Simd>(s: S, p: *const i8) -> Self::V<S>;
    /// Returns an element of the left matrix in every lane.
    ///
    /// # Safety
    /// `p` must be valid for reading an element.
    unsafe fn splat<S: Simd>(s: S, p: *const f32) -> Self::V<S>;
    /// Adds the products of the integers in each lane to `acc`.
    fn dot<S: Simd>(s: S, a: Self::V<S>, b: Self::V<S>, acc: S::I32) -> S::I32;
}

/// Two integers of 16 bits.
struct Pairs;

/// Four integers of 8 bits.
struct Quads;

impl Packing for Pairs {
    const FACTOR: usize = 2;
    type V<S: Simd> = S::I16;

    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const i8) -> S::I16 {
        // SAFETY: `p` is valid for reading two bytes for each lane.
        unsafe { s.load_i8_as_i16(p) }
    }
    #[inline(always)]
    unsafe fn splat<S: Simd>(s: S, p: *const f32) -> S::I16 {
        // SAFETY: `p` is valid for reading an element.
        unsafe { s.splat_i16(p.cast()) }
    }
    #[inline(always)]
    fn dot<S: Simd>(s: S, a: S::I16, b: S::I16, acc: S::I32) -> S::I32 {
        s.dot_i16(a, b, acc)
    }
}

impl Packing for Quads {
    const FACTOR: usize = 4;
    type V<S: Simd> = S::I8;

    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const i8) -> S::I8 {
        // SAFETY: `p` is valid for reading four bytes for each lane.
        unsafe { s.load_i8(p) }
    }
    #[inline(always)]
    unsafe fn splat<S: Simd>(s: S, p: *const f32) -> S::I8 {
        // SAFETY: `p` is valid for reading an element.
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

impl<const NV: usize, const ONE: bool, W: Packing> Kernel for Product<'_, NV, ONE, W> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        if W::FACTOR == 4 && !S::DOT_U8 {
            return; // Never chosen.
        }
        let packing_factor = W::FACTOR;
        let (t, rows) = (self.0, if ONE { 1 } else { tile_rows::<S>(packing_factor) });
        // SAFETY: the spans lie in `left`, `right` holds a vector row for each element of them; see `Microkernel::run`.
        unsafe {
            let mut sums = Sums(MaybeUninit::uninit());
            let mut right = t.right;
            for panel in 0..t.tile.panels {
                let mut acc = [[s.zero_i32(); NV]; MAX_ROWS];
                for span in t.tile.spans {
                    let mut left = [t.tile.left[0]; MAX_ROWS];
                    for m in 0..rows {
                        left[m] = t.tile.left[m].add(span.offset);
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
                if held + 1 == HELD_PANELS || panel + 1 == t.tile.panels {
                    t.write(s, to, panel - held..panel + 1, rows, NV);
                }
            }
        }
    }
}
