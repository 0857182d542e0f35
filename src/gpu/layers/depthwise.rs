//! Convolutions with one input channel in each group.

use super::activation::constants;
use super::conv2d::Conv;
use crate::gpu::kernel::{accumulate, kernels};
use crate::gpu::recorder::Recorder;
use crate::gpu::split_sum::SplitSum;
use crate::gpu::uniforms::{ViewUniforms, shader_struct};
use crate::gpu::window::WindowUniforms;
use crate::layers::Activation;
use crate::plan::{GradWrite, View};

kernels!(
    "depthwise",
    DepthwiseUniforms,
    ["../grads.wgsl", "depthwise.wgsl"],
    FORWARD = "forward",
    BACKWARD_INPUT = "backward_input",
    BACKWARD_WEIGHTS = "backward_weights",
);

shader_struct! {
    struct DepthwiseUniforms {
        x: ViewUniforms,
        y: ViewUniforms,
        window: WindowUniforms,
        weights: u32,
        bias: u32,
        multiplier: u32,
        elements: u32,
        batch: u32,
        splits: u32,
        slice: u32,
        scratch: u32,
    }
}

fn uniforms(r: &Recorder<'_>, conv: &Conv, x: View, y: View, result: View) -> DepthwiseUniforms {
    DepthwiseUniforms {
        x: x.into(),
        y: y.into(),
        window: WindowUniforms::new(&conv.window, [x.h, x.w]),
        weights: conv.slot.weights(),
        bias: conv.slot.bias().unwrap_or(u32::MAX),
        multiplier: conv.slot.weight_layout.cout as u32,
        elements: (result.pixels(r.batch) * result.c) as u32,
        batch: r.batch as u32,
        splits: 1,
        slice: 0,
        scratch: 0,
    }
}

/// Records the output.
pub(in crate::gpu) fn forward(r: &mut Recorder<'_>, conv: &Conv, activation: Option<Activation>) {
    let uniforms = uniforms(r, conv, conv.x, conv.y, conv.y);
    let constants = constants(activation, &[]);
    r.dispatch(&FORWARD, &constants, conv.slot.param_buffer, &uniforms, uniforms.elements as usize);
}

/// Records the gradients of weights and input.
pub(in crate::gpu) fn backward(r: &mut Recorder<'_>, conv: &Conv, dy: View, dx: Option<GradWrite>) {
    if !conv.frozen {
        backward_weights(r, conv, dy);
    }
    if let Some(dx) = dx {
        let uniforms = uniforms(r, conv, dx.view, dy, dx.view);
        let constants = [accumulate(dx.accumulate)];
        r.dispatch(&BACKWARD_INPUT, &constants, conv.slot.param_buffer, &uniforms, uniforms.elements as usize);
    }
}

fn backward_weights(r: &mut Recorder<'_>, conv: &Conv, dy: View) {
    let stored = SplitSum::stored(&conv.slot.weight_layout);
    let sum = SplitSum::new(r.batch * dy.h, dy.w, stored);
    let uniforms = DepthwiseUniforms {
        splits: sum.count as u32,
        slice: sum.slice as u32,
        scratch: sum.reserve(r, &conv.slot.weight_layout),
        ..uniforms(r, conv, conv.x, dy, dy)
    };
    r.dispatch(&BACKWARD_WEIGHTS, &[], conv.slot.param_buffer, &uniforms, stored * sum.count);
    sum.record(r, &conv.slot);
}
