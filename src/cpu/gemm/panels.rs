//! Packed matrices: panels as wide as a GEMM tile, in each panel row after row.

use crate::cpu::simd;

/// How the columns of a matrix of `k` rows and `n` columns are packed. All panels are two vectors wide; the last may be
/// one vector wide. Lanes beyond the last column are zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panels {
    pub k: usize,
    pub n: usize,
    pub lanes: usize,
}

impl Panels {
    pub(crate) fn new(k: usize, n: usize) -> Self {
        Panels { k, n, lanes: simd::lanes() }
    }

    /// Returns the number of columns, padded to whole vectors.
    pub(crate) fn padded(&self) -> usize {
        self.n.next_multiple_of(self.lanes)
    }

    /// Returns the number of floats in all panels.
    pub(crate) fn floats(&self) -> usize {
        self.k * self.padded()
    }

    /// Returns the number of panels.
    pub(crate) fn count(&self) -> usize {
        self.n.div_ceil(2 * self.lanes)
    }

    /// Returns the first column of a panel.
    pub(crate) fn column(&self, panel: usize) -> usize {
        panel * 2 * self.lanes
    }

    /// Returns the floats from one row of a panel to the next.
    pub(crate) fn width(&self, panel: usize) -> usize {
        (self.padded() - self.column(panel)).min(2 * self.lanes)
    }

    /// Returns the columns of a panel without padding.
    pub(crate) fn columns(&self, panel: usize) -> usize {
        (self.n - self.column(panel)).min(2 * self.lanes)
    }

    /// Returns the offset of a panel.
    pub(crate) fn start(&self, panel: usize) -> usize {
        self.column(panel) * self.k
    }

    /// Returns the offset of column `n`, and the floats from one of its rows to the next.
    pub(crate) fn view(&self, n: usize) -> (usize, usize) {
        let panel = n / (2 * self.lanes);
        (self.start(panel) + n - self.column(panel), self.width(panel))
    }
}
