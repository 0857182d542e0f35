//! Weights as the kernels read them: packed panels. Training keeps weights, gradients and optimizer state in this form;
//! only files and callers see OIHW.

use super::layout::Layout;
use crate::cpu::algorithm::Algorithm;
use crate::cpu::memory::Buffer;

/// A layer's packed weights, or anything that has a value for each of them: gradients, optimizer state.
#[derive(Clone)]
pub(crate) struct Weights {
    pub layout: Layout,
    pub weight: Buffer,
    /// Zeros when the layer has none.
    pub bias: Buffer,
    pub has_bias: bool,
    /// A batch normalisation's running mean and variance; in its gradients, what they move towards. Empty for others.
    pub statistics: [Buffer; 2],
    /// How far they move in one step; 0 for others.
    pub momentum: f32,
    /// What sums of integers, or codes, are multiplied with, packed like the bias; empty for others.
    pub scales: Buffer,
    /// Of the inputs, of a layer in integers; 0 for others.
    pub range: f32,
}

impl Weights {
    /// Adds others; statistics stay.
    pub(crate) fn add(&mut self, other: &Weights) {
        for (sum, part) in [(&mut self.weight, &other.weight), (&mut self.bias, &other.bias)] {
            sum.iter_mut().zip(part.iter()).for_each(|(sum, part)| *sum += part);
        }
    }

    /// Multiplies all but statistics.
    pub(crate) fn scale(&mut self, factor: f32) {
        self.weight.iter_mut().chain(self.bias.iter_mut()).for_each(|v| *v *= factor);
    }

    /// Zeros for each of these weights.
    pub(crate) fn zeros(&self) -> Self {
        Weights {
            weight: Buffer::zeros(self.weight.len()),
            bias: Buffer::zeros(self.bias.len()),
            statistics: self.statistics.each_ref().map(|s| Buffer::zeros(s.len())),
            scales: Buffer::default(),
            ..*self
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.weight.bytes()
            + self.bias.bytes()
            + self.scales.bytes()
            + self.statistics.iter().map(Buffer::bytes).sum::<usize>()
    }

    /// Whether weights are codes that become floats when they are read.
    pub(crate) fn is_quantized(&self) -> bool {
        self.layout.algorithm == Algorithm::Direct && !self.scales.is_empty()
    }
}
