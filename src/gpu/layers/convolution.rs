//! Chooses the kernels of a convolution.

use super::conv2d::Conv;
use super::{add, depthwise};
use crate::gpu::recorder::Recorder;
use crate::layers::Conv2d;
use crate::plan::{BackwardStep, Step as PlanStep};

pub(crate) fn forward(r: &mut Recorder<'_>, layer: &Conv2d, step: &PlanStep) {
    if let Some([conv, sum]) = step.split_residual_add() {
        forward(r, layer, &conv);
        return add::forward(r, &sum);
    }
    let conv = Conv::new(r, layer, step);
    match conv.form().depthwise {
        true => depthwise::forward(r, &conv, step.activation),
        false => conv.forward(r, step.activation),
    }
}

pub(crate) fn backward(r: &mut Recorder<'_>, layer: &Conv2d, step: &PlanStep, back: &BackwardStep) {
    let conv = Conv::new(r, layer, step);
    match conv.form().depthwise {
        true => depthwise::backward(r, &conv, back.dy, back.dx[0]),
        false => conv.backward(r, back.dy, back.dx[0]),
    }
}
