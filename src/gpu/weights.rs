//! Where parameters lie on the device. A parameter buffer holds weights with decay, then biases and scales, then
//! running statistics, so that one dispatch can update a whole network.

use std::borrow::Cow;

use super::device::{Buffer, BufferRange, Device, Readback};
use crate::error::Result;
use crate::graph::{Graph, Params};
use crate::layers::{Layer, ParamSpec, Role};
use crate::plan::{Plan, View};
use crate::tensor::Tensor;

/// Floats to which tensors are aligned: 256 bytes.
const ALIGN: usize = 64;

/// The order of one node's weights: `[group][ky][kx][input channel][output channel]`, with output channels zero-padded
/// to a multiple of four; `[ky][kx][output channel]` where depthwise. A linear layer is a convolution whose kernel
/// covers its input, so that it can read a map that no flatten has reordered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct WeightLayout {
    pub kernel: [usize; 2],
    pub groups: usize,
    /// Input channels of a group.
    pub cin: usize,
    /// Output channels of a group.
    pub cout: usize,
    pub bias: bool,
    pub depthwise: bool,
}

impl WeightLayout {
    fn new(layer: &Layer, input: &View) -> Option<Self> {
        match layer {
            Layer::Conv2d(conv) => Some(WeightLayout {
                kernel: conv.window.kernel,
                groups: conv.groups,
                cin: input.c / conv.groups,
                cout: conv.out_channels / conv.groups,
                bias: conv.bias,
                depthwise: conv.groups > 1 && conv.groups == input.c,
            }),
            Layer::Linear(linear) => Some(WeightLayout {
                kernel: [input.h, input.w],
                groups: 1,
                cin: input.c,
                cout: linear.out_features,
                bias: linear.bias,
                depthwise: false,
            }),
            // One value for each channel in all four tensors.
            Layer::BatchNorm2d(_) => {
                Some(WeightLayout { kernel: [1; 2], groups: 1, cin: 1, cout: input.c, bias: true, depthwise: false })
            }
            _ => None,
        }
    }

    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Blocks of rows: one for each group, but a single one where depthwise.
    pub(super) fn blocks(&self) -> usize {
        if self.depthwise { 1 } else { self.groups }
    }

    /// Rows of a block: the length of the sum that makes an output.
    pub(super) fn depth(&self) -> usize {
        if self.depthwise { self.taps() } else { self.taps() * self.cin }
    }

    /// Floats of a row.
    pub(super) fn columns(&self) -> usize {
        if self.depthwise { self.groups * self.cout } else { self.cout.next_multiple_of(4) }
    }

    /// Rows of one of the layer's tensors. A vector is one row with a value for each output channel.
    fn rows(&self, spec: &ParamSpec) -> usize {
        if spec.shape.len() == 1 { 1 } else { self.depth() }
    }

    fn floats(&self, spec: &ParamSpec) -> usize {
        self.blocks() * self.rows(spec) * self.columns()
    }

    /// Calls `f(packed position, position in the public tensor)` for every value of a tensor.
    fn for_each(&self, spec: &ParamSpec, mut f: impl FnMut(usize, usize)) {
        let rows = self.rows(spec);
        let outputs = if self.depthwise { self.columns() } else { self.cout };
        for block in 0..self.blocks() {
            for k in 0..rows {
                let (tap, c) = if self.depthwise { (k, 0) } else { (k / self.cin, k % self.cin) };
                for o in 0..outputs {
                    let here = (block * rows + k) * self.columns() + o;
                    let output = block * outputs + o;
                    let there =
                        if spec.shape.len() == 1 { output } else { (output * self.cin + c) * self.taps() + tap };
                    f(here, there);
                }
            }
        }
    }
}

/// Where one node's parameters lie, in floats of their parameter buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct ParamSlot {
    pub param_buffer: usize,
    /// The first float of each tensor: weight, bias, running mean, running variance.
    pub at: [u32; 4],
    pub weight_layout: WeightLayout,
}

impl ParamSlot {
    pub(super) fn weights(&self) -> u32 {
        self.at[0]
    }

    pub(super) fn bias(&self) -> Option<u32> {
        self.weight_layout.bias.then_some(self.at[1])
    }
}

/// How a network's parameters are divided into buffers.
pub(super) struct ParamLayout {
    /// By node.
    slots: Vec<Option<ParamSlot>>,
    pub buffers: Vec<ParamBufferLayout>,
}

/// A region of a parameter buffer, in the order of their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ParamRegion {
    /// Weights that decay.
    Decaying,
    /// Trained parameters that do not decay: biases and scales.
    Trained,
    /// Running statistics, which no gradient changes.
    Statistics,
}

impl ParamRegion {
    const COUNT: usize = 3;

    fn of(role: Role) -> Self {
        if role.decays() {
            ParamRegion::Decaying
        } else if role.is_trained() {
            ParamRegion::Trained
        } else {
            ParamRegion::Statistics
        }
    }
}

/// Parameters of one buffer, from float `start` to `end`, with one learning rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ParamSegment {
    pub param_buffer: usize,
    pub start: usize,
    pub end: usize,
    /// The factor on the learning rate.
    pub rate: f32,
}

/// The size of a parameter buffer.
#[derive(Default, Clone, Copy)]
pub(super) struct ParamBufferLayout {
    /// Floats of each [`ParamRegion`].
    sizes: [usize; ParamRegion::COUNT],
}

impl ParamBufferLayout {
    /// Returns the first float of a region.
    pub(super) fn start(&self, region: ParamRegion) -> usize {
        self.sizes[..region as usize].iter().sum()
    }

    /// Returns the float behind a region.
    pub(super) fn end(&self, region: ParamRegion) -> usize {
        self.start(region) + self.sizes[region as usize]
    }

    /// Returns the number of floats in the buffer.
    pub(super) fn floats(&self) -> usize {
        self.sizes.iter().sum()
    }
}

impl ParamLayout {
    /// Fills buffers of at most `limit` floats. A node whose parameters exceed the limit gets a buffer of its own,
    /// which the device then refuses.
    pub(super) fn new(graph: &Graph, plan: &Plan, limit: usize) -> Self {
        let mut slots: Vec<Option<ParamSlot>> = vec![None; graph.nodes().len()];
        let mut buffers: Vec<ParamBufferLayout> = vec![];
        for step in &plan.steps {
            let node = &graph.nodes()[step.node];
            let Some(layout) = WeightLayout::new(&node.layer, &step.inputs[0]) else { continue };
            let mut more = ParamBufferLayout::default();
            let mut at = [0; 4];
            for (at, spec) in at.iter_mut().zip(graph.node_params(node)) {
                let size = &mut more.sizes[ParamRegion::of(spec.role) as usize];
                *at = *size as u32;
                *size += layout.floats(&spec).next_multiple_of(ALIGN);
            }
            if buffers.last().is_none_or(|buffer| buffer.floats() + more.floats() > limit) {
                buffers.push(ParamBufferLayout::default());
            }
            let param_buffer = buffers.len() - 1;
            let sizes = &mut buffers[param_buffer].sizes;
            for (at, spec) in at.iter_mut().zip(graph.node_params(node)) {
                *at += sizes[ParamRegion::of(spec.role) as usize] as u32;
            }
            sizes.iter_mut().zip(more.sizes).for_each(|(size, more)| *size += more);
            slots[step.node] = Some(ParamSlot { param_buffer, at, weight_layout: layout });
        }
        if buffers.is_empty() {
            buffers.push(ParamBufferLayout::default());
        }
        // Offsets so far count from the start of their region, whose position is known only now.
        for (node, slot) in graph.nodes().iter().zip(&mut slots) {
            let Some(slot) = slot else { continue };
            for (at, spec) in slot.at.iter_mut().zip(graph.node_params(node)) {
                *at += buffers[slot.param_buffer].start(ParamRegion::of(spec.role)) as u32;
            }
        }
        ParamLayout { slots, buffers }
    }

    /// The parameters of a node.
    ///
    /// # Panics
    /// When its layer has none.
    pub(super) fn slot(&self, node: usize) -> &ParamSlot {
        self.slots[node].as_ref().expect("a layer with weights has a slot")
    }

    /// Calls `f(name, tensor, slot, first float)` for every tensor that the plan uses.
    fn for_each(&self, graph: &Graph, mut f: impl FnMut(String, ParamSpec, &ParamSlot, usize)) {
        for (node, slot) in graph.nodes().iter().zip(&self.slots) {
            let Some(slot) = slot else { continue };
            for (spec, at) in graph.node_params(node).into_iter().zip(slot.at) {
                f(format!("{}.{}", node.name, spec.name), spec, slot, at as usize);
            }
        }
    }

    /// All parameters that learn, given each node's factor on the learning rate, in the fewest segments.
    pub(super) fn segments(&self, graph: &Graph, rates: &[f32]) -> Vec<ParamSegment> {
        let mut parts = vec![];
        for ((node, slot), &rate) in graph.nodes().iter().zip(&self.slots).zip(rates) {
            let Some(slot) = slot else { continue };
            for (spec, at) in graph.node_params(node).into_iter().zip(slot.at) {
                let (param_buffer, start) = (slot.param_buffer, at as usize);
                parts.push(ParamSegment {
                    param_buffer,
                    start,
                    end: start + slot.weight_layout.floats(&spec).next_multiple_of(ALIGN),
                    rate,
                });
            }
        }
        parts.sort_by_key(|s| (s.param_buffer, s.start));
        let mut segments: Vec<ParamSegment> = vec![];
        for part in parts {
            match segments.last_mut() {
                Some(last) if (last.param_buffer, last.rate) == (part.param_buffer, part.rate) => last.end = part.end,
                _ => segments.push(part),
            }
        }
        segments.retain(|s| s.rate != 0.0);
        segments
    }

    /// Makes one zeroed buffer for each parameter buffer.
    pub(super) fn make_buffers(&self, device: &Device, label: &str) -> Result<Vec<Buffer>> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        self.buffers.iter().map(|buffer| device.buffer(label, buffer.floats() * 4, usage)).collect()
    }

    /// Writes every tensor into its buffer.
    pub(super) fn upload(&self, graph: &Graph, params: &Params, device: &Device, buffers: &[Buffer]) {
        self.upload_from(graph, |name| params.tensor(name), device, buffers);
    }

    /// Writes the tensors that `tensor` returns for their names into their buffers.
    pub(super) fn upload_from<'a>(
        &self,
        graph: &Graph,
        tensor: impl Fn(&str) -> Cow<'a, Tensor>,
        device: &Device,
        buffers: &[Buffer],
    ) {
        self.for_each(graph, |name, spec, slot, at| {
            let from = tensor(&name);
            let mut packed = vec![0f32; slot.weight_layout.floats(&spec)];
            slot.weight_layout.for_each(&spec, |here, there| packed[here] = from.data[there]);
            device.queue().write_buffer(&buffers[slot.param_buffer], at as u64 * 4, bytemuck::cast_slice(&packed));
        });
    }

    /// Whole buffers, as ranges to read.
    pub(super) fn ranges<'a>(&self, buffers: &'a [Buffer]) -> Vec<BufferRange<'a>> {
        let range = |(layout, buffer): (&ParamBufferLayout, &'a Buffer)| BufferRange {
            buffer,
            offset: 0,
            bytes: layout.floats() * 4,
        };
        self.buffers.iter().zip(buffers).map(range).collect()
    }

    /// Calls `to(name, tensor)` for every tensor that the plan uses, given the concatenated contents of the buffers.
    pub(super) fn unpack(&self, graph: &Graph, data: &[f32], mut to: impl FnMut(&str, Tensor)) {
        let start = |buffer: usize| self.buffers[..buffer].iter().map(ParamBufferLayout::floats).sum::<usize>();
        self.for_each(graph, |name, spec, slot, at| {
            let data = &data[start(slot.param_buffer) + at..];
            let mut tensor = Tensor::zeros(spec.shape.clone());
            slot.weight_layout.for_each(&spec, |here, there| tensor.data[there] = data[here]);
            to(&name, tensor);
        });
    }

    /// Downloads the concatenated contents of the buffers.
    pub(super) async fn download(&self, device: &Device, buffers: &[Buffer]) -> Result<Vec<f32>> {
        let encoder = device.raw().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        Readback::default().read(device, encoder, &self.ranges(buffers)).await
    }
}
