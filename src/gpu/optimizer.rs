//! The update: two dispatches for each bank of parameters, one of which only looks at the gradients.

use super::kernel::Kernel;
use super::program::Recorder;

const CHECK: Kernel = kernel("check");
pub(super) const UPDATE: Kernel = kernel("update");

const fn kernel(entry: &'static str) -> Kernel {
    Kernel { file: "optimizer", source: &[include_str!("optimizer.wgsl")], entry, updates: true }
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Step {
    count: u32,
    first_bias: u32,
    unused: [u32; 2],
}

pub(super) fn record(r: &mut Recorder<'_>, adam: bool) {
    let layout = r.layout;
    // No bank may change before all gradients are known to be finite.
    for (kernel, constants) in [(&CHECK, &[][..]), (&UPDATE, &[("ADAM", u32::from(adam))])] {
        for (i, bank) in layout.banks.iter().enumerate() {
            let (count, first_bias) = (bank.floats / 4, bank.first_bias / 4);
            let step = Step { count: count as u32, first_bias: first_bias as u32, unused: [0; 2] };
            r.dispatch(kernel, constants, i, &step, count);
        }
    }
}
