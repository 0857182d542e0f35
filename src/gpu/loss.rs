//! Losses and their gradients, one dispatch for each output of the network.

use super::kernel::{accumulate, kernels};
use super::recorder::Recorder;
use super::uniforms::{ViewUniforms, shader_struct};
use crate::layers::Loss;
use crate::plan::{Plan, View};

kernels!("loss", LossUniforms, ["loss.wgsl"], LOSS = "loss");

shader_struct! {
    struct LossUniforms {
        z: ViewUniforms,
        dz: ViewUniforms,
        batch: u32,
        outputs: u32,
        smoothing: f32,
        weight: f32,
        main: u32,
    }
}

fn overlap(a: View, b: View, batch: usize) -> bool {
    a.offset < b.offset + b.span(batch) && b.offset < a.offset + a.span(batch)
}

/// Records the losses of all heads of a training plan.
pub(super) fn record(r: &mut Recorder<'_>, plan: &Plan, loss: Loss) {
    let grad = |i: usize| plan.heads[i].grad.expect("a training plan has gradients");
    for (i, head) in plan.heads.iter().enumerate() {
        let (softmax, smoothing) = match loss {
            Loss::SoftmaxCrossEntropy { label_smoothing } => (true, label_smoothing),
            Loss::BinaryCrossEntropy => (false, 0.0),
        };
        let uniforms = LossUniforms {
            z: head.view.into(),
            dz: grad(i).into(),
            batch: r.batch as u32,
            outputs: (head.view.c * head.view.h * head.view.w) as u32,
            smoothing,
            weight: head.loss_weight,
            main: u32::from(i == 0),
        };
        // A head may be a branch of a concatenation that is itself a head.
        let overlaps = (0..i).any(|j| overlap(grad(i), grad(j), r.batch));
        let constants = [("SOFTMAX", f64::from(softmax)), accumulate(overlaps)];
        r.dispatch(&LOSS, &constants, 0, &uniforms, 1);
    }
}
