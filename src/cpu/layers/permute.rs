//! Values that change places across channels and pixels.

use crate::cpu::gemm::weights::Weights;
use crate::cpu::memory::Map;
use crate::cpu::operation::{Frame, Operation};
use crate::cpu::rows::for_each_sample;
use crate::layers;
use crate::plan::{BackwardStep, Step};

/// Axes of a view in another order.
pub(crate) struct Permute {
    pub step: Step,
    pub layer: layers::Permute,
}

/// Copies every value of `x` to its place in `y`, or adds it there when `accumulate`.
fn gather(layer: layers::Permute, frame: &Frame, x: &Map, y: &mut Map, accumulate: bool) {
    let [from, to] = [x, &*y].map(|map| map.view.h * map.view.w);
    let (samples, cost) = (frame.n, 8 * to * y.view.c);
    for_each_sample(frame.pool, samples, cost, [x], y, |s, [x], y| {
        for p in 0..to {
            for (c, y) in y.row_mut(s * to + p).iter_mut().enumerate() {
                let i = layer.source(c * to + p);
                let x = x.row(s * from + i % from)[i / from];
                *y = if accumulate { *y + x } else { x };
            }
        }
    });
}

impl Operation for Permute {
    fn forward(&self, frame: &Frame) {
        let (x, mut y) = (frame.map(self.step.inputs[0]), frame.map(self.step.output));
        gather(self.layer, frame, &x, &mut y, false);
    }

    fn backward(&self, frame: &Frame, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(write) = step.dx[0] else { return };
        let (dy, mut dx) = (frame.map(step.dy), frame.map(write.view));
        gather(self.layer.inverse(), frame, &dy, &mut dx, write.accumulate);
    }
}
