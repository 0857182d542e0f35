//! The update: one dispatch for each bank of parameters.

use super::kernel::Kernel;
use super::program::Recorder;

pub(super) const UPDATE: Kernel =
    Kernel { file: "optimizer", source: &[include_str!("optimizer.wgsl")], entry: "update", updates: true };

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Step {
    count: u32,
    first_bias: u32,
    unused: [u32; 2],
}

pub(super) fn record(r: &mut Recorder<'_>, adam: bool) {
    for (i, bank) in r.layout.banks.iter().enumerate() {
        let (count, first_bias) = (bank.floats / 4, bank.first_bias / 4);
        let step = Step { count: count as u32, first_bias: first_bias as u32, unused: [0; 2] };
        r.dispatch(&UPDATE, &[("ADAM", u32::from(adam))], i, &step, count);
    }
}
