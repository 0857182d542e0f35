//! Sums over pixels, split between invocations and added in a fixed order.

use super::kernel::kernels;
use super::recorder::Recorder;
use super::uniforms::shader_struct;
use super::weights::{ParamSlot, WeightLayout};

kernels!("split_sum", SplitSumUniforms, ["grads.wgsl", "split_sum.wgsl"], SPLIT_SUM = "split_sum");

/// Invocations that keep a large adapter busy. Sums over pixels are split until a dispatch has about this many.
const BUSY_INVOCATIONS: usize = 4096;
/// The fewest pixels of a slice: splitting a shorter sum costs more than it saves.
const MIN_SLICE_PIXELS: usize = 32;

shader_struct! {
    pub(super) struct SplitSumUniforms {
        scratch: u32,
        splits: u32,
        stored: u32,
        depth: u32,
        columns: u32,
        weights: u32,
        bias: u32,
    }
}

/// A sum over rows of pixels, split into slices that are summed independently.
pub(super) struct SplitSum {
    /// Slices.
    pub count: usize,
    /// Rows of a slice.
    pub slice: usize,
}

impl SplitSum {
    /// Splits a sum over `rows` rows of `width` pixels, of which `owners` invocations would each compute one.
    pub(super) fn new(rows: usize, width: usize, owners: usize) -> Self {
        let wanted = (BUSY_INVOCATIONS / owners.max(1)).clamp(1, rows);
        let slice = rows.div_ceil(wanted).max(MIN_SLICE_PIXELS.div_ceil(width)).min(rows);
        SplitSum { count: rows.div_ceil(slice), slice }
    }

    /// Floats of one slice's sums: weights and biases.
    pub(super) fn stored(layout: &WeightLayout) -> usize {
        layout.blocks() * (layout.depth() + usize::from(layout.bias)) * layout.columns()
    }

    /// Reserves memory for the slices' sums and returns where it begins.
    pub(super) fn reserve(&self, r: &mut Recorder<'_>, layout: &WeightLayout) -> u32 {
        r.scratch(if self.count > 1 { self.count * Self::stored(layout) } else { 0 }) as u32
    }

    /// Adds up the slices' sums into the gradients of `slot`. A single slice has written them itself.
    pub(super) fn record(&self, r: &mut Recorder<'_>, slot: &ParamSlot) {
        if self.count == 1 {
            return;
        }
        let stored = Self::stored(&slot.weight_layout);
        let uniforms = SplitSumUniforms {
            scratch: self.reserve(r, &slot.weight_layout),
            splits: self.count as u32,
            stored: stored as u32,
            depth: slot.weight_layout.depth() as u32,
            columns: slot.weight_layout.columns() as u32,
            weights: slot.weights(),
            bias: slot.bias().unwrap_or(u32::MAX),
        };
        r.dispatch(&SPLIT_SUM, &[], slot.param_buffer, &uniforms, stored);
    }
}
