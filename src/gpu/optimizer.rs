//! The update: two dispatches for each bank of parameters, one of which only looks at the gradients.

use super::kernel::{Kernel, wgsl};
use super::program::Recorder;

const CHECK: Kernel = kernel("check");
pub(super) const UPDATE: Kernel = kernel("update");

const fn kernel(entry: &'static str) -> Kernel {
    Kernel { file: "optimizer", source: &[wgsl!("optimizer.wgsl")], entry, updates: true }
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Step {
    count: u32,
    decaying: u32,
    trained: u32,
    unused: u32,
}

pub(super) fn record(r: &mut Recorder<'_>, adam: bool) {
    let layout = r.layout;
    // No bank may change before all gradients are known to be finite.
    for (kernel, constants) in [(&CHECK, &[][..]), (&UPDATE, &[("ADAM", f64::from(adam))])] {
        for (i, bank) in layout.banks.iter().enumerate() {
            let [decaying, trained, count] = [1, 2, 3].map(|region| (bank.start(region) / 4) as u32);
            r.dispatch(kernel, constants, i, &Step { count, decaying, trained, unused: 0 }, count as usize);
        }
    }
}
