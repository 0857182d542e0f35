//! Uniforms that max and average pooling share.

use crate::gpu::recorder::Recorder;
use crate::gpu::uniforms::{ViewUniforms, shader_struct};
use crate::gpu::window::WindowUniforms;
use crate::layers::Window;
use crate::plan::{BackwardStep, GradWrite, Step, View};

shader_struct! {
    pub(in crate::gpu) struct PoolUniforms {
        x: ViewUniforms,
        y: ViewUniforms,
        dx: ViewUniforms,
        dy: ViewUniforms,
        window: WindowUniforms,
        /// Padding below and to the right of the input.
        pad_after: [i32; 2],
        /// Invocations that compute something.
        pub blocks: u32,
    }
}

impl PoolUniforms {
    /// For the output.
    pub(in crate::gpu) fn forward(r: &Recorder<'_>, window: &Window, step: &Step) -> Self {
        Self::new(window, step, step.inputs[0], step.output, blocks(r, step.output))
    }

    /// For the gradient `dx` of the input.
    pub(in crate::gpu) fn backward(
        r: &Recorder<'_>,
        window: &Window,
        step: &Step,
        back: &BackwardStep,
        dx: GradWrite,
    ) -> Self {
        Self::new(window, step, dx.view, back.dy, blocks(r, dx.view))
    }

    fn new(window: &Window, step: &Step, dx: View, dy: View, blocks: usize) -> Self {
        let x = step.inputs[0];
        let [.., bottom, right] = window.pads([x.h, x.w]);
        PoolUniforms {
            x: x.into(),
            y: step.output.into(),
            dx: dx.into(),
            dy: dy.into(),
            window: WindowUniforms::new(window, [x.h, x.w]),
            pad_after: [bottom as i32, right as i32],
            blocks: blocks as u32,
        }
    }
}

/// Invocations that compute `result`, up to four channels of a pixel each.
pub(in crate::gpu) fn blocks(r: &Recorder<'_>, result: View) -> usize {
    result.pixels(r.batch) * result.c.div_ceil(4)
}
