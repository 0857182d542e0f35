//! Channel shuffle.

use serde::{Deserialize, Serialize};

use super::definition::{LayerDef, Mismatch, only_map};
use super::reference::{Gradients, Mode, Reference};
use crate::tensor::{Shape, Tensor};

/// Channel shuffle (ShuffleNet; Zhang et al., 2018): channels, seen as `[g, C / g]`, are transposed to `[C / g, g]`, so
/// that the groups of the next grouped convolution see channels of all groups.
///
/// # Shapes
/// Input `[C, H, W]`; the output has the shape of the input.
///
/// # Examples
/// ```
/// use convoke::layers::{ChannelShuffle, Mode, Reference};
/// use convoke::tensor::Tensor;
/// let x = Tensor::new([1, 4, 1, 1], vec![0.0, 1.0, 2.0, 3.0])?;
/// let y = ChannelShuffle { groups: 2 }.forward(&[&x], &[], Mode::Inference);
/// assert_eq!(y.data, [0.0, 2.0, 1.0, 3.0]);
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelShuffle {
    /// g, the number of groups: a divisor of the input's channels.
    pub groups: usize,
}

impl ChannelShuffle {
    /// Returns the input channel that becomes output channel `o` of `channels`.
    pub fn source(&self, o: usize, channels: usize) -> usize {
        o % self.groups * (channels / self.groups) + o / self.groups
    }

    /// Returns the flat index in x of the value at flat index `i` of y.
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
