//! Max pooling.

use super::pooling::{PoolUniforms, blocks};
use crate::gpu::kernel::{Constant, accumulate, kernels};
use crate::gpu::operation::GpuOperation;
use crate::gpu::recorder::Recorder;
use crate::gpu::window::WindowUniforms;
use crate::layers::Window;
use crate::plan::{BackwardStep, Step};

kernels!(
    "max_pool2d",
    PoolUniforms,
    ["pooling.wgsl", "max_pool2d.wgsl"],
    FORWARD = "forward",
    BACKWARD = "backward",
    BACKWARD_TILED = "backward_tiled",
);

pub(in crate::gpu) struct MaxPool2d {
    pub window: Window,
    pub step: Step,
}

impl MaxPool2d {
    fn padded(&self) -> Constant {
        let (x, y) = (&self.step.inputs[0], &self.step.output);
        ("PADDED", f64::from(WindowUniforms::new(&self.window, [x.h, x.w]).is_padded(x, y)))
    }

    /// Whether every input is in exactly one window.
    fn is_tiling(&self) -> bool {
        let (x, y) = (&self.step.inputs[0], &self.step.output);
        let on_axis = |axis: usize, input: usize, output: usize| {
            let kernel = self.window.kernel[axis];
            self.window.stride[axis] == kernel && self.window.dilation[axis] == 1 && kernel * output == input
        };
        self.window.pads([x.h, x.w]) == [0; 4] && on_axis(0, x.h, y.h) && on_axis(1, x.w, y.w)
    }
}

impl GpuOperation for MaxPool2d {
    fn forward(&self, r: &mut Recorder<'_>) {
        let uniforms = PoolUniforms::forward(r, &self.window, &self.step);
        r.dispatch(&FORWARD, &[self.padded()], 0, &uniforms, uniforms.blocks as usize);
    }

    fn backward(&self, r: &mut Recorder<'_>, back: &BackwardStep) {
        let Some(dx) = back.dx[0] else { return };
        let mut uniforms = PoolUniforms::backward(r, &self.window, &self.step, back, dx);
        let tiling = self.is_tiling();
        if tiling {
            uniforms.blocks = blocks(r, self.step.output) as u32;
        }
        let kernel = if tiling { &BACKWARD_TILED } else { &BACKWARD };
        let constants = [self.padded(), accumulate(dx.accumulate)];
        r.dispatch(kernel, &constants, 0, &uniforms, uniforms.blocks as usize);
    }
}
