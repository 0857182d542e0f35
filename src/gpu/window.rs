//! Windows of convolutions and poolings, for shaders.

use super::uniforms::shader_struct;
use crate::layers::Window;
use crate::plan::View;

shader_struct! {
    /// A window on an input of known size. Each pair is vertical, then horizontal.
    pub(super) struct WindowUniforms {
        pub kernel: [u32; 2],
        pub stride: [u32; 2],
        /// Padding before the input.
        pub pad: [i32; 2],
        pub dilation: [u32; 2],
    }
}

impl WindowUniforms {
    /// `input` is the input's height and width.
    pub(super) fn new(window: &Window, input: [usize; 2]) -> Self {
        let [top, left, ..] = window.pads(input);
        WindowUniforms {
            kernel: window.kernel.map(|v| v as u32),
            stride: window.stride.map(|v| v as u32),
            pad: [top as i32, left as i32],
            dilation: window.dilation.map(|v| v as u32),
        }
    }

    /// Whether some window reaches beyond the input `x`, given the output `y`.
    pub(super) fn is_padded(&self, x: &View, y: &View) -> bool {
        let beyond = |axis: usize, input: usize, output: usize| {
            let last = (output - 1) * self.stride[axis] as usize
                + (self.kernel[axis] as usize - 1) * self.dilation[axis] as usize;
            self.pad[axis] > 0 || last >= input
        };
        beyond(0, x.h, y.h) || beyond(1, x.w, y.w)
    }
}
