//! Parameters on the device: banks (one buffer each) that hold first all weights that decay, then biases and scales, then
//! running statistics, so that one dispatch updates a whole network; and the order in which kernels read them.

use std::borrow::Cow;

use super::device::{Buffer, Device, Range, Readback};
use crate::error::Result;
use crate::graph::{Graph, Params};
use crate::layers::{Layer, ParamSpec, Role};
use crate::plan::{Plan, View};
use crate::tensor::Tensor;

/// Tensors start at multiples of this many floats: 256 bytes.
const ALIGN: usize = 64;

/// The order of one node's weights: `[group][ky][kx][input channel][output channel]`, output channels padded with zeros
/// to a multiple of four. A linear layer is a convolution whose kernel covers its input, and thereby reads a map that
/// was never flattened as it lies. Depthwise: `[ky][kx][output channel]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Form {
    pub kernel: [usize; 2],
    pub groups: usize,
    /// Input channels of a group.
    pub cin: usize,
    /// Output channels of a group.
    pub cout: usize,
    pub bias: bool,
    pub depthwise: bool,
}

impl Form {
    fn new(layer: &Layer, input: &View) -> Option<Self> {
        match layer {
            Layer::Conv2d(conv) => Some(Form {
                kernel: conv.window.kernel,
                groups: conv.groups,
                cin: input.c / conv.groups,
                cout: conv.out_channels / conv.groups,
                bias: conv.bias,
                depthwise: conv.groups > 1 && conv.groups == input.c,
            }),
            Layer::Linear(linear) => Some(Form {
                kernel: [input.h, input.w],
                groups: 1,
                cin: input.c,
                cout: linear.out_features,
                bias: linear.bias,
                depthwise: false,
            }),
            // One value for each channel in all four tensors.
            Layer::BatchNorm2d(_) => {
                Some(Form { kernel: [1; 2], groups: 1, cin: 1, cout: input.c, bias: true, depthwise: false })
            }
            _ => None,
        }
    }

    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Blocks of rows: groups, of which a depthwise convolution has one here.
    pub(super) fn blocks(&self) -> usize {
        if self.depthwise { 1 } else { self.groups }
    }

    /// Rows of a block: the index that is summed over.
    pub(super) fn depth(&self) -> usize {
        if self.depthwise { self.taps() } else { self.taps() * self.cin }
    }

    /// Floats of a row.
    pub(super) fn columns(&self) -> usize {
        if self.depthwise { self.groups * self.cout } else { self.cout.next_multiple_of(4) }
    }

    /// Rows of one of the layer's tensors: a vector has one, with a value for each output channel.
    fn rows(&self, spec: &ParamSpec) -> usize {
        if spec.shape.len() == 1 { 1 } else { self.depth() }
    }

    fn floats(&self, spec: &ParamSpec) -> usize {
        self.blocks() * self.rows(spec) * self.columns()
    }

    /// Calls `f(position here, position in the public tensor)` for every value of a tensor.
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

/// Where one node's parameters lie, in floats of its bank.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub bank: usize,
    /// In the layer's order: weight, bias, running mean, running variance.
    pub at: [u32; 4],
    pub form: Form,
}

impl Slot {
    pub(super) fn weights(&self) -> u32 {
        self.at[0]
    }

    pub(super) fn bias(&self) -> Option<u32> {
        self.form.bias.then_some(self.at[1])
    }
}

/// How a network's parameters are divided into banks.
pub(super) struct Layout {
    /// By node.
    slots: Vec<Option<Slot>>,
    pub banks: Vec<BankLayout>,
}

/// What is updated alike lies together: weights that decay, weights that do not, running statistics.
fn region(role: Role) -> usize {
    if role.decays() {
        0
    } else if role.is_trained() {
        1
    } else {
        2
    }
}

/// Parameters of one bank, from float `start` to `end`, that learn at one rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Segment {
    pub bank: usize,
    pub start: usize,
    pub end: usize,
    /// The factor on the learning rate.
    pub rate: f32,
}

/// A bank.
#[derive(Default, Clone, Copy)]
pub(super) struct BankLayout {
    /// The floats of each region.
    sizes: [usize; 3],
}

impl BankLayout {
    /// Where a region begins; region 3 is the end.
    pub(super) fn start(&self, region: usize) -> usize {
        self.sizes[..region].iter().sum()
    }

    pub(super) fn floats(&self) -> usize {
        self.start(3)
    }
}

impl Layout {
    /// Fills banks of at most `limit` floats. A larger tensor gets a bank of its own (and an error when it is made).
    pub(super) fn new(graph: &Graph, plan: &Plan, limit: usize) -> Self {
        let mut slots: Vec<Option<Slot>> = vec![None; graph.nodes().len()];
        let mut banks: Vec<BankLayout> = vec![];
        for step in &plan.steps {
            let node = &graph.nodes()[step.node];
            let Some(form) = Form::new(&node.layer, &step.inputs[0]) else { continue };
            let mut more = BankLayout::default();
            let mut at = [0; 4];
            for (at, spec) in at.iter_mut().zip(graph.node_params(node)) {
                let size = &mut more.sizes[region(spec.role)];
                *at = *size as u32;
                *size += form.floats(&spec).next_multiple_of(ALIGN);
            }
            if banks.last().is_none_or(|bank| bank.floats() + more.floats() > limit) {
                banks.push(BankLayout::default());
            }
            let bank = banks.len() - 1;
            let sizes = &mut banks[bank].sizes;
            for (at, spec) in at.iter_mut().zip(graph.node_params(node)) {
                *at += sizes[region(spec.role)] as u32;
            }
            sizes.iter_mut().zip(more.sizes).for_each(|(size, more)| *size += more);
            slots[step.node] = Some(Slot { bank, at, form });
        }
        if banks.is_empty() {
            banks.push(BankLayout::default());
        }
        // So far each region counts from zero: only now is it known where they begin.
        for (node, slot) in graph.nodes().iter().zip(&mut slots) {
            let Some(slot) = slot else { continue };
            for (at, spec) in slot.at.iter_mut().zip(graph.node_params(node)) {
                *at += banks[slot.bank].start(region(spec.role)) as u32;
            }
        }
        Layout { slots, banks }
    }

    /// The parameters of a node, which must have some.
    pub(super) fn slot(&self, node: usize) -> &Slot {
        self.slots[node].as_ref().expect("a layer with weights has a slot")
    }

    /// `f(name, tensor, slot, first float)` for every tensor that the plan uses.
    fn for_each(&self, graph: &Graph, mut f: impl FnMut(String, ParamSpec, &Slot, usize)) {
        for (node, slot) in graph.nodes().iter().zip(&self.slots) {
            let Some(slot) = slot else { continue };
            for (spec, at) in graph.node_params(node).into_iter().zip(slot.at) {
                f(format!("{}.{}", node.name, spec.name), spec, slot, at as usize);
            }
        }
    }

    /// All parameters that learn, given each node's factor on the learning rate: as few segments as there can be.
    pub(super) fn segments(&self, graph: &Graph, rates: &[f32]) -> Vec<Segment> {
        let mut parts = vec![];
        for ((node, slot), &rate) in graph.nodes().iter().zip(&self.slots).zip(rates) {
            let Some(slot) = slot else { continue };
            for (spec, at) in graph.node_params(node).into_iter().zip(slot.at) {
                let (bank, start) = (slot.bank, at as usize);
                parts.push(Segment { bank, start, end: start + slot.form.floats(&spec).next_multiple_of(ALIGN), rate });
            }
        }
        parts.sort_by_key(|s| (s.bank, s.start));
        let mut segments: Vec<Segment> = vec![];
        for part in parts {
            match segments.last_mut() {
                Some(last) if (last.bank, last.rate) == (part.bank, part.rate) => last.end = part.end,
                _ => segments.push(part),
            }
        }
        segments.retain(|s| s.rate != 0.0);
        segments
    }

    /// One buffer for each bank, zeroed.
    pub(super) fn buffers(&self, device: &Device, label: &str) -> Result<Vec<Buffer>> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        self.banks.iter().map(|bank| device.buffer(label, bank.floats() * 4, usage)).collect()
    }

    /// Writes every tensor into its bank.
    pub(super) fn upload(&self, graph: &Graph, params: &Params, device: &Device, buffers: &[Buffer]) {
        self.upload_from(graph, |name| params.tensor(name), device, buffers);
    }

    /// The same, from tensors found by their names.
    pub(super) fn upload_from<'a>(
        &self,
        graph: &Graph,
        tensor: impl Fn(&str) -> Cow<'a, Tensor>,
        device: &Device,
        buffers: &[Buffer],
    ) {
        self.for_each(graph, |name, spec, slot, at| {
            let from = tensor(&name);
            let mut packed = vec![0f32; slot.form.floats(&spec)];
            slot.form.for_each(&spec, |here, there| packed[here] = from.data[there]);
            device.queue().write_buffer(&buffers[slot.bank], at as u64 * 4, bytemuck::cast_slice(&packed));
        });
    }

    /// Whole banks, as ranges to read.
    pub(super) fn ranges<'a>(&self, buffers: &'a [Buffer]) -> Vec<Range<'a>> {
        let range = |(bank, buffer): (&BankLayout, &'a Buffer)| Range { buffer, offset: 0, bytes: bank.floats() * 4 };
        self.banks.iter().zip(buffers).map(range).collect()
    }

    /// Calls `to(name, tensor)` for every tensor that the plan uses; `data` are the banks' contents, one after the other.
    pub(super) fn unpack(&self, graph: &Graph, data: &[f32], mut to: impl FnMut(&str, Tensor)) {
        let start = |bank: usize| self.banks[..bank].iter().map(BankLayout::floats).sum::<usize>();
        self.for_each(graph, |name, spec, slot, at| {
            let data = &data[start(slot.bank) + at..];
            let mut tensor = Tensor::zeros(spec.shape.clone());
            slot.form.for_each(&spec, |here, there| tensor.data[there] = data[here]);
            to(&name, tensor);
        });
    }

    /// The banks' contents, one after the other.
    pub(super) async fn download(&self, device: &Device, buffers: &[Buffer]) -> Result<Vec<f32>> {
        let encoder = device.raw().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        Readback::default().read(device, encoder, &self.ranges(buffers)).await
    }
}
