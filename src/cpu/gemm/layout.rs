//! Where packed weights lie.

use super::panels::Panels;
use crate::cpu::algorithm::Algorithm;

/// How one layer's weights are packed: for each group a matrix of `(ky, kx, channel)` rows and output columns. A linear
/// layer over a map is a convolution whose kernel is as large as the map, so its input may lie as the map does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub groups: usize,
    /// Input channels of a group.
    pub cig: usize,
    /// Kernel positions.
    pub taps: usize,
    pub panels: Panels,
    /// Channels of a row; more than one only of codes.
    pub word: usize,
    /// What computes with them.
    pub algorithm: Algorithm,
}

impl Layout {
    pub(crate) fn new(groups: usize, cig: usize, taps: usize, cog: usize) -> Self {
        Layout { groups, cig, taps, panels: Panels::new(taps * cig, cog), word: 1, algorithm: Algorithm::Direct }
    }

    /// The same with a row for so many channels.
    pub(crate) fn in_words(self, word: usize) -> Self {
        Layout { panels: Panels { k: self.taps * self.cig.div_ceil(word), ..self.panels }, word, ..self }
    }

    /// Words of codes that hold a group's channels.
    pub(crate) fn words(&self) -> usize {
        self.cig.div_ceil(self.word)
    }

    /// Output columns of all groups, with those that fill the last vectors.
    pub(crate) fn bias_floats(&self) -> usize {
        self.groups * self.panels.padded()
    }

    /// One group's part of the packed weights.
    pub(crate) fn group<'a>(&self, weight: &'a [f32], g: usize) -> &'a [f32] {
        &weight[g * self.panels.floats()..][..self.panels.floats()]
    }

    /// One group's part of the packed bias.
    pub(crate) fn group_bias<'a>(&self, bias: &'a [f32], g: usize) -> &'a [f32] {
        &bias[g * self.panels.padded()..][..self.panels.padded()]
    }
}
