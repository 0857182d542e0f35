//! A linear layer is a convolution whose kernel covers its input: one pixel without gaps, or the map that a flatten
//! would have reordered.

use super::conv2d::Conv;
use super::program::Recorder;
use crate::layers::Window;
use crate::plan::{BackwardStep, GradWrite, Step, View};

/// A map without gaps between its pixels is one pixel of all its values.
fn as_pixel(p: View) -> View {
    if p.pixel_stride != p.c || p.h * p.w == 1 {
        return p;
    }
    let c = p.c * p.h * p.w;
    View { c, pixel_stride: c, h: 1, w: 1, ..p }
}

fn conv(r: &Recorder<'_>, step: &Step) -> Conv {
    let mut slot = r.slot(step.node);
    let x = as_pixel(step.inputs[0]);
    // The order of the weights is the same either way.
    slot.form.kernel = [x.h, x.w];
    slot.form.cin = x.c;
    let window = Window { kernel: [x.h, x.w], ..Window::new(1) };
    Conv { x, y: step.output, addend: None, window, slot, frozen: step.frozen }
}

pub(super) fn forward(r: &mut Recorder<'_>, step: &Step) {
    conv(r, step).forward(r, step.activation);
}

pub(super) fn backward(r: &mut Recorder<'_>, step: &Step, back: &BackwardStep) {
    let dx = back.dx[0].map(|dx| GradWrite { view: as_pixel(dx.view), ..dx });
    conv(r, step).backward(r, back.dy, dx);
}
