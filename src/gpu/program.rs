//! A plan made into dispatches: everything is prepared once, and a run only replays it.

use std::num::NonZeroU64;

use super::buffers::{Buffers, TrainingBuffers};
use super::copy::clear;
use super::device::{Buffer, Device, Range};
use super::kernel::{Kernel, STEP_BYTES, binding};
use super::layers::{self, activation, flatten};
use super::recorder::{Dispatch, Recorder};
use super::weights::Layout;
use super::{loss, optimizer};
use crate::error::Result;
use crate::graph::Graph;
use crate::plan::{Plan, Purpose, View};
use crate::tensor::Tensor;

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
        let mut r = Recorder::new(device, layout, plan.batch, purpose != Purpose::Inference, end);
        let (phases, step_ends) = phases(&mut r, graph, &plan, buffers.training, [Some(input), Some(output)], grads);
        let (steps, floats) = r.finish();

        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let arena = device.buffer("activations", floats * 4, usage)?;
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
        layers::forward(r, graph, step);
        step_ends.push(r.len());
    }
    phases.forward = r.take();
    if let Some(vectors) = output.and_then(|d| d.vectors) {
        flatten::to_vector(r, plan.heads[0].view, vectors, false);
    }
    phases.output = r.take();
    let Some(training) = training else { return (phases, step_ends) };

    for view in &plan.clear {
        clear(r, *view);
    }
    phases.clear = r.take();
    loss::record(r, plan, training.loss);
    phases.losses = r.take();
    for back in &plan.backward {
        for &i in &back.recompute {
            layers::forward(r, graph, &plan.steps[i]);
        }
        layers::backward(r, graph, &plan.steps[back.step], back);
    }
    phases.backward = r.take();
    optimizer::record(r, training);
    phases.update = r.take();
    if let Some([dy, dx]) = grads {
        for head in &plan.heads[1..] {
            clear(r, head.grad.expect("a training plan has gradients"));
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
