//! Packing and unpacking of a layer's tensors.

use std::sync::Arc;

use super::geometry::Geometry;
use super::{depthwise, int8, select, winograd};
use crate::cpu::algorithm::{ActivationQuant, Algorithm, Prefer};
use crate::cpu::gemm::layout::Layout;
use crate::cpu::gemm::panels::Panels;
use crate::cpu::gemm::weights::Weights;
use crate::cpu::gemm::{dequant, int8 as int8_gemm};
use crate::cpu::memory::Buffer;
use crate::cpu::simd;
use crate::error::Result;
use crate::graph::{Graph, Param, Params, ReadParam};
use crate::layers::Layer;
use crate::plan::{Step, View};
use crate::tensor::Tensor;
use crate::tensor::quantized::{self, Quantized};

/// Rows of a panel that are exchanged with OIHW at a time.
const EXCHANGED_ROWS: usize = 256;

impl Layout {
    /// Returns the layout for a convolution that an algorithm computes.
    pub(crate) fn of_convolution(
        geometry: &Geometry,
        algorithm: Algorithm,
        x: View,
        y: View,
        activation_quant: ActivationQuant,
    ) -> Self {
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
            Algorithm::Int8 => {
                let packing_factor = if activation_quant == ActivationQuant::U8 { 4 } else { 2 };
                Layout::new(groups, x.c / groups, taps, y.c / groups).with_packing_factor(packing_factor)
            }
        };
        Layout { algorithm, ..layout }
    }

    /// Returns the layout of the weights of a step's layer; `None` for a layer without weights.
    pub(crate) fn of(layer: &Layer, step: &Step, prefer: Prefer, activation_quant: ActivationQuant) -> Option<Self> {
        let (x, y) = (step.inputs[0], step.output);
        match layer {
            Layer::Conv2d(conv) => {
                let geometry = Geometry::of(conv, x);
                let algorithm = select::choose(&geometry, x, y, prefer, activation_quant);
                Some(Layout::of_convolution(&geometry, algorithm, x, y, activation_quant))
            }
            Layer::Linear(_) => {
                let algorithm = select::linear(x, y, prefer, activation_quant);
                Some(Layout::of_convolution(&Geometry::linear(x), algorithm, x, y, activation_quant))
            }
            Layer::BatchNorm2d(_) => Some(Layout::new(1, 1, 1, x.c)),
            _ => None,
        }
    }

    /// Returns the pixels and channels that the innermost loop computes at once, for a map of `pixels`.
    pub(crate) fn tile(&self, pixels: usize) -> [usize; 2] {
        let Panels { n, lanes, .. } = self.panels;
        let columns = n.next_multiple_of(lanes).min(2 * lanes);
        let rows = |most: usize| if pixels == 1 { 1 } else { most };
        match self.algorithm {
            Algorithm::Direct => [rows(simd::rows()), columns],
            Algorithm::Int8 => [rows(int8_gemm::tile_height(self.packing_factor)), columns],
            Algorithm::Depthwise => [depthwise::PIXELS.min(pixels), lanes],
            Algorithm::Winograd => [winograd::outputs(if self.taps == 9 { 3 } else { 5 }); 2],
        }
    }

    /// Returns the floats of the packed weights, biases and scales.
    pub(crate) fn floats(&self) -> usize {
        let weight = match self.algorithm {
            Algorithm::Winograd => winograd::floats(self),
            Algorithm::Int8 => int8::floats(self),
            _ => self.groups * self.panels.floats(),
        };
        weight + 2 * self.bias_floats()
    }

    /// Calls `f(place in OIHW, place in the panels)` for every weight, some rows of a panel at a time: the one is read or
    /// written in its own order, and what the other needs meanwhile stays in the cache.
    #[inline(always)]
    fn exchange(&self, mut f: impl FnMut(usize, usize)) {
        let Layout { groups, cig, taps, panels, .. } = *self;
        let some = (EXCHANGED_ROWS / taps).max(1);
        for (g, panel) in (0..groups).flat_map(|g| (0..panels.count()).map(move |panel| (g, panel))) {
            let (start, width) = (g * panels.floats() + panels.start(panel), panels.width(panel));
            for first in (0..cig).step_by(some) {
                let channels = first..(first + some).min(cig);
                for column in 0..panels.columns(panel) {
                    let o = g * panels.n + panels.column(panel) + column;
                    let mut oihw = (o * cig + first) * taps;
                    for c in channels.clone() {
                        let mut packed = start + c * width + column;
                        for _ in 0..taps {
                            f(oihw, packed);
                            oihw += 1;
                            packed += cig * width;
                        }
                    }
                }
            }
        }
    }

    fn pack_weight(&self, oihw: &[f32]) -> Buffer {
        if self.algorithm == Algorithm::Winograd {
            return winograd::pack(self, oihw);
        }
        let mut packed = Buffer::zeros(self.groups * self.panels.floats());
        let to = &mut packed[..];
        self.exchange(|from, at| to[at] = oihw[from]);
        packed
    }

    fn unpack_weight(&self, packed: &[f32]) -> Vec<f32> {
        let mut oihw = vec![0.0; self.groups * self.panels.n * self.panels.k];
        self.exchange(|to, at| oihw[to] = packed[at]);
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

/// A layer's tensors on their way to [`Weights`].
pub(crate) struct Unpacked {
    layout: Layout,
    tensors: Vec<Arc<Param>>,
    /// True if the weights stay in 8 bits and become floats when they are read.
    keeps_int8: bool,
    momentum: f32,
    range: Option<f32>,
    /// The layer's name, where its weights came from a file and have not been checked yet.
    unseen: Option<String>,
}

impl Unpacked {
    /// Returns the tensors of a step's layer; `None` for a layer without weights.
    pub(crate) fn of(graph: &Graph, params: &Params, step: &Step, prefer: Prefer) -> Option<Self> {
        let node = &graph.nodes()[step.node];
        let range = params.ranges().get(&node.name).copied();
        let activation_quant = select::activation_quant(graph, params.ranges(), step.node);
        let layout = Layout::of(&node.layer, step, prefer, activation_quant)?;
        let tensors: Vec<_> = params.of_node(graph, step.node).into_iter().cloned().collect();
        let keeps_int8 = layout.algorithm == Algorithm::Direct
            && matches!(node.layer, Layer::Linear(_))
            && tensors[0].is_quantized()
            && dequant::can_hold(&layout);
        let momentum = match &node.layer {
            Layer::BatchNorm2d(norm) => norm.momentum,
            _ => 0.0,
        };
        Some(Unpacked { layout, tensors, keeps_int8, momentum, range, unseen: None })
    }

    /// True if packing only reorders the tensors, so that [`Weights::give_back`] restores them exactly.
    pub(crate) fn is_reordered(&self) -> bool {
        let ordered = matches!(self.layout.algorithm, Algorithm::Direct | Algorithm::Depthwise);
        let floats = matches!(*self.tensors[0], Param::Floats(_) | Param::Deferred { quantized: false, .. });
        ordered && self.tensors.len() <= 2 && (floats || self.keeps_int8)
    }

    /// Returns the number of values whose memory is free once they are packed.
    pub(crate) fn room(&self) -> usize {
        if self.is_reordered() { self.tensors[0].shape().iter().product() } else { 0 }
    }

    /// Returns the number of values that are still in a file.
    pub(crate) fn filed(&self) -> usize {
        let deferred = |param: &Param| match param {
            Param::Deferred { .. } => true,
            Param::RowScaled { base, .. } => matches!(**base, Param::Deferred { .. }),
            _ => false,
        };
        self.tensors.iter().filter(|t| deferred(t)).map(|t| t.shape().iter().product::<usize>()).sum()
    }

    /// Reads the deferred tensors of the layer `name`.
    ///
    /// # Errors
    /// The errors of `read`, and [`Error::Shape`](crate::Error::Shape) for a tensor of another shape than declared.
    pub(crate) fn read(&mut self, name: &str, read: &ReadParam) -> Result<()> {
        self.unseen = Some(name.into());
        self.tensors.iter_mut().try_for_each(|tensor| {
            *tensor = tensor.read(read)?;
            Ok(())
        })
    }

    /// Packs the tensors.
    ///
    /// # Errors
    /// [`Error::NotFinite`](crate::Error::NotFinite) for weights that came from a file.
    pub(crate) fn pack(self) -> Result<Weights> {
        let Unpacked { layout, mut tensors, keeps_int8, momentum, range, unseen } = self;
        if let Some(layer) = unseen {
            tensors[0].check(&format!("{layer}.weight"))?;
        }
        let vector = |i: usize| tensors.get(i).map(|t: &Arc<Param>| t.values());
        let has_bias = tensors.len() > 1;
        let bias = match vector(1) {
            Some(bias) => layout.pack_bias(&bias.data),
            None => Buffer::zeros(layout.bias_floats()),
        };
        let statistics = [2, 3].map(|i| vector(i).map_or_else(Buffer::default, |t| Buffer::from(&t.data[..])));
        let weight = tensors.swap_remove(0);
        let (weight, scales, range) = match (layout.algorithm, range, &*weight) {
            (Algorithm::Int8, Some(range), weight) => {
                let int8 = weight.quantized();
                let scales: Vec<f32> =
                    int8.scales.iter().map(|scale| scale * (range / quantized::INPUT_LEVELS)).collect();
                (int8::pack(&layout, &int8.values), layout.pack_bias(&scales), range)
            }
            (_, _, Param::Quantized { quantized: Quantized { values, scales }, .. }) if keeps_int8 => {
                (int8::pack(&layout.with_packing_factor(2), values), layout.pack_bias(scales), 0.0)
            }
            (_, _, Param::RowScaled { .. }) => (layout.pack_weight(&weight.into_values().data), Buffer::default(), 0.0),
            (_, _, weight) => (layout.pack_weight(&weight.values().data), Buffer::default(), 0.0),
        };
        Ok(Weights { layout, weight, bias, has_bias, statistics, momentum, scales, range })
    }
}

impl Weights {
    /// Packs the weights of a step's layer; `None` for a layer without weights.
    pub(crate) fn of(graph: &Graph, params: &Params, step: &Step, prefer: Prefer) -> Option<Self> {
        Unpacked::of(graph, params, step, prefer).map(|unpacked| unpacked.pack().expect("checked when they were given"))
    }

    /// Returns the tensors in the order of callers: weight, then bias if there is one, then statistics if there are some.
    pub(crate) fn unpack(&self) -> Vec<Vec<f32>> {
        debug_assert!(!self.is_quantized());
        let bias = self.has_bias.then(|| self.layout.unpack_bias(&self.bias));
        let statistics = self.statistics.iter().filter(|s| !s.is_empty()).map(|s| s.to_vec());
        std::iter::once(self.layout.unpack_weight(&self.weight)).chain(bias).chain(statistics).collect()
    }

    /// Returns the tensors of these shapes, for weights that were packed from [`Unpacked::is_reordered`] tensors.
    pub(crate) fn give_back(&self, mut shapes: Vec<Vec<usize>>) -> Vec<Arc<Param>> {
        let bias = self.has_bias.then(|| {
            let shape = shapes.pop().expect("weight and bias");
            Tensor { shape, data: self.layout.unpack_bias(&self.bias) }.into()
        });
        let shape = shapes.pop().expect("a weight");
        let weight = if self.is_quantized() {
            let values = int8::unpack(&self.layout.with_packing_factor(2), &self.weight);
            Param::Quantized { shape, quantized: Quantized { values, scales: self.layout.unpack_bias(&self.scales) } }
        } else {
            Param::Floats(Tensor { shape, data: self.layout.unpack_weight(&self.weight) })
        };
        std::iter::once(Arc::new(weight)).chain(bias).collect()
    }

    /// Replaces weight and bias by tensors in the order of [`Weights::unpack`].
    pub(crate) fn restore(&mut self, weight: &Tensor, bias: Option<&Tensor>) {
        self.weight = self.layout.pack_weight(&weight.data);
        if let Some(bias) = bias {
            self.bias = self.layout.pack_bias(&bias.data);
        }
    }
}
