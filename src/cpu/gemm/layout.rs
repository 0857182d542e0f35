//! The layout of packed weights.

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
    /// The algorithm that reads the weights.
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

    /// Returns the number of 32-bit elements that hold the channels of a group.
    pub(crate) fn packed_channels(&self) -> usize {
        self.cig.div_ceil(self.packing_factor)
    }

    /// Returns the output columns of all groups, each padded to whole vectors.
    pub(crate) fn bias_floats(&self) -> usize {
        self.groups * self.panels.padded()
    }

    /// Returns the packed weights of one group.
    pub(crate) fn group<'a>(&self, weight: &'a [f32], g: usize) -> &'a [f32] {
        &weight[g * self.panels.floats()..][..self.panels.floats()]
    }

    /// Returns the packed bias of one group.
    pub(crate) fn group_bias<'a>(&self, bias: &'a [f32], g: usize) -> &'a [f32] {
        &bias[g * self.panels.padded()..][..self.panels.padded()]
    }
}
