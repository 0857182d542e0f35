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
    /// Quantized channels in each 32-bit element of a panel: 2 of 16 bits or 4 of 8 bits; 1 for floats.
    pub packing_factor: usize,
    /// What computes with them.
    pub algorithm: Algorithm,
}

impl Layout {
    pub(crate) fn new(groups: usize, cig: usize, taps: usize, cog: usize) -> Self {
        Layout {
            groups,
            cig,
            taps,
            panels: Panels::new(taps * cig, cog),
            packing_factor: 1,
            algorithm: Algorithm::Direct,
        }
    }

    /// Returns the layout with one panel row for each `packing_factor` channels.
    pub(crate) fn with_packing_factor(self, packing_factor: usize) -> Self {
        Layout {
            panels: Panels { k: self.taps * self.cig.div_ceil(packing_factor), ..self.panels },
            packing_factor,
            ..self
        }
    }

    /// Number of 32-bit elements that hold the channels of a group.
    pub(crate) fn packed_channels(&self) -> usize {
        self.cig.div_ceil(self.packing_factor)
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
