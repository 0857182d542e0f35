//! Matrix multiplication: everything with weights becomes one of these two loops.
//!
//! The left matrix is never copied. Its row for an output pixel is a few runs of floats that lie in the map as they are
//! (a convolution's window: one run for each kernel row), so a row is an offset and all rows share the same runs. The
//! right matrix is packed: panels of as many columns as a tile is wide, in each panel row after row.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::elementwise::activate;
use super::memory::{Map, Shared, split};
use super::pool::Pool;
use super::simd::{self, Access, Kernel, MAX_LANES, MAX_ROWS, Part, Simd, Whole};
use crate::layers::Activation;

/// Rows of the left matrix that one task multiplies with all its panels: as many as stay in the second-level cache.
const BLOCK_ROWS: usize = 96;

/// Floats of the panels that a few rows are multiplied with before the next rows: what stays in the first-level cache, or
/// in the second-level one.
const GROUP_FLOATS: [usize; 2] = [4096, 65536];

/// Rows, and floats in them, from which on panels should stay in the first-level cache. Fewer rows read the panels too
/// seldom: these come from memory then, and come faster as one long stream. Longer ones do not stay there beside them.
const MANY_ROWS: usize = 32;
const MANY_FLOATS: usize = 6144;

/// Rows of the lower tile.
const FEW_ROWS: usize = 4;

/// Reduction steps (pixels) after which a gradient tile is written back, so that its operands stay in the cache.
const CHUNK: usize = 256;

/// How the columns of a matrix of `k` rows and `n` columns are packed. All panels are two vectors wide; the last may be
/// one vector wide. Lanes beyond the last column are zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Panels {
    pub k: usize,
    pub n: usize,
    pub lanes: usize,
}

impl Panels {
    pub(super) fn new(k: usize, n: usize) -> Self {
        Panels { k, n, lanes: simd::lanes() }
    }

    /// Columns, with those that fill the last vector.
    pub(super) fn padded(&self) -> usize {
        self.n.next_multiple_of(self.lanes)
    }

    /// Floats in all panels.
    pub(super) fn floats(&self) -> usize {
        self.k * self.padded()
    }

    pub(super) fn count(&self) -> usize {
        self.n.div_ceil(2 * self.lanes)
    }

    /// The first column of a panel.
    pub(super) fn column(&self, panel: usize) -> usize {
        panel * 2 * self.lanes
    }

    /// Floats from one row of a panel to the next.
    pub(super) fn width(&self, panel: usize) -> usize {
        (self.padded() - self.column(panel)).min(2 * self.lanes)
    }

    /// Columns of a panel that exist.
    pub(super) fn columns(&self, panel: usize) -> usize {
        (self.n - self.column(panel)).min(2 * self.lanes)
    }

    /// Where a panel starts.
    pub(super) fn start(&self, panel: usize) -> usize {
        self.column(panel) * self.k
    }

    /// Where column `n` starts; its rows are [`Panels::width`] of its panel apart.
    pub(super) fn view(&self, n: usize) -> (usize, usize) {
        let panel = n / (2 * self.lanes);
        (self.start(panel) + n - self.column(panel), self.width(panel))
    }
}

/// Floats that follow each other in every row of the left matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// From the row's start.
    pub offset: usize,
    pub len: usize,
}

/// Column sums that start at something, or at zero.
#[derive(Clone, Copy)]
pub(super) enum Start<'a> {
    Zero,
    /// One value for each column, padded as the panels are.
    Bias(&'a [f32]),
}

/// A matrix that is added to the product, as large as the output: what that holds already, or another.
#[derive(Clone, Copy)]
pub(super) struct Addend {
    pub from: Shared,
    /// Floats from one row to the next.
    pub pixel_stride: usize,
}

/// Bounds that outputs are kept in as they are written: the activations that cost next to nothing there.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    low: f32,
    high: f32,
}

impl Bounds {
    pub(super) const NONE: Bounds = Bounds { low: f32::NEG_INFINITY, high: f32::INFINITY };

    /// Those of an activation; none when it is not one of bounds.
    pub(super) fn of(activation: Option<Activation>) -> Self {
        match activation {
            Some(Activation::Relu) => Bounds { low: 0.0, ..Self::NONE },
            Some(Activation::Clip { min, max }) => Bounds { low: min, high: max },
            _ => Self::NONE,
        }
    }

    /// Applies an activation that is not one of bounds.
    ///
    /// # Safety
    /// Nobody else may use the map meanwhile.
    pub(super) unsafe fn activate_others(pool: &Pool, activation: Option<Activation>, y: &Map) {
        match activation {
            None | Some(Activation::Relu | Activation::Clip { .. }) => {}
            // SAFETY: the caller's promise.
            Some(other) => unsafe { activate(pool, other, y, y) },
        }
    }

    /// NaN stays.
    ///
    /// # Safety
    /// S must be available.
    #[inline(always)]
    pub(super) unsafe fn apply<S: Simd>(self, x: S::V) -> S::V {
        // SAFETY: arithmetic only; S is available by the caller's promise.
        unsafe { S::at_most(S::at_least(x, S::splat(self.low)), S::splat(self.high)) }
    }
}

/// `out = left * right + start + addend`, then an activation that tiles can do.
pub(super) struct Gemm<'a> {
    pub left: Shared,
    /// Where each row starts.
    pub rows: &'a [u32],
    pub runs: &'a [Run],
    pub right: &'a [f32],
    pub panels: Panels,
    pub start: Start<'a>,
    pub addend: Option<Addend>,
    pub bounds: Bounds,
    pub out: Shared,
    /// Floats from one output row to the next.
    pub pixel_stride: usize,
}

impl Gemm<'_> {
    /// # Safety
    /// Every run of every row must lie in `left`, every row in `addend`, and nobody may write there meanwhile; `out`, which
    /// may be `addend`, must hold all rows, and nobody else may use their columns meanwhile.
    pub(super) unsafe fn run(&self, pool: &Pool) {
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
    pub(super) unsafe fn block(&self, rows: Range<usize>, panels: Range<usize>) {
        debug_assert_eq!(self.runs.iter().map(|r| r.len).sum::<usize>(), self.panels.k);
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
                runs: self.runs,
                right: self.right.as_ptr().add(self.panels.start(panels.start)),
                panels: panels.len(),
                start,
                addend: self
                    .addend
                    .map_or(std::ptr::null(), |a| a.from.at(first * a.pixel_stride + column).cast_const()),
                addend_pitch: self.addend.map_or(0, |a| a.pixel_stride),
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

/// Calls `tile(rows, panels)` for all rows and panels of a block, in the order that suits the caches: rows as many as
/// `height` says of those that are left, panels that are whole or one that is not.
#[inline(always)]
pub(super) fn walk(
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

fn block(i: usize, rows: usize) -> Range<usize> {
    i * BLOCK_ROWS..((i + 1) * BLOCK_ROWS).min(rows)
}

/// Parts of a product that fit the registers, one after the other: rows times panels that follow each other. What is passed
/// to a kernel is passed once for all of them.
struct Tiles<'a> {
    left: [*const f32; MAX_ROWS],
    runs: &'a [Run],
    right: *const f32,
    panels: usize,
    /// Null when sums start at zero.
    start: *const f32,
    /// Null when nothing is added.
    addend: *const f32,
    addend_pitch: usize,
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
    /// S must be available; `start` is null or holds NV vectors from this column on.
    #[inline(always)]
    unsafe fn starts<S: Simd, const NV: usize>(&self, column: usize) -> [S::V; NV] {
        // SAFETY: the caller's promise.
        unsafe {
            let mut acc = [S::splat(0.0); NV];
            if !self.start.is_null() {
                for v in 0..NV {
                    acc[v] = S::load(self.start.add(column + v * S::LANES));
                }
            }
            acc
        }
    }

    /// Finishes and writes the rows of the panel at this column.
    ///
    /// # Safety
    /// S must be available; `sums` holds `vectors` for each row, `out` the rows and their columns.
    // Natively S is only known to be available where this is inlined; in wasm one function serves all tiles.
    #[cfg_attr(target_arch = "wasm32", inline(never))]
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    unsafe fn write<S: Simd>(&self, sums: *const f32, column: usize, vectors: usize) {
        for m in 0..self.rows {
            for v in 0..vectors {
                // SAFETY: the caller's promise; no lane beyond the last column is touched.
                unsafe {
                    let y = S::load(sums.add((m * vectors + v) * S::LANES));
                    let to = self.out.add(m * self.pixel_stride + column + v * S::LANES);
                    let addend = self.addend.wrapping_add(m * self.addend_pitch + column + v * S::LANES);
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
    unsafe fn run<S: Simd>(self) {
        let t = self.0;
        let rows = if FEW { FEW_ROWS } else { S::ROWS };
        // SAFETY: the runs lie in `left`, `right` holds a vector row for each float of them; see `Gemm::run`.
        unsafe {
            let mut right = t.right;
            for column in t.firsts::<S, NV>() {
                let mut acc = [t.starts::<S, NV>(column); MAX_ROWS];
                for run in t.runs {
                    let mut left = [t.left[0]; MAX_ROWS];
                    for m in 0..rows {
                        left[m] = t.left[m].add(run.offset);
                    }
                    for k in 0..run.len {
                        let mut b = [S::splat(0.0); NV];
                        for v in 0..NV {
                            b[v] = S::load(right.add(v * S::LANES));
                        }
                        for m in 0..rows {
                            let a = S::splat(*left[m].add(k));
                            for v in 0..NV {
                                acc[m][v] = S::fma(a, b[v], acc[m][v]);
                            }
                        }
                        right = right.add(NV * S::LANES);
                    }
                }
                if t.rows == rows && t.columns >= NV * S::LANES {
                    for m in 0..rows {
                        for v in 0..NV {
                            let at = m * t.addend_pitch + column + v * S::LANES;
                            let to = t.out.add(m * t.pixel_stride + column + v * S::LANES);
                            t.finish::<S, _>(Whole, acc[m][v], t.addend.wrapping_add(at), to);
                        }
                    }
                    continue;
                }
                let mut sums = Sums(MaybeUninit::uninit());
                let to = sums.0.as_mut_ptr().cast::<f32>();
                for m in 0..rows {
                    for v in 0..NV {
                        S::store(to.add((m * NV + v) * S::LANES), acc[m][v]);
                    }
                }
                t.write::<S>(to, column, NV);
            }
        }
    }
}

/// One row: bound by memory, so four chains of sums hide the latency instead of rows.
struct RowTile<'a, const NV: usize>(&'a Tiles<'a>);

impl<const NV: usize> Kernel for RowTile<'_, NV> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        const CHAINS: usize = 4;
        let t = self.0;
        // SAFETY: as for RowsTile.
        unsafe {
            let mut right = t.right;
            for column in t.firsts::<S, NV>() {
                let mut acc = [[S::splat(0.0); NV]; CHAINS];
                acc[0] = t.starts::<S, NV>(column);
                for run in t.runs {
                    let mut left = t.left[0].add(run.offset);
                    let end = left.add(run.len);
                    let whole = left.add(run.len / CHAINS * CHAINS);
                    while left < whole {
                        for c in 0..CHAINS {
                            let a = S::splat(*left.add(c));
                            for v in 0..NV {
                                acc[c][v] = S::fma(a, S::load(right.add((c * NV + v) * S::LANES)), acc[c][v]);
                            }
                        }
                        left = left.add(CHAINS);
                        right = right.add(CHAINS * NV * S::LANES);
                    }
                    while left < end {
                        let a = S::splat(*left);
                        for v in 0..NV {
                            acc[0][v] = S::fma(a, S::load(right.add(v * S::LANES)), acc[0][v]);
                        }
                        left = left.add(1);
                        right = right.add(NV * S::LANES);
                    }
                }
                let mut sums = Sums(MaybeUninit::uninit());
                let to = sums.0.as_mut_ptr().cast::<f32>();
                for v in 0..NV {
                    let sum = S::add(S::add(acc[0][v], acc[1][v]), S::add(acc[2][v], acc[3][v]));
                    S::store(to.add(v * S::LANES), sum);
                }
                t.write::<S>(to, column, NV);
            }
        }
    }
}

/// `out[k][n] = sum over pixels of left[pixel][k] * right[pixel][n]`: the gradient of weights. Right and out are
/// packed, right with one row for each pixel.
pub(super) struct Gradient<'a> {
    pub left: Shared,
    /// Where each pixel's row starts.
    pub rows: &'a [u32],
    /// Where each k is in a row.
    pub taps: &'a [u32],
    pub right: &'a [f32],
    pub out: Shared,
    pub panels: Panels,
}

impl Gradient<'_> {
    /// # Safety
    /// Every tap of every row must lie in `left` and nobody may write there meanwhile; `out` must hold the panels, and
    /// nobody else may use them meanwhile.
    pub(super) unsafe fn run(&self, pool: &Pool) {
        let tiles = self.panels.k.div_ceil(simd::rows());
        let work = self.rows.len() * self.panels.floats();
        let tasks = if work < 1 << 15 { 1 } else { (4 * pool.threads()).min(tiles) };
        if pool.threads() == 1 || tasks == 1 {
            // SAFETY: the caller's promise.
            return unsafe { self.tiles(0..tiles) };
        }
        // SAFETY: the caller's promise; no two tasks have a tile in common.
        pool.run(tasks, &|i| unsafe { self.tiles(tiles * i / tasks..tiles * (i + 1) / tasks) });
    }

    /// Some rows of tiles, over all pixels: each sum has one order, whatever the number of threads.
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
                    // SAFETY: the panels hold these rows; the rest is the caller's promise.
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
    unsafe fn run<S: Simd>(self) {
        let t = self.0;
        // SAFETY: taps of all rows lie in `left`, `right` has a row for each, `out` has `count`; see `Gradient::run`.
        unsafe {
            let mut acc = [[S::splat(0.0); NV]; MAX_ROWS];
            let mut taps = [t.left; MAX_ROWS];
            for m in 0..S::ROWS {
                taps[m] = t.left.add(t.taps[m]);
            }
            let mut right = t.right;
            for &row in t.rows {
                let mut b = [S::splat(0.0); NV];
                for v in 0..NV {
                    b[v] = S::load(right.add(v * S::LANES));
                }
                for m in 0..S::ROWS {
                    let a = S::splat(*taps[m].add(row as usize));
                    for v in 0..NV {
                        acc[m][v] = S::fma(a, b[v], acc[m][v]);
                    }
                }
                right = right.add(NV * S::LANES);
            }
            for m in 0..S::ROWS {
                if m < t.count {
                    for v in 0..NV {
                        let p = t.out.add((m * NV + v) * S::LANES);
                        let y = if t.accumulate { S::add(S::load(p), acc[m][v]) } else { acc[m][v] };
                        S::store(p, y);
                    }
                }
            }
        }
    }
}

/// Packs `rows` rows of `n` floats, `pixel_stride` apart, into panels; the lanes beyond column n become zeros.
///
/// # Safety
/// `from` must hold the rows, and `to` [`Panels::floats`] of `Panels { k: rows, n }` that nobody else uses meanwhile.
pub(super) unsafe fn pack_rows(from: Shared, pixel_stride: usize, to: Shared, panels: Panels, range: Range<usize>) {
    for panel in 0..panels.count() {
        let (column, width) = (panels.column(panel), panels.width(panel));
        // SAFETY: the caller's promise.
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
    unsafe fn run<S: Simd>(self) {
        let PackRows { mut from, pixel_stride, mut to, rows, width, columns } = self;
        // SAFETY: `from` holds `columns` floats of each row, `to` `width`; see `pack_rows`.
        unsafe {
            for _ in 0..rows {
                for v in 0..width / S::LANES {
                    let n = columns - v * S::LANES;
                    let p = from.add(v * S::LANES);
                    let x = if n >= S::LANES { S::load(p) } else { S::load_part(p, n) };
                    S::store(to.add(v * S::LANES), x);
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
/// `to` must hold [`Panels::floats`] of the panels of `taps * n` rows and `k / taps` columns for nobody else.
pub(super) unsafe fn transpose(pool: &Pool, panels: Panels, from: &[f32], taps: usize, to: Shared) {
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

/// Sums of the columns of packed rows, into `sums` (padded as the panels are).
pub(super) fn column_sums(panels: Panels, packed: &[f32], sums: &mut [f32]) {
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
    unsafe fn run<S: Simd>(self) {
        for first in (0..self.width).step_by(S::LANES) {
            // SAFETY: `rows` is a multiple of `width` long, which is a multiple of LANES.
            unsafe {
                // Partial sums keep the rounding error of many pixels small.
                let mut total = S::splat(0.0);
                for chunk in self.rows.chunks(CHUNK * self.width) {
                    let mut sum = S::splat(0.0);
                    for row in (0..chunk.len()).step_by(self.width) {
                        sum = S::add(sum, S::load(chunk.as_ptr().add(row + first)));
                    }
                    total = S::add(total, sum);
                }
                S::store(self.sums.as_mut_ptr().add(first), total);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn packed(panels: Panels, at: impl Fn(usize, usize) -> f32) -> Vec<f32> {
        let mut packed = vec![0.0; panels.floats()];
        for n in 0..panels.n {
            let (start, width) = panels.view(n);
            (0..panels.k).for_each(|k| packed[start + k * width] = at(k, n));
        }
        packed
    }

    fn random(n: usize, stream: u32) -> Vec<f32> {
        let mut rng = Rng::new(3, stream);
        (0..n).map(|_| rng.range(-1.0, 1.0)).collect()
    }

    fn close(got: f32, want: f64) {
        assert!((f64::from(got) - want).abs() < 1e-5, "{got} instead of {want}");
    }

    /// Every remainder of rows and columns around every tile size, with runs of several lengths, and memory beyond the
    /// columns untouched.
    #[test]
    fn products_with_remainders() {
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
        let pitch_left = k + 3 * lens.len() + 2;
        let mut left = random(m * pitch_left, 1);
        let right = random(k * n, 2);
        let bias = random(n.next_multiple_of(8), 3);
        let rows: Vec<u32> = (0..m).map(|i| (i * pitch_left) as u32).collect();
        let mut offset = 1;
        let runs: Vec<Run> = lens
            .iter()
            .map(|&len| {
                offset += len + 3;
                Run { offset: offset - len - 3, len }
            })
            .collect();
        let taps: Vec<usize> = runs.iter().flat_map(|r| r.offset..r.offset + r.len).collect();
        let panels = Panels::new(k, n);
        let packed = packed(panels, |k, j| right[k * n + j]);
        let pixel_stride = n + 1;
        let truth = |i: usize, j: usize| -> f64 {
            let product = |kk: usize| f64::from(left[i * pitch_left + taps[kk]]) * f64::from(right[kk * n + j]);
            (0..k).map(product).sum()
        };
        let want: Vec<f64> = (0..m * n).map(|i| truth(i / n, i % n)).collect();
        let left = Shared::new(&mut left);
        for (start, add) in [(Start::Zero, false), (Start::Bias(&bias), false), (Start::Bias(&bias), true)] {
            let before = random(m * pixel_stride, 4);
            let mut out = before.clone();
            let to = Shared::new(&mut out);
            let gemm = Gemm {
                left,
                rows: &rows,
                runs: &runs,
                right: &packed,
                panels,
                start,
                addend: add.then_some(Addend { from: to, pixel_stride }),
                bounds: Bounds::of(matches!(start, Start::Bias(_)).then_some(Activation::Relu)),
                out: to,
                pixel_stride,
            };
            // SAFETY: the rows and the output are as large as their pitches say.
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

    #[test]
    fn transposes_with_remainders() {
        for (taps, rows, n) in [(1, 1, 1), (1, 17, 5), (3, 5, 33), (4, 16, 16), (9, 40, 7)] {
            let matrix = random(taps * rows * n, 1);
            let panels = Panels::new(taps * rows, n);
            let from = packed(panels, |k, j| matrix[k * n + j]);
            let want = packed(Panels::new(taps * n, rows), |k, i| matrix[((taps - 1 - k / n) * rows + i) * n + k % n]);
            let mut to = vec![f32::NAN; want.len()];
            // SAFETY: `to` has the size of the transposed panels.
            unsafe { transpose(&Pool::new(2), panels, &from, taps, Shared::new(&mut to)) };
            assert_eq!(to, want);
        }
    }

    #[test]
    fn gradients_with_remainders() {
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
                    pack_rows(Shared::new(&mut right.clone()), n, Shared::new(&mut packed), of_pixels, 0..pixels)
                };
                let mut out = vec![f32::NAN; panels.floats()];
                let mut sums = vec![f32::NAN; panels.padded()];
                column_sums(of_pixels, &packed, &mut sums);
                let gradient = Gradient {
                    left: Shared::new(&mut left),
                    rows: &rows,
                    taps: &taps,
                    right: &packed,
                    out: Shared::new(&mut out),
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
