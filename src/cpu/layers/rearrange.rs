//! Layers that only move values: pad, slice, channel shuffle. Each says where an output pixel or channel comes from.

use crate::cpu::gemm::weights::Weights;
use crate::cpu::operation::{ExecContext, Operation};
use crate::cpu::rows::for_each_sample;
use crate::layers;
use crate::plan::{BackwardStep, Step};

/// Pad, slice or channel shuffle.
pub(crate) struct Rearrange {
    step: Step,
    /// For each pixel of an output map, the pixel of the input map that it shows.
    pixels: Vec<Option<usize>>,
    /// For each channel of an output map, the channel of the input map that it shows.
    channels: Vec<Option<usize>>,
    /// Value of outputs that show no input.
    fill: f32,
}

impl Rearrange {
    pub(crate) fn pad(layer: &layers::Pad, step: Step) -> Self {
        let source = |a: usize, o: usize| o.checked_sub(layer.before[a]);
        Self::new(step, layer.value, source)
    }

    pub(crate) fn slice(layer: &layers::Slice, step: Step) -> Self {
        Self::new(step, 0.0, |a, o| Some(layer.start[a] + o * layer.step[a]))
    }

    pub(crate) fn shuffle(layer: &layers::ChannelShuffle, step: Step) -> Self {
        let c = step.inputs[0].c;
        Self::new(step, 0.0, |a, o| Some(if a == 0 { layer.source(o, c) } else { o }))
    }

    /// `source(axis, o)` is the input index on an axis (channels, rows, columns) that output index `o` shows.
    fn new(step: Step, fill: f32, source: impl Fn(usize, usize) -> Option<usize>) -> Self {
        let (x, y) = (step.inputs[0], step.output);
        let source = |a: usize, o: usize| source(a, o).filter(|&i| i < [x.c, x.h, x.w][a]);
        let pixel = |p: usize| Some(source(1, p / y.w)? * x.w + source(2, p % y.w)?);
        let pixels = (0..y.h * y.w).map(pixel).collect();
        let channels = (0..y.c).map(|o| source(0, o)).collect();
        Rearrange { step, pixels, channels, fill }
    }

    /// Returns the pixels of y in sample `s`, each with the pixel of x that it shows. A sample of x has `inputs` pixels.
    fn sources(&self, s: usize, inputs: usize) -> impl Iterator<Item = (usize, Option<usize>)> {
        let first = s * self.pixels.len();
        self.pixels.iter().enumerate().map(move |(p, source)| (first + p, source.map(|i| s * inputs + i)))
    }

    /// Returns the work of one sample, in floats.
    fn cost(&self) -> usize {
        self.pixels.len() * self.channels.len()
    }
}

impl Operation for Rearrange {
    fn forward(&self, ctx: &ExecContext) {
        let (x, mut y) = (ctx.map(self.step.inputs[0]), ctx.map(self.step.output));
        let inputs = x.view.h * x.view.w;
        for_each_sample(ctx.pool, ctx.n, self.cost(), [&x], &mut y, |s, [x], y| {
            for (p, source) in self.sources(s, inputs) {
                let y = y.row_mut(p);
                let Some(source) = source else {
                    y.fill(self.fill);
                    continue;
                };
                let x = x.row(source);
                for (y, channel) in y.iter_mut().zip(&self.channels) {
                    *y = channel.map_or(self.fill, |c| x[c]);
                }
            }
        });
    }

    fn backward(&self, ctx: &ExecContext, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(write) = step.dx[0] else { return };
        let (dy, mut dx) = (ctx.map(step.dy), ctx.map(write.view));
        let inputs = dx.view.h * dx.view.w;
        for_each_sample(ctx.pool, ctx.n, self.cost(), [&dy], &mut dx, |s, [dy], dx| {
            if !write.accumulate {
                (s * inputs..(s + 1) * inputs).for_each(|p| dx.row_mut(p).fill(0.0));
            }
            for (p, source) in self.sources(s, inputs) {
                let Some(source) = source else { continue };
                let dx = dx.row_mut(source);
                for (dy, channel) in dy.row(p).iter().zip(&self.channels) {
                    if let Some(c) = channel {
                        dx[*c] += dy;
                    }
                }
            }
        });
    }
}
