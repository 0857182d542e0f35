//! Channel shuffle (Zhang et al., 2018, ShuffleNet): channels `[g, C / g]` become `[C / g, g]`, so that grouped
//! convolutions see each other's channels.

use super::attributes::attributes;
use super::{Gradients, LayerDef, Mismatch, Mode, Reference, only_map};
use crate::tensor::{Shape, Tensor};

/// Attributes of a channel shuffle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelShuffle {
    /// g, a divisor of the channels.
    pub groups: usize,
}

attributes!(ChannelShuffle { groups });

impl ChannelShuffle {
    /// The input channel that output channel `o` of `channels` shows.
    pub fn source(&self, o: usize, channels: usize) -> usize {
        o % self.groups * (channels / self.groups) + o / self.groups
    }

    /// The flat index in x of the value at flat index `i` of y.
    fn at(&self, [_, c, h, w]: [usize; 4], i: usize) -> usize {
        let (s, ch, p) = (i / (c * h * w), i / (h * w) % c, i % (h * w));
        (s * c + self.source(ch, c)) * h * w + p
    }
}

impl LayerDef for ChannelShuffle {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        let (c, _, _) = only_map(inputs)?;
        if self.groups == 0 || c % self.groups != 0 {
            return Err(Mismatch::new("groups", format!("a divisor of {c} channels"), self.groups));
        }
        Ok(inputs[0].clone())
    }
}

impl Reference for ChannelShuffle {
    fn forward(&self, x: &[&Tensor<f64>], _params: &[&Tensor<f64>], _mode: Mode) -> Tensor<f64> {
        let data = (0..x[0].data.len()).map(|i| x[0].data[self.at(x[0].nchw(), i)]).collect();
        Tensor { shape: x[0].shape.clone(), data }
    }

    fn backward(
        &self,
        x: &[&Tensor<f64>],
        _params: &[&Tensor<f64>],
        _y: &Tensor<f64>,
        dy: &Tensor<f64>,
        _mode: Mode,
    ) -> Gradients {
        let mut dx = dy.clone();
        for (i, &dy) in dy.data.iter().enumerate() {
            dx.data[self.at(x[0].nchw(), i)] = dy;
        }
        Gradients::input(dx)
    }
}
