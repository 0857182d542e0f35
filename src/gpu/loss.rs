//! Losses on the device, one dispatch for each head.

use super::kernel::kernels;
use super::program::{GpuView, Recorder};
use crate::layers::Loss;
use crate::plan::{Plan, View};

kernels!("loss", ["loss.wgsl"], LOSS = "loss");

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Step {
    z: GpuView,
    dz: GpuView,
    batch: u32,
    outputs: u32,
    smoothing: f32,
    weight: f32,
    main: u32,
    unused: [u32; 3],
}

fn overlap(a: View, b: View, batch: usize) -> bool {
    a.offset < b.offset + b.span(batch) && b.offset < a.offset + a.span(batch)
}

pub(super) fn record(r: &mut Recorder<'_>, plan: &Plan, loss: Loss) {
    let grad = |i: usize| plan.heads[i].grad.expect("a training plan has gradients");
    for (i, head) in plan.heads.iter().enumerate() {
        let (softmax, smoothing) = match loss {
            Loss::SoftmaxCrossEntropy { label_smoothing } => (true, label_smoothing),
            Loss::BinaryCrossEntropy => (false, 0.0),
        };
        let step = Step {
            z: head.view.into(),
            dz: grad(i).into(),
            batch: r.batch as u32,
            outputs: (head.view.c * head.view.h * head.view.w) as u32,
            smoothing,
            weight: head.loss_weight,
            main: u32::from(i == 0),
            unused: [0; 3],
        };
        // A head may be a branch of a concatenation that is a head itself.
        let accumulate = (0..i).any(|j| overlap(grad(i), grad(j), r.batch));
        let constants = [("SOFTMAX", f64::from(softmax)), ("ACCUMULATE", f64::from(accumulate))];
        r.dispatch(&LOSS, &constants, 0, &step, 1);
    }
}
