//! A plan made into dispatches: everything is prepared once, and a run only replays it.

use std::mem;
use std::num::NonZeroU64;

use super::device::{Buffer, Device, Range};
use super::kernel::{Constant, Kernel, STEP_BYTES, binding};
use super::weights::{Layout, Segment, Slot};
use super::{
    activation, adaptive_avg_pool2d, add, avg_pool2d, batch_norm2d, concat, conv2d, dropout, flatten, hard_swish,
    linear, local_response_norm, log_softmax, loss, max_pool2d, mul, optimizer, permute, rearrange, softmax,
};
use crate::error::Result;
use crate::graph::Graph;
use crate::layers::{Layer, Loss};
use crate::plan::{BackwardStep, Optimizer, Plan, Purpose, Step, View};
use crate::tensor::Tensor;

/// Invocations of a workgroup, as the prelude says.
const WORKGROUP: u64 = 64;
/// The most workgroups of one dimension, on any adapter.
const MAX_GROUPS: u64 = 65_535;

/// [`View`] as shaders see it.
#[repr(C)]
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct GpuView {
    pub offset: u32,
    pub pixel_stride: u32,
    pub c: u32,
    pub h: u32,
    pub w: u32,
    pub unused: [u32; 3],
}

impl From<View> for GpuView {
    fn from(p: View) -> Self {
        let [offset, pixel_stride, c, h, w] = [p.offset, p.pixel_stride, p.c, p.h, p.w].map(|v| v as u32);
        GpuView { offset, pixel_stride, c, h, w, unused: [0; 3] }
    }
}

/// One kernel over one grid.
struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    step: u32,
    bank: usize,
    updates: bool,
    grid: [u32; 2],
}

/// Collects dispatches. Layers add theirs.
pub(super) struct Recorder<'a> {
    device: &'a Device,
    pub layout: &'a Layout,
    pub batch: usize,
    pub training: bool,
    stride: usize,
    steps: Vec<u8>,
    dispatches: Vec<Dispatch>,
    scratch_at: usize,
    scratch: usize,
}

impl<'a> Recorder<'a> {
    /// Adds one invocation of `kernel` for each of `count`, with `step` as its numbers.
    pub(super) fn dispatch<S: bytemuck::Pod>(
        &mut self,
        kernel: &Kernel,
        constants: &[Constant],
        bank: usize,
        step: &S,
        count: usize,
    ) {
        const { assert!(size_of::<S>() <= STEP_BYTES && size_of::<S>().is_multiple_of(16)) };
        self.record(kernel, constants, bank, bytemuck::bytes_of(step), count);
    }

    /// The part of it that does not depend on the type of `step`.
    fn record(&mut self, kernel: &Kernel, constants: &[Constant], bank: usize, step: &[u8], count: usize) {
        let groups = (count as u64).div_ceil(WORKGROUP).max(1);
        let columns = groups.min(MAX_GROUPS);
        let at = self.steps.len();
        self.steps.extend_from_slice(step);
        self.steps.resize(at + self.stride, 0);
        self.dispatches.push(Dispatch {
            pipeline: self.device.pipeline(kernel, constants),
            step: at as u32,
            bank,
            updates: kernel.updates,
            grid: [columns as u32, groups.div_ceil(columns) as u32],
        });
    }

    /// Room for `floats` until the next call: where it begins in the arena.
    pub(super) fn scratch(&mut self, floats: usize) -> usize {
        self.scratch = self.scratch.max(floats);
        self.scratch_at
    }

    pub(super) fn slot(&self, node: usize) -> Slot {
        *self.layout.slot(node)
    }

    fn take(&mut self) -> Vec<Dispatch> {
        mem::take(&mut self.dispatches)
    }

    fn forward(&mut self, graph: &Graph, step: &Step) {
        match &graph.nodes()[step.node].layer {
            Layer::Conv2d(layer) => conv2d::forward(self, layer, step),
            Layer::Linear(_) => linear::forward(self, step),
            Layer::MaxPool2d(layer) => max_pool2d::forward(self, layer, step),
            Layer::AvgPool2d(layer) => avg_pool2d::forward(self, layer, step),
            Layer::GlobalAvgPool(_) | Layer::AdaptiveAvgPool2d(_) => adaptive_avg_pool2d::forward(self, step),
            Layer::BatchNorm2d(layer) => batch_norm2d::forward(self, layer, step),
            Layer::LocalResponseNorm(layer) => local_response_norm::forward(self, layer, step),
            Layer::HardSwish(_) => hard_swish::forward(self, step),
            Layer::Softmax(_) => softmax::forward(self, step),
            Layer::LogSoftmax(_) => log_softmax::forward(self, step),
            Layer::Dropout(layer) => dropout::forward(self, layer, step),
            Layer::Flatten(_) => flatten::forward(self, step),
            Layer::Add(_) => add::forward(self, step),
            Layer::Mul(_) => mul::forward(self, step),
            Layer::Concat(_) => concat::forward(self, step),
            layer @ (Layer::Pad(_) | Layer::Slice(_) | Layer::ChannelShuffle(_)) => {
                rearrange::forward(self, layer, step);
            }
            Layer::Permute(layer) => permute::forward(self, layer, step),
            layer @ (Layer::Relu(_)
            | Layer::Sigmoid(_)
            | Layer::Tanh(_)
            | Layer::LeakyRelu(_)
            | Layer::Clip(_)
            | Layer::HardSigmoid(_)
            | Layer::FakeQuantize(_)) => activation::forward(self, layer.activation(), step),
        }
    }

    fn backward(&mut self, graph: &Graph, step: &Step, back: &BackwardStep) {
        for view in &back.clear {
            concat::clear(self, *view);
        }
        if step.activation.is_some() {
            activation::backward(self, step.activation, step.output, back.dy, back.dy, false);
        }
        match &graph.nodes()[step.node].layer {
            Layer::Conv2d(layer) => conv2d::backward(self, layer, step, back),
            Layer::Linear(_) => linear::backward(self, step, back),
            Layer::MaxPool2d(layer) => max_pool2d::backward(self, layer, step, back),
            Layer::AvgPool2d(layer) => avg_pool2d::backward(self, layer, step, back),
            Layer::GlobalAvgPool(_) | Layer::AdaptiveAvgPool2d(_) => adaptive_avg_pool2d::backward(self, back),
            Layer::BatchNorm2d(layer) => batch_norm2d::backward(self, layer, step, back),
            Layer::LocalResponseNorm(layer) => local_response_norm::backward(self, layer, step, back),
            Layer::HardSwish(_) => hard_swish::backward(self, step, back),
            Layer::Softmax(_) => softmax::backward(self, step, back),
            Layer::LogSoftmax(_) => log_softmax::backward(self, step, back),
            Layer::Dropout(layer) => dropout::backward(self, layer, step, back),
            Layer::Flatten(_) => flatten::backward(self, back),
            Layer::Add(_) => add::backward(self, back),
            Layer::Mul(_) => mul::backward(self, step, back),
            Layer::Concat(_) => concat::backward(self, step, back),
            layer @ (Layer::Pad(_) | Layer::Slice(_) | Layer::ChannelShuffle(_)) => {
                rearrange::backward(self, layer, back);
            }
            Layer::Permute(layer) => permute::backward(self, layer, back),
            layer @ (Layer::Relu(_)
            | Layer::Sigmoid(_)
            | Layer::Tanh(_)
            | Layer::LeakyRelu(_)
            | Layer::Clip(_)
            | Layer::HardSigmoid(_)
            | Layer::FakeQuantize(_)) => {
                if let Some(dx) = back.dx[0] {
                    activation::backward(self, layer.activation(), step.output, back.dy, dx.view, dx.accumulate);
                }
            }
        }
    }
}

/// Where a tensor of the outside enters or leaves the arena in NCHW order.
#[derive(Clone, Copy)]
pub(super) struct Door {
    /// The float at which it begins.
    at: usize,
    floats: usize,
    /// The vectors on this side of the door, when the value itself is not in NCHW order.
    vectors: Option<View>,
}

impl Door {
    fn new(view: View, batch: usize, staging: usize) -> Self {
        let size = view.c * view.h * view.w;
        let floats = batch * size;
        if view.pixel_stride == view.c && (view.c == 1 || view.h * view.w == 1) {
            return Door { at: view.offset, floats, vectors: None };
        }
        Self::staged(view, batch, staging)
    }

    /// A door that never leads straight to the value.
    fn staged(view: View, batch: usize, staging: usize) -> Self {
        let size = view.c * view.h * view.w;
        let floats = batch * size;
        let vectors = View { offset: staging, pixel_stride: size, c: size, h: 1, w: 1 };
        Door { at: staging, floats, vectors: Some(vectors) }
    }
}

/// What training adds to the device's memory.
pub(super) struct TrainingBuffers {
    pub loss: Loss,
    pub optimizer: Optimizer,
    /// What is updated.
    pub segments: Vec<Segment>,
    /// Whether the norm of all gradients has a limit.
    pub clips: bool,
    pub grads: Vec<Buffer>,
    /// For each bank, the optimizer's moments.
    pub state: [Vec<Buffer>; 2],
}

/// The buffers that a program works on, besides its own arena.
pub(super) struct Buffers<'a> {
    pub params: &'a [Buffer],
    pub control: &'a Buffer,
    /// Bound where nothing is needed.
    pub nothing: &'a Buffer,
    pub training: Option<&'a TrainingBuffers>,
}

/// The parts of a run, in the order in which they can be played.
#[derive(Default)]
pub(super) struct Phases {
    input: Vec<Dispatch>,
    forward: Vec<Dispatch>,
    output: Vec<Dispatch>,
    clear: Vec<Dispatch>,
    losses: Vec<Dispatch>,
    seed: Vec<Dispatch>,
    backward: Vec<Dispatch>,
    input_grad: Vec<Dispatch>,
    update: Vec<Dispatch>,
}

/// What is to be run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Play {
    /// Input to main output.
    Forward,
    /// A training step.
    Step,
    /// A part of a training step, before its last: all but the update.
    Part,
    /// Input to main output, and given gradients of that back to the input.
    Gradients,
}

impl Phases {
    fn of(&self, play: Play) -> Vec<&[Dispatch]> {
        match play {
            Play::Forward => vec![&self.input[..], &self.forward, &self.output],
            Play::Step => vec![&self.input, &self.forward, &self.clear, &self.losses, &self.backward, &self.update],
            Play::Part => vec![&self.input, &self.forward, &self.clear, &self.losses, &self.backward],
            Play::Gradients => vec![
                &self.input,
                &self.forward,
                &self.output,
                &self.clear,
                &self.seed,
                &self.backward,
                &self.input_grad,
            ],
        }
    }
}

/// A plan, its memory, and its dispatches.
pub(super) struct Program {
    pub plan: Plan,
    pub purpose: Purpose,
    arena: Buffer,
    uniforms: Buffer,
    input: Door,
    output: Door,
    /// The gradients of output and input, when they are wanted.
    grads: Option<[Door; 2]>,
    phases: Phases,
    /// For each step of the plan, how many of the forward dispatches are done after it.
    step_ends: Vec<usize>,
    /// By bank: for running and for updating.
    groups: Vec<[Option<wgpu::BindGroup>; 2]>,
}

impl Program {
    pub(super) fn new(
        device: &Device,
        graph: &Graph,
        layout: &Layout,
        buffers: &Buffers<'_>,
        plan: Plan,
        purpose: Purpose,
    ) -> Result<Self> {
        let (input, output, grads, end) = doors(&plan);
        let mut r = Recorder {
            device,
            layout,
            batch: plan.batch,
            training: purpose != Purpose::Inference,
            stride: STEP_BYTES.next_multiple_of(device.uniform_alignment().max(1)),
            steps: vec![],
            dispatches: vec![],
            scratch_at: end,
            scratch: 0,
        };
        let (phases, step_ends) = phases(&mut r, graph, &plan, buffers.training, [Some(input), Some(output)], grads);
        let bytes = (r.scratch_at + r.scratch) * 4;
        let steps = mem::take(&mut r.steps);
        drop(r);

        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let arena = device.buffer("activations", bytes, usage)?;
        let uniforms = device.buffer(
            "steps",
            steps.len().max(STEP_BYTES),
            wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        )?;
        device.queue().write_buffer(&uniforms, 0, &steps);
        let groups = (0..layout.banks.len()).map(|bank| bind(device, buffers, &arena, &uniforms, bank)).collect();
        Ok(Program { plan, purpose, arena, uniforms, input, output, grads, phases, step_ends, groups })
    }

    /// Bytes of its own memory on the device.
    pub(super) fn bytes(&self) -> usize {
        (self.arena.size() + self.uniforms.size()) as usize
    }

    /// How many dispatches that takes.
    pub(super) fn dispatches(&self, play: Play) -> usize {
        self.phases.of(play).iter().map(|p| p.len()).sum()
    }

    pub(super) fn write_input(&self, device: &Device, x: &Tensor) {
        self.enter(device, self.input, x);
    }

    /// Gives the gradient of the main output.
    pub(super) fn write_grad(&self, device: &Device, dy: &Tensor) {
        self.enter(device, self.grads.expect("a program with an input gradient")[0], dy);
    }

    fn enter(&self, device: &Device, door: Door, x: &Tensor) {
        debug_assert_eq!(x.data.len(), door.floats);
        device.queue().write_buffer(&self.arena, door.at as u64 * 4, bytemuck::cast_slice(&x.data));
    }

    pub(super) fn output(&self) -> Range<'_> {
        self.range(self.output)
    }

    pub(super) fn input_grad(&self) -> Range<'_> {
        self.range(self.grads.expect("a program with an input gradient")[1])
    }

    fn range(&self, door: Door) -> Range<'_> {
        Range { buffer: &self.arena, offset: door.at * 4, bytes: door.floats * 4 }
    }

    /// A command encoder that holds the whole run.
    pub(super) fn encode(&self, device: &Device, play: Play) -> wgpu::CommandEncoder {
        self.encoder(device, &self.phases.of(play))
    }

    /// A command encoder that brings the input in.
    pub(super) fn encode_input(&self, device: &Device) -> wgpu::CommandEncoder {
        self.encoder(device, &[&self.phases.input])
    }

    /// A command encoder that holds step `i` alone.
    pub(super) fn encode_step(&self, device: &Device, i: usize) -> wgpu::CommandEncoder {
        let begin = i.checked_sub(1).map_or(0, |before| self.step_ends[before]);
        self.encoder(device, &[&self.phases.forward[begin..self.step_ends[i]]])
    }

    /// The memory of a value from its first float to its last.
    pub(super) fn span(&self, view: View) -> Range<'_> {
        Range { buffer: &self.arena, offset: view.offset * 4, bytes: view.span(self.plan.batch) * 4 }
    }

    fn encoder(&self, device: &Device, parts: &[&[Dispatch]]) -> wgpu::CommandEncoder {
        let mut encoder = device.raw().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for dispatch in parts.iter().copied().flatten() {
                pass.set_pipeline(&dispatch.pipeline);
                pass.set_bind_group(0, &self.groups[dispatch.bank][usize::from(dispatch.updates)], &[dispatch.step]);
                pass.dispatch_workgroups(dispatch.grid[0], dispatch.grid[1], 1);
            }
        }
        encoder
    }
}

/// The doors of a plan, and the first float behind them: input, output, then their gradients.
fn doors(plan: &Plan) -> (Door, Door, Option<[Door; 2]>, usize) {
    let mut end = plan.arena.next_multiple_of(64);
    let mut door = |make: fn(View, usize, usize) -> Door, view: View| {
        let door = make(view, plan.batch, end);
        if door.vectors.is_some() {
            end += door.floats.next_multiple_of(64);
        }
        door
    };
    // With gradients wanted, the output is read after the backward half, which reuses its memory.
    let leave = if plan.input_grad.is_some() { Door::staged } else { Door::new };
    let (input, output) = (door(Door::new, plan.input), door(leave, plan.heads[0].view));
    let grads = match (plan.heads[0].grad, plan.input_grad) {
        // The output's gradient comes in before the run and must not be cleared by it.
        (Some(head), Some(dx)) => Some([door(Door::staged, head), door(Door::new, dx)]),
        _ => None,
    };
    (input, output, grads, end)
}

fn phases(
    r: &mut Recorder<'_>,
    graph: &Graph,
    plan: &Plan,
    training: Option<&TrainingBuffers>,
    [input, output]: [Option<Door>; 2],
    grads: Option<[Door; 2]>,
) -> (Phases, Vec<usize>) {
    let mut phases = Phases::default();
    if let Some(vectors) = input.and_then(|d| d.vectors) {
        flatten::to_map(r, vectors, plan.input, false);
    }
    phases.input = r.take();
    let mut step_ends = vec![];
    for step in &plan.steps[..plan.forward] {
        r.forward(graph, step);
        step_ends.push(r.dispatches.len());
    }
    phases.forward = r.take();
    if let Some(vectors) = output.and_then(|d| d.vectors) {
        flatten::to_vector(r, plan.heads[0].view, vectors, false);
    }
    phases.output = r.take();
    let Some(training) = training else { return (phases, step_ends) };

    for view in &plan.clear {
        concat::clear(r, *view);
    }
    phases.clear = r.take();
    loss::record(r, plan, training.loss);
    phases.losses = r.take();
    for back in &plan.backward {
        for &i in &back.recompute {
            r.forward(graph, &plan.steps[i]);
        }
        r.backward(graph, &plan.steps[back.step], back);
    }
    phases.backward = r.take();
    optimizer::record(r, training);
    phases.update = r.take();
    if let Some([dy, dx]) = grads {
        for head in &plan.heads[1..] {
            concat::clear(r, head.grad.expect("a training plan has gradients"));
        }
        if let Some(vectors) = dy.vectors {
            flatten::to_map(r, vectors, plan.heads[0].grad.expect("a training plan has gradients"), false);
        }
        phases.seed = r.take();
        if let Some(vectors) = dx.vectors {
            flatten::to_vector(r, plan.input_grad.expect("this plan has an input gradient"), vectors, false);
        }
        phases.input_grad = r.take();
    }
    (phases, step_ends)
}

fn bind(
    device: &Device,
    buffers: &Buffers<'_>,
    arena: &Buffer,
    uniforms: &Buffer,
    bank: usize,
) -> [Option<wgpu::BindGroup>; 2] {
    let grads = buffers.training.map_or(buffers.nothing, |t| &t.grads[bank]);
    let mut storage = vec![
        (binding::ARENA, arena),
        (binding::PARAMS, &buffers.params[bank]),
        (binding::GRADS, grads),
        (binding::CONTROL, buffers.control),
    ];
    let run = bind_group(device, &activation::FORWARD, &storage, uniforms);
    let update = buffers.training.map(|t| {
        let second = t.state[1].get(bank).unwrap_or(buffers.nothing);
        storage.extend([(binding::STATE, &t.state[0][bank]), (binding::STATE2, second)]);
        bind_group(device, &optimizer::UPDATE, &storage, uniforms)
    });
    [Some(run), update]
}

/// A bind group for kernels with the layout of `kernel`.
fn bind_group(device: &Device, kernel: &Kernel, storage: &[(u32, &Buffer)], uniforms: &Buffer) -> wgpu::BindGroup {
    let step = wgpu::BufferBinding { buffer: uniforms, offset: 0, size: NonZeroU64::new(STEP_BYTES as u64) };
    let entries: Vec<_> = storage
        .iter()
        .map(|&(binding, buffer)| (binding, buffer.as_entire_buffer_binding()))
        .chain([(binding::STEP, step)])
        .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: wgpu::BindingResource::Buffer(buffer) })
        .collect();
    let layout = &device.layout(kernel);
    let descriptor = wgpu::BindGroupDescriptor { label: Some("convoke"), layout, entries: &entries };
    device.raw().create_bind_group(&descriptor)
}
