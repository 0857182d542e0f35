//! The windows of a convolution.

use crate::layers;
use crate::plan::View;

/// A window in numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    /// `[top, left, bottom, right]`.
    pub pads: [usize; 4],
    pub groups: usize,
}

impl Geometry {
    pub(crate) fn extent(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }

    pub(crate) fn is_pointwise(&self) -> bool {
        self.kernel == [1; 2] && self.stride == [1; 2] && self.pads == [0; 4]
    }

    pub(crate) fn of(layer: &layers::Conv2d, x: View) -> Self {
        let &layers::Conv2d { window, groups, .. } = layer;
        let layers::Window { kernel, stride, dilation, .. } = window;
        Geometry { kernel, stride, dilation, pads: window.pads([x.h, x.w]), groups }
    }

    /// The window of a linear layer: the whole map.
    pub(crate) fn linear(x: View) -> Geometry {
        Geometry { kernel: [x.h, x.w], stride: [1; 2], dilation: [1; 2], pads: [0; 4], groups: 1 }
    }
}
