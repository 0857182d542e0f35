//! Weights as the kernels read them: packed panels. Training keeps weights, gradients and optimizer state in this form;
//! only files and callers see OIHW.

use super::algorithm::{self, Algorithm, Prefer};
use super::conv2d::Geometry;
use super::gemm::{Panels, pack};
use super::int8;
use super::linear;
use super::memory::Buffer;
use super::winograd;
use crate::graph::{Graph, Params};
use crate::layers::Layer;
use crate::plan::{Place, Step};
use crate::quant;
use crate::tensor::Tensor;

/// How one layer's weights are packed: for each group a matrix of `(ky, kx, channel)` rows and output columns. A linear
/// layer over a map is a convolution whose kernel is as large as the map, so its input may lie as the map does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub groups: usize,
    /// Input channels of a group.
    pub cig: usize,
    /// Kernel positions.
    pub taps: usize,
    pub panels: Panels,
    /// What computes with them.
    pub algorithm: Algorithm,
}

impl Layout {
    pub(super) fn new(groups: usize, cig: usize, taps: usize, cog: usize) -> Self {
        Layout { groups, cig, taps, panels: Panels::new(taps * cig, cog), algorithm: Algorithm::Direct }
    }

    /// The layout for a convolution that an algorithm computes.
    pub(super) fn of_convolution(geometry: &Geometry, algorithm: Algorithm, x: Place, y: Place) -> Self {
        let (groups, taps) = (geometry.groups, geometry.kernel[0] * geometry.kernel[1]);
        let layout = match algorithm {
            // A row of channels for each tap.
            Algorithm::Depthwise => Layout::new(1, 1, taps, y.c),
            // Each position has a matrix of channels.
            Algorithm::Winograd => {
                let (cig, cog) = (x.c / groups, y.c / groups);
                Layout { panels: Panels::new(cig, cog), ..Layout::new(groups, cig, taps, cog) }
            }
            Algorithm::Direct => Layout::new(groups, x.c / groups, taps, y.c / groups),
            // A row for two channels.
            Algorithm::Int8 => {
                let (cig, cog) = (x.c / groups, y.c / groups);
                Layout { panels: Panels::new(taps * int8::words(cig), cog), ..Layout::new(groups, cig, taps, cog) }
            }
        };
        Layout { algorithm, ..layout }
    }

    /// The layout of the weights of a step's layer, when it has some.
    pub(super) fn of(layer: &Layer, step: &Step, prefer: Prefer, calibrated: bool) -> Option<Self> {
        let (x, y) = (step.inputs[0], step.output);
        match layer {
            Layer::Conv2d(conv) => {
                let geometry = Geometry::of(conv, x);
                let algorithm = algorithm::choose(&geometry, x, y, prefer, calibrated);
                Some(Layout::of_convolution(&geometry, algorithm, x, y))
            }
            Layer::Linear(_) => {
                let algorithm = linear::algorithm(x, y, prefer, calibrated);
                Some(Layout::of_convolution(&linear::geometry(x), algorithm, x, y))
            }
            Layer::BatchNorm2d(_) => Some(Layout::new(1, 1, 1, x.c)),
            _ => None,
        }
    }

    /// Output columns of all groups, with those that fill the last vectors.
    fn bias_floats(&self) -> usize {
        self.groups * self.panels.padded()
    }

    /// One group's part of the packed weights.
    pub(super) fn group<'a>(&self, weight: &'a [f32], g: usize) -> &'a [f32] {
        &weight[g * self.panels.floats()..][..self.panels.floats()]
    }

    /// One group's part of the packed bias.
    pub(super) fn group_bias<'a>(&self, bias: &'a [f32], g: usize) -> &'a [f32] {
        &bias[g * self.panels.padded()..][..self.panels.padded()]
    }

    /// Where row k stands in `[channel, ky, kx]`.
    fn chw(&self, k: usize) -> usize {
        k % self.cig * self.taps + k / self.cig
    }

    fn pack_weight(&self, oihw: &[f32]) -> Buffer {
        if self.algorithm == Algorithm::Winograd {
            return winograd::pack(self, oihw);
        }
        let mut packed = Buffer::zeros(self.groups * self.panels.floats());
        let Panels { k: rows, n: columns, .. } = self.panels;
        for (g, to) in packed.chunks_exact_mut(self.panels.floats()).enumerate() {
            pack(self.panels, to, |k, n| oihw[(g * columns + n) * rows + self.chw(k)]);
        }
        packed
    }

    fn unpack_weight(&self, packed: &[f32]) -> Vec<f32> {
        let Panels { k: rows, n: columns, .. } = self.panels;
        let mut oihw = vec![0.0; self.groups * columns * rows];
        for (o, to) in oihw.chunks_exact_mut(rows).enumerate() {
            let from = self.group(packed, o / columns);
            let (start, width) = self.panels.place(o % columns);
            (0..rows).for_each(|k| to[self.chw(k)] = from[start + k * width]);
        }
        oihw
    }

    fn pack_bias(&self, bias: &[f32]) -> Buffer {
        let mut packed = Buffer::zeros(self.bias_floats());
        for (to, from) in packed.chunks_exact_mut(self.panels.padded()).zip(bias.chunks_exact(self.panels.n)) {
            to[..from.len()].copy_from_slice(from);
        }
        packed
    }

    fn unpack_bias(&self, packed: &[f32]) -> Vec<f32> {
        packed.chunks_exact(self.panels.padded()).flat_map(|g| &g[..self.panels.n]).copied().collect()
    }
}

/// A layer's packed weights, or anything that has a value for each of them: gradients, optimizer state.
#[derive(Clone)]
pub(super) struct Weights {
    pub layout: Layout,
    pub weight: Buffer,
    /// Zeros when the layer has none.
    pub bias: Buffer,
    pub has_bias: bool,
    /// A batch normalisation's running mean and variance; in its gradients, what they move towards. Empty for others.
    pub statistics: [Buffer; 2],
    /// How far they move in one step; 0 for others.
    pub momentum: f32,
    /// What sums of integers are multiplied with, packed like the bias; empty for others.
    pub scales: Buffer,
    /// Of the inputs, of a layer in integers; 0 for others.
    pub range: f32,
}

impl Weights {
    /// Those of a step's layer, when it has some.
    pub(super) fn of(graph: &Graph, params: &Params, step: &Step, prefer: Prefer) -> Option<Self> {
        let i = step.node;
        let range = params.ranges().get(&graph.nodes()[i].name);
        let layout = Layout::of(&graph.nodes()[i].layer, step, prefer, range.is_some())?;
        let tensors = params.of_node(graph, i);
        let bias = match tensors.get(1) {
            Some(bias) => layout.pack_bias(&bias.data),
            None => Buffer::zeros(layout.bias_floats()),
        };
        let statistics = [2, 3].map(|i| tensors.get(i).map_or_else(Buffer::default, |t| Buffer::from(&t.data[..])));
        let momentum = match &graph.nodes()[i].layer {
            Layer::BatchNorm2d(norm) => norm.momentum,
            _ => 0.0,
        };
        let (weight, scales, range) = match (layout.algorithm, range) {
            (Algorithm::Int8, Some(range)) => {
                let (weight, scales) = int8::pack(&layout, &quant::quantize(tensors[0]), range / quant::INPUT_LEVELS);
                (weight, layout.pack_bias(&scales), range)
            }
            _ => (layout.pack_weight(&tensors[0].data), Buffer::default(), 0.0),
        };
        Some(Weights { layout, weight, bias, has_bias: tensors.len() > 1, statistics, momentum, scales, range })
    }

    /// Zeros for each of these weights.
    pub(super) fn zeros(&self) -> Self {
        Weights {
            weight: Buffer::zeros(self.weight.len()),
            bias: Buffer::zeros(self.bias.len()),
            statistics: self.statistics.each_ref().map(|s| Buffer::zeros(s.len())),
            scales: Buffer::default(),
            ..*self
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.weight.bytes()
            + self.bias.bytes()
            + self.scales.bytes()
            + self.statistics.iter().map(Buffer::bytes).sum::<usize>()
    }

    /// The tensors in a caller's order: weight, then bias if there is one, then statistics if there are some.
    pub(super) fn unpack(&self) -> Vec<Vec<f32>> {
        let bias = self.has_bias.then(|| self.layout.unpack_bias(&self.bias));
        let statistics = self.statistics.iter().filter(|s| !s.is_empty()).map(|s| s.to_vec());
        std::iter::once(self.layout.unpack_weight(&self.weight)).chain(bias).chain(statistics).collect()
    }

    /// Takes the tensors of [`Weights::unpack`] back.
    pub(super) fn restore(&mut self, weight: &Tensor, bias: Option<&Tensor>) {
        self.weight = self.layout.pack_weight(&weight.data);
        if let Some(bias) = bias {
            self.bias = self.layout.pack_bias(&bias.data);
        }
    }
}
