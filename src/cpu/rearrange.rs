//! Layers that only move values: pad, slice, channel shuffle. Each says where an output pixel or channel comes from.

use super::memory::{Map, split};
use super::operation::{Frame, Operation};
use super::weights::Weights;
use crate::layers;
use crate::plan::{BackwardStep, Step};

/// Pad, slice or channel shuffle.
pub(super) struct Rearrange {
    step: Step,
    /// For each pixel of an output map, the pixel of the input map that it shows.
    pixels: Vec<Option<usize>>,
    /// The same for channels.
    channels: Vec<Option<usize>>,
    /// What shows nothing.
    fill: f32,
}

impl Rearrange {
    pub(super) fn pad(layer: &layers::Pad, step: Step) -> Self {
        let source = |a: usize, o: usize| o.checked_sub(layer.before[a]);
        Self::new(step, layer.value, source)
    }

    pub(super) fn slice(layer: &layers::Slice, step: Step) -> Self {
        Self::new(step, 0.0, |a, o| Some(layer.start[a] + o * layer.step[a]))
    }

    pub(super) fn shuffle(layer: &layers::ChannelShuffle, step: Step) -> Self {
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

    /// Calls `f(pixel of y, pixel of x)` for all pixels of y, in parallel by samples.
    fn for_pixels(&self, frame: &Frame, x: &Map, f: impl Fn(usize, Option<usize>) + Sync) {
        let (outputs, inputs) = (self.pixels.len(), x.view.h * x.view.w);
        split(frame.pool, frame.n, outputs * self.channels.len(), |samples| {
            for s in samples {
                for (p, source) in self.pixels.iter().enumerate() {
                    f(s * outputs + p, source.map(|i| s * inputs + i));
                }
            }
        });
    }
}

impl Operation for Rearrange {
    fn forward(&self, frame: &Frame) {
        let (x, y) = (frame.map(self.step.inputs[0]), frame.map(self.step.output));
        self.for_pixels(frame, &x, |p, source| {
            // SAFETY: the plan keeps input and output apart; each task has its own samples.
            let y = unsafe { y.row_mut(p) };
            let Some(source) = source else { return y.fill(self.fill) };
            // SAFETY: the same.
            let x = unsafe { x.row(source) };
            for (y, channel) in y.iter_mut().zip(&self.channels) {
                *y = channel.map_or(self.fill, |c| x[c]);
            }
        });
    }

    fn backward(&self, frame: &Frame, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(write) = step.dx[0] else { return };
        let (dy, dx) = (frame.map(step.dy), frame.map(write.view));
        if !write.accumulate {
            split(frame.pool, dx.pixels, dx.view.c, |range| {
                // SAFETY: nobody else uses the gradient now; each task has its own pixels.
                range.for_each(|p| unsafe { dx.row_mut(p).fill(0.0) });
            });
        }
        self.for_pixels(frame, &dx, |p, source| {
            let Some(source) = source else { return };
            // SAFETY: the plan keeps the gradients apart; each task has its own samples.
            let (dy, dx) = unsafe { (dy.row(p), dx.row_mut(source)) };
            for (dy, channel) in dy.iter().zip(&self.channels) {
                if let Some(c) = channel {
                    dx[*c] += dy;
                }
            }
        });
    }
}
