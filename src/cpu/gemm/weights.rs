//! Packed weights. Training keeps weights, gradients and optimizer state in this form; only files and callers see OIHW.

use super::layout::Layout;
use crate::cpu::algorithm::Algorithm;
use crate::cpu::memory::Buffer;

/// A layer's packed weights, or anything that has a value for each of them: gradients, optimizer state.
#[derive(Clone)]
pub(crate) struct Weights {
    pub layout: Layout,
    pub weight: Buffer,
    /// Zeros for a layer without a bias.
    pub bias: Buffer,
    pub has_bias: bool,
    /// Running mean and variance of a batch normalisation, or, in its gradients, the statistics of the batch. Empty for
    /// other layers.
    pub statistics: [Buffer; 2],
    /// Fraction by which running statistics move towards the batch in one step; 0 for other layers.
    pub momentum: f32,
    /// Factors of sums of integers, or of quantized weights, packed like the bias; empty for floats.
    pub scales: Buffer,
    /// Range of the inputs of a layer in integers; 0 for other layers.
    pub range: f32,
}

impl Weights {
    /// Adds weights and bias of `other`; statistics stay.
    pub(crate) fn add(&mut self, other: &Weights) {
        for (sum, part) in [(&mut self.weight, &other.weight), (&mut self.bias, &other.bias)] {
            sum.iter_mut().zip(part.iter()).for_each(|(sum, part)| *sum += part);
        }
    }

    /// Multiplies weights and bias; statistics stay.
    pub(crate) fn scale(&mut self, factor: f32) {
        self.weight.iter_mut().chain(self.bias.iter_mut()).for_each(|v| *v *= factor);
    }

    /// Returns zeros of equal shape.
    pub(crate) fn zeros(&self) -> Self {
        Weights {
            weight: Buffer::zeros(self.weight.len()),
            bias: Buffer::zeros(self.bias.len()),
            statistics: self.statistics.each_ref().map(|s| Buffer::zeros(s.len())),
            scales: Buffer::default(),
            ..*self
        }
    }

    /// Returns the bytes of all buffers.
    pub(crate) fn bytes(&self) -> usize {
        self.weight.bytes()
            + self.bias.bytes()
            + self.scales.bytes()
            + self.statistics.iter().map(Buffer::bytes).sum::<usize>()
    }

    /// True if the weights are quantized and become floats when they are read.
    pub(crate) fn is_quantized(&self) -> bool {
        self.layout.algorithm == Algorithm::Direct && !self.scales.is_empty()
    }
}
