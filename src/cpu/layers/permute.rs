//! Values that change places across channels and pixels.

use crate::cpu::gemm::weights::Weights;
use crate::cpu::memory::Map;
use crate::cpu::operation::{ExecContext, Operation};
use crate::cpu::rows::for_each_sample;
use crate::layers;
use crate::plan::{BackwardStep, Step};

/// Axes of a view in another order.
pub(crate) struct Permute {
    pub step: Step,
    pub layer: layers::Permute,
}

/// Copies every value of `x` to its place in `y`, or adds it there when `accumulate`.
fn gather(layer: layers::Permute, ctx: &ExecContext, x: &Map, y: &mut Map, accumulate: bool) {
    let [from, to] = [x, &*y].map(|map| map.view.h * map.view.w);
    let (samples, cost) = (ctx.n, 8 * to * y.view.c);
    for_each_sample(ctx.pool, samples, cost, [x], y, |s, [x], y| {
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
    fn forward(&self, ctx: &ExecContext) {
        let (x, mut y) = (ctx.map(self.step.inputs[0]), ctx.map(self.step.output));
        gather(self.layer, ctx, &x, &mut y, false);
    }

    fn backward(&self, ctx: &ExecContext, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(write) = step.dx[0] else { return };
        let (dy, mut dx) = (ctx.map(step.dy), ctx.map(write.view));
        gather(self.layer.inverse(), ctx, &dy, &mut dx, write.accumulate);
    }
}
