//! Product of two inputs; the second may be a map of one pixel.

use crate::cpu::gemm::weights::Weights;
use crate::cpu::memory::Map;
use crate::cpu::operation::{ExecContext, Operation};
use crate::cpu::rows::{for_each_row, for_each_sample, reading};
use crate::plan::{BackwardStep, Step};

/// Product of two inputs.
pub(crate) struct Mul {
    pub step: Step,
}

/// Returns the pixels of one sample.
fn area(map: &Map) -> usize {
    map.view.h * map.view.w
}

impl Operation for Mul {
    fn forward(&self, ctx: &ExecContext) {
        let [a, b, mut y] = [self.step.inputs[0], self.step.inputs[1], self.step.output].map(|view| ctx.map(view));
        let spread = area(&a) / area(&b);
        for_each_row(ctx.pool, a.view.c, [&a], &mut y, |p, [x], y| {
            let [b] = reading([&b]);
            y.iter_mut().zip(x).zip(b.row(p / spread)).for_each(|((y, a), b)| *y = a * b);
        });
    }

    fn backward(&self, ctx: &ExecContext, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let [a, b, dy] = [self.step.inputs[0], self.step.inputs[1], step.dy].map(|view| ctx.map(view));
        let (pixels, spread) = (area(&a), area(&a) / area(&b));
        for (i, write) in step.dx.iter().enumerate() {
            let Some(write) = write else { continue };
            let (mut to, other) = (ctx.map(write.view), if i == 0 { &b } else { &a });
            // By samples: a gradient of the second input may sum over the pixels of one.
            for_each_sample(ctx.pool, ctx.n, pixels * a.view.c, [&dy, other], &mut to, |s, [dy, other], to| {
                if !write.accumulate {
                    let own = pixels / if i == 0 { 1 } else { spread };
                    (s * own..(s + 1) * own).for_each(|p| to.row_mut(p).fill(0.0));
                }
                for p in s * pixels..(s + 1) * pixels {
                    let (source, at) = if i == 0 { (p / spread, p) } else { (p, p / spread) };
                    let products = dy.row(p).iter().zip(other.row(source));
                    to.row_mut(at).iter_mut().zip(products).for_each(|(to, (dy, v))| *to += dy * v);
                }
            });
        }
    }
}
