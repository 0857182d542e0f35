//! The second stage of weight gradients.

use super::conv2d::Splits;
use super::kernel::kernels;
use super::program::Recorder;
use super::weights::Slot;

kernels!("reduce", ["grads.wgsl", "reduce.wgsl"], REDUCE = "reduce");

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
