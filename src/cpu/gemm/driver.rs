//! The order in which the products of matrices are computed: blocks of rows for threads and for the second-level cache,
//! groups of panels for the first-level one.

use std::ops::Range;

use super::panels::Panels;

/// Rows of the left matrix that one task multiplies with all its panels: as many as stay in the second-level cache.
pub(crate) const BLOCK_ROWS: usize = 96;

/// Floats of the panels that a few rows are multiplied with before the next rows: what stays in the first-level cache, or
/// in the second-level one.
const GROUP_FLOATS: [usize; 2] = [4096, 65536];

/// Rows, and floats in them, from which on panels should stay in the first-level cache. Fewer rows read the panels too
/// seldom: these come from memory then, and come faster as one long stream. Longer ones do not stay there beside them.
const MANY_ROWS: usize = 32;
const MANY_FLOATS: usize = 6144;

/// Neighbouring floats at an equal offset in every row of the left matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Floats from the start of the row.
    pub offset: usize,
    pub len: usize,
}

/// Calls `tile(rows, panels)` for all rows and panels of a block, in the order that suits the caches: rows as many as
/// `height` says of those that are left, panels that are whole or one that is not.
#[inline(always)]
pub(crate) fn walk(
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

/// The rows of block `i` of [`BLOCK_ROWS`].
pub(crate) fn block(i: usize, rows: usize) -> Range<usize> {
    i * BLOCK_ROWS..((i + 1) * BLOCK_ROWS).min(rows)
}
