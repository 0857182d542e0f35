//! Parameters on the device: banks (one buffer each) that hold all weights and then all biases, so that one dispatch
//! updates a whole network, and the order in which kernels read them.

use std::collections::HashMap;

use super::device::{Buffer, Device, Range, Readback};
use crate::error::Result;
use crate::graph::{Graph, Params};
use crate::layers::Layer;
use crate::plan::{Place, Plan};
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
    fn new(layer: &Layer, input: &Place) -> Option<Self> {
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

    fn weight_floats(&self) -> usize {
        self.blocks() * self.depth() * self.columns()
    }

    fn bias_floats(&self) -> usize {
        if self.bias { self.blocks() * self.columns() } else { 0 }
    }

    /// Calls `f(position here, position in the public tensor)` for every weight (`rows` of a block) or bias.
    fn for_each(&self, bias: bool, mut f: impl FnMut(usize, usize)) {
        let rows = if bias { 1 } else { self.depth() };
        let outputs = if self.depthwise { self.columns() } else { self.cout };
        for block in 0..self.blocks() {
            for k in 0..rows {
                let (tap, c) = if self.depthwise { (k, 0) } else { (k / self.cin, k % self.cin) };
                for o in 0..outputs {
                    let here = (block * rows + k) * self.columns() + o;
                    let output = block * outputs + o;
                    let there = if bias { output } else { (output * self.cin + c) * self.taps() + tap };
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
    pub weights: usize,
    pub bias: Option<usize>,
    pub form: Form,
}

/// How a network's parameters are divided into banks.
pub(super) struct Layout {
    /// By node.
    slots: Vec<Option<Slot>>,
    pub banks: Vec<BankLayout>,
}

/// Sizes of a bank in floats.
#[derive(Default, Clone, Copy)]
pub(super) struct BankLayout {
    pub floats: usize,
    pub first_bias: usize,
}

impl Layout {
    /// Fills banks of at most `limit` floats. A larger tensor gets a bank of its own (and an error when it is made).
    pub(super) fn new(graph: &Graph, plan: &Plan, limit: usize) -> Self {
        let mut slots: Vec<Option<Slot>> = vec![None; graph.nodes().len()];
        // Biases count from zero until every bank knows where its own begin.
        let mut sizes: Vec<(usize, usize)> = vec![];
        for step in &plan.steps {
            let Some(form) = Form::new(&graph.nodes()[step.node].layer, &step.inputs[0]) else { continue };
            let (w, b) = (form.weight_floats().next_multiple_of(ALIGN), form.bias_floats().next_multiple_of(ALIGN));
            match sizes.last() {
                Some((weights, biases)) if weights + biases + w + b <= limit => {}
                _ => sizes.push((0, 0)),
            }
            let bank = sizes.len() - 1;
            let (weights, biases) = &mut sizes[bank];
            slots[step.node] = Some(Slot { bank, weights: *weights, bias: form.bias.then_some(*biases), form });
            (*weights, *biases) = (*weights + w, *biases + b);
        }
        if sizes.is_empty() {
            sizes.push((0, 0));
        }
        for slot in slots.iter_mut().flatten() {
            slot.bias = slot.bias.map(|b| b + sizes[slot.bank].0);
        }
        let banks = sizes.into_iter().map(|(w, b)| BankLayout { floats: w + b, first_bias: w }).collect();
        Layout { slots, banks }
    }

    /// The parameters of a node, which must have some.
    pub(super) fn slot(&self, node: usize) -> &Slot {
        self.slots[node].as_ref().expect("a layer with weights has a slot")
    }

    /// `f(name, slot, is bias)` for every tensor that the plan uses.
    fn for_each(&self, graph: &Graph, mut f: impl FnMut(String, &Slot, bool)) {
        for (node, slot) in graph.nodes().iter().zip(&self.slots) {
            if let Some(slot) = slot {
                f(format!("{}.weight", node.name), slot, false);
                if slot.bias.is_some() {
                    f(format!("{}.bias", node.name), slot, true);
                }
            }
        }
    }

    /// One buffer for each bank, zeroed.
    pub(super) fn buffers(&self, device: &Device, label: &str) -> Result<Vec<Buffer>> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        self.banks.iter().map(|bank| device.buffer(label, bank.floats * 4, usage)).collect()
    }

    /// Writes every tensor into its bank.
    pub(super) fn upload(&self, graph: &Graph, params: &Params, device: &Device, buffers: &[Buffer]) {
        self.upload_from(graph, |name| params.get(name).data.as_slice(), device, buffers);
    }

    /// The same, from tensors found by their names.
    pub(super) fn upload_from<'a>(
        &self,
        graph: &Graph,
        tensor: impl Fn(&str) -> &'a [f32],
        device: &Device,
        buffers: &[Buffer],
    ) {
        self.for_each(graph, |name, slot, bias| {
            let from = tensor(&name);
            let floats = if bias { slot.form.bias_floats() } else { slot.form.weight_floats() };
            let mut packed = vec![0f32; floats];
            slot.form.for_each(bias, |here, there| packed[here] = from[there]);
            let at = if bias { slot.bias.expect("this node has a bias") } else { slot.weights };
            device.queue().write_buffer(&buffers[slot.bank], at as u64 * 4, bytemuck::cast_slice(&packed));
        });
    }

    /// Whole banks, as ranges to read.
    pub(super) fn ranges<'a>(&self, buffers: &'a [Buffer]) -> Vec<Range<'a>> {
        let range = |(bank, buffer): (&BankLayout, &'a Buffer)| Range { buffer, offset: 0, bytes: bank.floats * 4 };
        self.banks.iter().zip(buffers).map(range).collect()
    }

    /// Calls `to(name, tensor)` for every tensor that the plan uses; `data` are the banks' contents, one after the other.
    pub(super) fn unpack(&self, graph: &Graph, data: &[f32], mut to: impl FnMut(&str, Tensor)) {
        let shapes: HashMap<String, Vec<usize>> = graph.params().into_iter().map(|(n, spec)| (n, spec.shape)).collect();
        let start = |bank: usize| self.banks[..bank].iter().map(|b| b.floats).sum::<usize>();
        self.for_each(graph, |name, slot, bias| {
            let mut tensor = Tensor::zeros(shapes[&name].clone());
            let at = start(slot.bank) + if bias { slot.bias.expect("this node has a bias") } else { slot.weights };
            slot.form.for_each(bias, |here, there| tensor.data[there] = data[at + here]);
            to(&name, tensor);
        });
    }

    /// The banks' contents, one after the other.
    pub(super) async fn download(&self, device: &Device, buffers: &[Buffer]) -> Result<Vec<f32>> {
        let encoder = device.raw().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        Readback::default().read(device, encoder, &self.ranges(buffers)).await
    }
}
