//! The second stage of weight gradients.

use super::kernel::kernels;
use super::recorder::Recorder;
use super::weights::{Form, Slot};

kernels!("split_sum", ["grads.wgsl", "split_sum.wgsl"], REDUCE = "reduce");

/// Invocations that keep a large adapter busy; sums over pixels are split until there are about as many.
const ENOUGH: usize = 4096;
/// Pixels below which a sum is not worth splitting.
const WORTHWHILE: usize = 32;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Step {
    scratch: u32,
    splits: u32,
    stored: u32,
    depth: u32,
    columns: u32,
    weights: u32,
    bias: u32,
    unused: u32,
}

/// A sum over rows of pixels, split into slices that are summed apart.
pub(super) struct Splits {
    pub count: usize,
    /// Rows of a slice.
    slice: usize,
}

impl Splits {
    /// For `owners` invocations that would each sum over `rows` rows of `width` pixels.
    pub(super) fn new(rows: usize, width: usize, owners: usize) -> Self {
        let wanted = (ENOUGH / owners.max(1)).clamp(1, rows);
        let slice = rows.div_ceil(wanted).max(WORTHWHILE.div_ceil(width)).min(rows);
        Splits { count: rows.div_ceil(slice), slice }
    }

    /// Floats of one slice's sums.
    pub(super) fn stored(form: &Form) -> usize {
        form.blocks() * (form.depth() + usize::from(form.bias)) * form.columns()
    }

    pub(super) fn reserve(&self, r: &mut Recorder<'_>, form: &Form) {
        if self.count > 1 {
            r.scratch(self.count * Self::stored(form));
        }
    }

    /// `(splits, slice, scratch)` as shaders know them.
    pub(super) fn numbers(&self, r: &mut Recorder<'_>) -> (u32, u32, u32) {
        (self.count as u32, self.slice as u32, r.scratch(0) as u32)
    }
}

/// Adds up what the slices of `sum` left behind, if there were several.
pub(super) fn record(r: &mut Recorder<'_>, slot: &Slot, sum: &Splits) {
    if sum.count == 1 {
        return;
    }
    let stored = Splits::stored(&slot.form);
    let step = Step {
        scratch: r.scratch(0) as u32,
        splits: sum.count as u32,
        stored: stored as u32,
        depth: slot.form.depth() as u32,
        columns: slot.form.columns() as u32,
        weights: slot.weights(),
        bias: slot.bias().unwrap_or(u32::MAX),
        unused: 0,
    };
    r.dispatch(&REDUCE, &[], slot.bank, &step, stored);
}
