//! Windows as shaders see them.

use crate::layers::Window;
use crate::plan::View;

/// A window in numbers, as every shader with windows has it.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Geometry {
    pub kernel: [u32; 2],
    pub stride: [u32; 2],
    pub pad: [i32; 2],
    pub dilation: [u32; 2],
}

impl Geometry {
    pub(super) fn new(window: &Window, input: [usize; 2]) -> Self {
        let [top, left, ..] = window.pads(input);
        Geometry {
            kernel: window.kernel.map(|v| v as u32),
            stride: window.stride.map(|v| v as u32),
            pad: [top as i32, left as i32],
            dilation: window.dilation.map(|v| v as u32),
        }
    }

    /// Whether some window reaches beyond the input.
    pub(super) fn is_padded(&self, x: &View, y: &View) -> bool {
        let beyond = |axis: usize, input: usize, output: usize| {
            let last = (output - 1) * self.stride[axis] as usize
                + (self.kernel[axis] as usize - 1) * self.dilation[axis] as usize;
            self.pad[axis] > 0 || last >= input
        };
        beyond(0, x.h, y.h) || beyond(1, x.w, y.w)
    }
}
