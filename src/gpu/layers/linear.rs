//! A linear layer: a convolution whose kernel covers its input. The input is one pixel without gaps, or a map that no
//! flatten has reordered.

use super::conv2d::Conv;
use crate::gpu::operation::GpuOperation;
use crate::gpu::recorder::Recorder;
use crate::layers::Window;
use crate::plan::{BackwardStep, GradWrite, Step, View};

pub(in crate::gpu) struct Linear {
    pub step: Step,
}

/// Views a map without gaps between its pixels as one pixel with all its values.
fn as_pixel(view: View) -> View {
    if view.pixel_stride != view.c || view.h * view.w == 1 {
        return view;
    }
    let c = view.c * view.h * view.w;
    View { c, pixel_stride: c, h: 1, w: 1, ..view }
}

impl Linear {
    fn conv(&self, r: &Recorder<'_>) -> Conv {
        let mut slot = r.slot(self.step.node);
        let x = as_pixel(self.step.inputs[0]);
        // The order of the weights does not depend on whether the input is one pixel.
        slot.weight_layout.kernel = [x.h, x.w];
        slot.weight_layout.cin = x.c;
        let window = Window { kernel: [x.h, x.w], ..Window::new(1) };
        Conv { x, y: self.step.output, addend: None, window, slot, frozen: self.step.frozen }
    }
}

impl GpuOperation for Linear {
    fn forward(&self, r: &mut Recorder<'_>) {
        self.conv(r).forward(r, self.step.activation);
    }

    fn backward(&self, r: &mut Recorder<'_>, back: &BackwardStep) {
        let dx = back.dx[0].map(|dx| GradWrite { view: as_pixel(dx.view), ..dx });
        self.conv(r).backward(r, back.dy, dx);
    }
}
