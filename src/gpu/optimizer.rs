//! The update: two dispatches for each run of parameters that learn alike, one of which only looks at the gradients, and
//! two more when their norm has a limit.

use super::buffers::TrainingBuffers;
use super::kernel::{Constant, Kernel, wgsl};
use super::recorder::Recorder;
use super::weights::Segment;
use crate::plan::Optimizer;

const CHECK: Kernel = kernel("check");
const SQUARES: Kernel = kernel("squares");
const CLIP: Kernel = kernel("clip");
pub(super) const UPDATE: Kernel = kernel("update");

/// Partial sums of the norm, as the shader says.
const PARTS: usize = 4096;

const fn kernel(entry: &'static str) -> Kernel {
    Kernel { file: "optimizer", source: &[wgsl!("optimizer.wgsl")], entry, updates: true }
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Step {
    start: u32,
    end: u32,
    decaying: u32,
    trained: u32,
    rate: f32,
    scratch: u32,
    unused: [u32; 2],
}

pub(super) fn record(r: &mut Recorder<'_>, training: &TrainingBuffers) {
    let rule = match training.optimizer {
        Optimizer::Sgd { .. } => 0.0,
        Optimizer::Adam { .. } | Optimizer::AdamW { .. } => 1.0,
        Optimizer::RmsProp { .. } => 2.0,
    };
    let scratch = if training.clips { r.scratch(PARTS) } else { 0 };
    // Nothing may change before all gradients are known to be finite, and their norm is known.
    all(r, training, &CHECK, |_| [("RULE", 0.0)], scratch);
    if training.clips {
        all(r, training, &SQUARES, |i| [("ACCUMULATE", f64::from(i > 0))], scratch);
        let step = Step { scratch: scratch as u32, ..bytemuck::Zeroable::zeroed() };
        r.dispatch(&CLIP, &[], 0, &step, 1);
    }
    all(r, training, &UPDATE, |_| [("RULE", rule)], scratch);
}

fn all(
    r: &mut Recorder<'_>,
    training: &TrainingBuffers,
    kernel: &Kernel,
    constants: impl Fn(usize) -> [Constant; 1],
    scratch: usize,
) {
    for (i, &Segment { bank, start, end, rate }) in training.segments.iter().enumerate() {
        let [decaying, trained] = [1, 2].map(|region| (r.layout.banks[bank].start(region) / 4) as u32);
        let [start, end, scratch] = [start / 4, end / 4, scratch].map(|v| v as u32);
        let count = if kernel.entry == SQUARES.entry { PARTS } else { (end - start) as usize };
        r.dispatch(
            kernel,
            &constants(i),
            bank,
            &Step { start, end, decaying, trained, rate, scratch, unused: [0; 2] },
            count,
        );
    }
}
