//! The driver of matrix products over the microkernels of floats and of quantized weights: blocks of rows for threads and
//! for the second-level cache, groups of panels for the first-level cache.

use std::ops::Range;

use super::epilogue::Addend;
use super::panels::Panels;
use crate::cpu::memory::FloatPtr;
use crate::cpu::pool::Pool;
use crate::cpu::simd::MAX_ROWS;

/// Rows of the left matrix that one task multiplies with all its panels, to stay in the second-level cache.
const BLOCK_ROWS: usize = 96;

/// Floats of the panels that a tile's rows are multiplied with before the next rows, to stay in the first-level cache or
/// in the second-level cache.
const GROUP_FLOATS: [usize; 2] = [4096, 65536];

/// Least rows, and most floats in them, for which panels should stay in the first-level cache. Fewer rows read the panels
/// too seldom: panels then come from memory, faster as one long stream. Longer rows leave no space for the panels.
const MANY_ROWS: usize = 32;
const MANY_FLOATS: usize = 6144;

/// Neighbouring floats at an equal offset in every row of the left matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Floats from the start of the row.
    pub offset: usize,
    pub len: usize,
}

/// The matrices of a product that every kind of number shares: `out = left * right`, then `addend` is added.
#[derive(Clone, Copy)]
pub(crate) struct Operands<'a> {
    pub left: FloatPtr,
    /// Offset of each row in `left`.
    pub rows: &'a [u32],
    /// Neighbouring elements of each row, from its offset on.
    pub spans: &'a [Span],
    /// The packed form of the right matrix; its rows are the elements of the spans.
    pub panels: Panels,
    pub addend: Option<Addend>,
    pub out: FloatPtr,
    /// Floats from one output row to the next.
    pub pixel_stride: usize,
}

impl<'a> Operands<'a> {
    /// Returns the addresses of a tile: rows that fit the registers times panels that are whole, or one that is not.
    ///
    /// # Safety
    /// `left`, `addend` and `out` must hold these rows, as [`Microkernel::run`] says.
    #[inline(always)]
    pub(super) unsafe fn tile(&self, rows: Range<usize>, panels: Range<usize>) -> Tile<'a> {
        let (first, last, column) = (rows.start, rows.end - 1, self.panels.column(panels.start));
        // SAFETY: the offset of every row lies in `left`; rows and columns of the tile lie in `addend` and `out`.
        unsafe {
            Tile {
                left: std::array::from_fn(|m| self.left.at(self.rows[last.min(first + m)] as usize).cast_const()),
                spans: self.spans,
                panels: panels.len(),
                addend: self
                    .addend
                    .map_or(std::ptr::null(), |a| a.from.at(first * a.pixel_stride + column).cast_const()),
                addend_stride: self.addend.map_or(0, |a| a.pixel_stride),
                out: self.out.at(first * self.pixel_stride + column),
                pixel_stride: self.pixel_stride,
                rows: rows.len(),
                columns: self.panels.columns(panels.start),
            }
        }
    }
}

/// Parts of a product that fit the registers, one after the other: rows times panels that follow each other. A kernel is
/// called once for all of them.
pub(super) struct Tile<'a> {
    /// The rows. The last row stands in for rows beyond it, which are not written.
    pub left: [*const f32; MAX_ROWS],
    pub spans: &'a [Span],
    pub panels: usize,
    /// Null when nothing is added.
    pub addend: *const f32,
    pub addend_stride: usize,
    pub out: *mut f32,
    pub pixel_stride: usize,
    pub rows: usize,
    /// Columns of a panel.
    pub columns: usize,
}

/// A kernel that computes tiles of a matrix product. The provided methods are the driver of all kernels: they hand blocks
/// of the product to threads, and walk over each block in the order that suits the caches. The driver is compiled for each
/// kernel.
pub(crate) trait Microkernel: Sync {
    /// Returns the matrices.
    fn operands(&self) -> &Operands<'_>;

    /// Returns how many elements the right matrix has, in units of the panels.
    fn right_len(&self) -> usize;

    /// Returns the number of rows of the next tile, of `rows` remaining rows.
    fn height(&self, rows: usize) -> usize;

    /// Computes some rows, at most [`Microkernel::height`], times panels that are whole, or one that is not.
    ///
    /// # Safety
    /// [`Microkernel::block`] has checked `rows` and `panels`, and the matrices hold them as [`Microkernel::run`] says.
    unsafe fn tile(&self, rows: Range<usize>, panels: Range<usize>);

    /// Computes the product on all threads.
    ///
    /// # Safety
    /// Every span of every row must lie in `left` and every row in `addend`, and no task may write there meanwhile. `out`,
    /// which may be `addend`, must hold all rows, and nothing else may use their columns meanwhile.
    unsafe fn run(&self, pool: &Pool) {
        let Operands { rows, panels, .. } = *self.operands();
        let (rows, count) = (rows.len(), panels.count());
        let blocks = rows.div_ceil(BLOCK_ROWS);
        // Few blocks of rows: split the panels too, until there is work for all.
        let splits =
            if is_small(pool, rows * panels.floats()) { 1 } else { (4 * pool.threads()).div_ceil(blocks).min(count) };
        let block = |task: usize| {
            let (i, j) = (task / splits, task % splits);
            let rows = i * BLOCK_ROWS..((i + 1) * BLOCK_ROWS).min(rows);
            // SAFETY: the matrices hold all rows and panels, and no two blocks have a row and a panel in common.
            unsafe { self.block(rows, count * j / splits..count * (j + 1) / splits) };
        };
        if is_small(pool, rows * panels.floats()) {
            (0..blocks).for_each(block);
        } else {
            pool.run(blocks * splits, &block);
        }
    }

    /// Computes some rows times some panels on this thread.
    ///
    /// # Safety
    /// The matrices must hold these rows and panels, as [`Microkernel::run`] says of all.
    unsafe fn block(&self, rows: Range<usize>, panels: Range<usize>) {
        let operands = self.operands();
        debug_assert_eq!(operands.spans.iter().map(|span| span.len).sum::<usize>(), operands.panels.k);
        assert!(self.right_len() >= operands.panels.floats() && rows.end <= operands.rows.len());
        // SAFETY: the tiles lie within `rows` and `panels`, and the right matrix holds all panels by the assertion above.
        walk(
            operands.panels,
            rows,
            panels,
            |rows| self.height(rows),
            |rows, panels| unsafe { self.tile(rows, panels) },
        );
    }
}

/// True if a product of this many multiplications is not worth sharing among threads.
pub(super) fn is_small(pool: &Pool, multiplications: usize) -> bool {
    pool.threads() == 1 || multiplications < 1 << 15
}

/// Calls `tile(rows, panels)` for all rows and panels of a block, in the order that suits the caches. `height` says how
/// many of the remaining rows a tile takes; the panels of a tile are whole, or one that is not.
#[inline(always)]
fn walk(
    panels: Panels,
    rows: Range<usize>,
    range: Range<usize>,
    height: impl Fn(usize) -> usize,
    tile: impl Fn(Range<usize>, Range<usize>),
) {
    let Panels { k, n, lanes } = panels;
    let often = rows.len() >= MANY_ROWS && rows.len() * k <= MANY_FLOATS;
    let group = (GROUP_FLOATS[usize::from(!often)] / (k * 2 * lanes)).max(1);
    for panel in range.clone().step_by(group) {
        let end = (panel + group).min(range.end);
        let whole = end.min(n / (2 * lanes)).max(panel);
        let mut first = rows.start;
        while first < rows.end {
            let next = first + height(rows.end - first);
            if whole > panel {
                tile(first..next, panel..whole);
            }
            if whole < end {
                tile(first..next, whole..end);
            }
            first = next;
        }
    }
}
