//! A plan with its memory and its dispatches. Everything is prepared once; a run replays it.

use std::num::NonZeroU64;

use super::buffers::{SharedBuffers, TrainingBuffers};
use super::copy::clear;
use super::device::{Buffer, BufferRange, Device};
use super::kernel::binding;
use super::layers::{activation, flatten, operation};
use super::operation::GpuOperation;
use super::recorder::{Dispatch, Recorder};
use super::uniforms::UNIFORM_BYTES;
use super::weights::ParamLayout;
use super::{loss, optimizer};
use crate::error::Result;
use crate::graph::Graph;
use crate::plan::{BackwardStep, GradWrite, Plan, Purpose, Step, View};
use crate::tensor::Tensor;

/// Floats to which staging memory is aligned: 256 bytes.
const ALIGN: usize = 64;

/// Where a tensor in NCHW order enters or leaves the arena.
#[derive(Clone, Copy)]
struct HostTransfer {
    /// The first float.
    at: usize,
    floats: usize,
    /// The tensor's samples as vectors, when the value itself is not in NCHW order.
    staging: Option<View>,
}

impl HostTransfer {
    /// Reads or writes the value itself where it is in NCHW order, and staging memory at float `staging` elsewhere.
    fn new(view: View, batch: usize, staging: usize) -> Self {
        if view.pixel_stride == view.c && (view.c == 1 || view.h * view.w == 1) {
            let floats = batch * view.c * view.h * view.w;
            return HostTransfer { at: view.offset, floats, staging: None };
        }
        Self::staged(view, batch, staging)
    }

    /// Always goes through staging memory.
    fn staged(view: View, batch: usize, staging: usize) -> Self {
        let size = view.c * view.h * view.w;
        let vectors = View { offset: staging, pixel_stride: size, c: size, h: 1, w: 1 };
        HostTransfer { at: staging, floats: batch * size, staging: Some(vectors) }
    }
}

/// The transfers of a plan.
struct HostTransfers {
    input: HostTransfer,
    output: HostTransfer,
    /// Gradients of the output and the input, where the plan has the input's.
    grads: Option<[HostTransfer; 2]>,
    /// The first float behind their staging memory.
    end: usize,
}

impl HostTransfers {
    fn new(plan: &Plan) -> Self {
        let mut end = plan.arena.next_multiple_of(ALIGN);
        let mut transfer = |make: fn(View, usize, usize) -> HostTransfer, view: View| {
            let transfer = make(view, plan.batch, end);
            if transfer.staging.is_some() {
                end += transfer.floats.next_multiple_of(ALIGN);
            }
            transfer
        };
        // With an input gradient, the output is read after the backward half, which reuses the output's memory.
        let leave = if plan.input_grad.is_some() { HostTransfer::staged } else { HostTransfer::new };
        let (input, output) = (transfer(HostTransfer::new, plan.input), transfer(leave, plan.heads[0].view));
        let grads = match (plan.heads[0].grad, plan.input_grad) {
            // The output's gradient is written before the run, which would clear it in its own place.
            (Some(head), Some(dx)) => Some([transfer(HostTransfer::staged, head), transfer(HostTransfer::new, dx)]),
            _ => None,
        };
        HostTransfers { input, output, grads, end }
    }
}

/// A dispatch whose pipeline is compiled.
struct PreparedDispatch {
    pipeline: wgpu::ComputePipeline,
    uniforms_at: u32,
    param_buffer: usize,
    updates: bool,
    workgroups: [u32; 2],
}

impl PreparedDispatch {
    fn new(device: &Device, dispatch: &Dispatch) -> Self {
        PreparedDispatch {
            pipeline: device.pipeline(dispatch.shader, dispatch.entry, &dispatch.constants),
            uniforms_at: dispatch.uniforms_at,
            param_buffer: dispatch.param_buffer,
            updates: dispatch.shader.updates,
            workgroups: dispatch.workgroups,
        }
    }
}

/// The dispatches of a plan, by phase.
struct Phases<D> {
    input: Vec<D>,
    forward: Vec<D>,
    output: Vec<D>,
    training: Option<TrainingPhases<D>>,
}

/// The dispatches that only training has.
struct TrainingPhases<D> {
    clear: Vec<D>,
    losses: Vec<D>,
    /// Brings in the gradient of the main output, instead of the losses.
    seed: Vec<D>,
    backward: Vec<D>,
    input_grad: Vec<D>,
    update: Vec<D>,
}

/// The phases that a run consists of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RunMode {
    /// Input to main output.
    Forward,
    /// A training step.
    Step,
    /// A training step without its update.
    AccumulateGradients,
    /// Input to main output, then given gradients of the output to gradients of input and parameters.
    Gradients,
}

impl<D> Phases<D> {
    fn of(&self, mode: RunMode) -> Vec<&[D]> {
        let mut phases = vec![&self.input[..], &self.forward];
        if let RunMode::Forward | RunMode::Gradients = mode {
            phases.push(&self.output);
        }
        if mode == RunMode::Forward {
            return phases;
        }
        let training = self.training.as_ref().expect("a program for training");
        phases.push(&training.clear);
        phases.push(if mode == RunMode::Gradients { &training.seed } else { &training.losses });
        phases.push(&training.backward);
        match mode {
            RunMode::Step => phases.push(&training.update),
            RunMode::Gradients => phases.push(&training.input_grad),
            RunMode::Forward | RunMode::AccumulateGradients => {}
        }
        phases
    }

    fn map<E>(self, f: impl Fn(D) -> E) -> Phases<E> {
        let each = |dispatches: Vec<D>| dispatches.into_iter().map(&f).collect();
        Phases {
            input: each(self.input),
            forward: each(self.forward),
            output: each(self.output),
            training: self.training.map(|training| TrainingPhases {
                clear: each(training.clear),
                losses: each(training.losses),
                seed: each(training.seed),
                backward: each(training.backward),
                input_grad: each(training.input_grad),
                update: each(training.update),
            }),
        }
    }
}

/// A plan, its memory, and its dispatches.
pub(super) struct Program {
    pub plan: Plan,
    pub purpose: Purpose,
    arena: Buffer,
    uniforms: Buffer,
    transfers: HostTransfers,
    phases: Phases<PreparedDispatch>,
    /// For each step of the plan, the number of forward dispatches up to its end.
    step_ends: Vec<usize>,
    /// For each parameter buffer.
    bind_groups: Vec<BindGroups>,
}

impl Program {
    /// # Errors
    /// [`crate::Error::TooLarge`] when the adapter has no buffer for all values.
    pub(super) fn new(
        device: &Device,
        graph: &Graph,
        layout: &ParamLayout,
        buffers: &SharedBuffers<'_>,
        plan: Plan,
        purpose: Purpose,
    ) -> Result<Self> {
        let transfers = HostTransfers::new(&plan);
        let training = purpose != Purpose::Inference;
        let mut r = Recorder::new(layout, plan.batch, training, device.uniform_alignment(), transfers.end);
        let (phases, step_ends) = record(&mut r, graph, &plan, buffers.training, &transfers);
        let (uniform_bytes, floats) = r.finish();

        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let arena = device.buffer("activations", floats * 4, usage)?;
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let uniforms = device.buffer("uniforms", uniform_bytes.len().max(UNIFORM_BYTES), usage)?;
        device.queue().write_buffer(&uniforms, 0, &uniform_bytes);
        let phases = phases.map(|dispatch| PreparedDispatch::new(device, &dispatch));
        let bind = |param_buffer| BindGroups::new(device, buffers, &arena, &uniforms, param_buffer);
        let bind_groups = (0..layout.buffers.len()).map(bind).collect();
        Ok(Program { plan, purpose, arena, uniforms, transfers, phases, step_ends, bind_groups })
    }

    /// Bytes of the program's own memory on the device.
    pub(super) fn bytes(&self) -> usize {
        (self.arena.size() + self.uniforms.size()) as usize
    }

    /// The number of dispatches of a run.
    pub(super) fn dispatches(&self, mode: RunMode) -> usize {
        self.phases.of(mode).iter().map(|phase| phase.len()).sum()
    }

    /// Uploads the input batch.
    pub(super) fn write_input(&self, device: &Device, x: &Tensor) {
        self.write(device, self.transfers.input, x);
    }

    /// Uploads the gradient of the main output.
    pub(super) fn write_grad(&self, device: &Device, dy: &Tensor) {
        self.write(device, self.grad_transfers()[0], dy);
    }

    fn grad_transfers(&self) -> [HostTransfer; 2] {
        self.transfers.grads.expect("a program with an input gradient")
    }

    fn write(&self, device: &Device, transfer: HostTransfer, x: &Tensor) {
        debug_assert_eq!(x.data.len(), transfer.floats);
        device.queue().write_buffer(&self.arena, transfer.at as u64 * 4, bytemuck::cast_slice(&x.data));
    }

    /// The main output in NCHW order, after a run.
    pub(super) fn output(&self) -> BufferRange<'_> {
        self.range(self.transfers.output)
    }

    /// The gradient of the input in NCHW order, after a run in [`RunMode::Gradients`].
    pub(super) fn input_grad(&self) -> BufferRange<'_> {
        self.range(self.grad_transfers()[1])
    }

    fn range(&self, transfer: HostTransfer) -> BufferRange<'_> {
        BufferRange { buffer: &self.arena, offset: transfer.at * 4, bytes: transfer.floats * 4 }
    }

    /// Encodes a whole run.
    pub(super) fn encode(&self, device: &Device, mode: RunMode) -> wgpu::CommandEncoder {
        self.encode_phases(device, &self.phases.of(mode))
    }

    /// Encodes the copy of the input to where the first step reads it.
    pub(super) fn encode_input(&self, device: &Device) -> wgpu::CommandEncoder {
        self.encode_phases(device, &[&self.phases.input])
    }

    /// Encodes forward step `i` alone.
    pub(super) fn encode_step(&self, device: &Device, i: usize) -> wgpu::CommandEncoder {
        let begin = i.checked_sub(1).map_or(0, |before| self.step_ends[before]);
        self.encode_phases(device, &[&self.phases.forward[begin..self.step_ends[i]]])
    }

    /// The memory of a value from its first float to its last.
    pub(super) fn span(&self, view: View) -> BufferRange<'_> {
        BufferRange { buffer: &self.arena, offset: view.offset * 4, bytes: view.span(self.plan.batch) * 4 }
    }

    fn encode_phases(&self, device: &Device, phases: &[&[PreparedDispatch]]) -> wgpu::CommandEncoder {
        let mut encoder = device.raw().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for dispatch in phases.iter().copied().flatten() {
                let groups = &self.bind_groups[dispatch.param_buffer];
                let group = if dispatch.updates { groups.update.as_ref() } else { Some(&groups.run) };
                pass.set_pipeline(&dispatch.pipeline);
                pass.set_bind_group(0, group, &[dispatch.uniforms_at]);
                pass.dispatch_workgroups(dispatch.workgroups[0], dispatch.workgroups[1], 1);
            }
        }
        encoder
    }
}

/// Records all phases of a plan. Returns them with the number of forward dispatches up to the end of each step.
fn record(
    r: &mut Recorder<'_>,
    graph: &Graph,
    plan: &Plan,
    training: Option<&TrainingBuffers>,
    transfers: &HostTransfers,
) -> (Phases<Dispatch>, Vec<usize>) {
    let make = |step: &Step| operation(&graph.nodes()[step.node].layer, step);
    let operations: Vec<_> = plan.steps.iter().map(make).collect();
    if let Some(vectors) = transfers.input.staging {
        flatten::to_map(r, vectors, plan.input);
    }
    let input = r.take();
    let mut step_ends = vec![];
    for operation in &operations[..plan.forward] {
        operation.forward(r);
        step_ends.push(r.len());
    }
    let forward = r.take();
    if let Some(vectors) = transfers.output.staging {
        flatten::to_vector(r, plan.heads[0].view, vectors);
    }
    let output = r.take();
    let training = training.map(|training| record_training(r, plan, &operations, training, transfers));
    (Phases { input, forward, output, training }, step_ends)
}

fn record_training(
    r: &mut Recorder<'_>,
    plan: &Plan,
    operations: &[Box<dyn GpuOperation>],
    training: &TrainingBuffers,
    transfers: &HostTransfers,
) -> TrainingPhases<Dispatch> {
    plan.clear.iter().for_each(|view| clear(r, *view));
    let cleared = r.take();
    loss::record(r, plan, training.loss);
    let losses = r.take();
    for back in &plan.backward {
        back.recompute.iter().for_each(|&i| operations[i].forward(r));
        record_backward(r, &plan.steps[back.step], &*operations[back.step], back);
    }
    let backward = r.take();
    optimizer::record(r, training);
    let update = r.take();
    let (mut seed, mut input_grad) = (vec![], vec![]);
    if let Some([dy, dx]) = transfers.grads {
        for head in &plan.heads[1..] {
            clear(r, head.grad.expect("a training plan has gradients"));
        }
        if let Some(vectors) = dy.staging {
            flatten::to_map(r, vectors, plan.heads[0].grad.expect("a training plan has gradients"));
        }
        seed = r.take();
        if let Some(vectors) = dx.staging {
            flatten::to_vector(r, plan.input_grad.expect("this plan has an input gradient"), vectors);
        }
        input_grad = r.take();
    }
    TrainingPhases { clear: cleared, losses, seed, backward, input_grad, update }
}

fn record_backward(r: &mut Recorder<'_>, step: &Step, operation: &dyn GpuOperation, back: &BackwardStep) {
    back.clear.iter().for_each(|view| clear(r, *view));
    if let Some(activation) = step.activation {
        let in_place = GradWrite { view: back.dy, accumulate: false };
        activation::backward(r, activation, step.output, back.dy, in_place);
    }
    operation.backward(r, back);
}

/// The bindings of a parameter buffer.
struct BindGroups {
    /// For kernels that read parameters.
    run: wgpu::BindGroup,
    /// For kernels that update parameters.
    update: Option<wgpu::BindGroup>,
}

impl BindGroups {
    fn new(
        device: &Device,
        buffers: &SharedBuffers<'_>,
        arena: &Buffer,
        uniforms: &Buffer,
        param_buffer: usize,
    ) -> Self {
        let grads = buffers.training.map_or(buffers.dummy, |t| &t.grads[param_buffer]);
        let mut storage = vec![
            (binding::ARENA, arena),
            (binding::PARAMS, &buffers.params[param_buffer]),
            (binding::GRADS, grads),
            (binding::CONTROL, buffers.control),
        ];
        let run = bind_group(device, &storage, uniforms, false);
        let update = buffers.training.map(|training| {
            for (binding, moment) in binding::MOMENTS.into_iter().zip(&training.moments) {
                storage.push((binding, moment.get(param_buffer).unwrap_or(buffers.dummy)));
            }
            bind_group(device, &storage, uniforms, true)
        });
        BindGroups { run, update }
    }
}

fn bind_group(device: &Device, storage: &[(u32, &Buffer)], uniforms: &Buffer, updates: bool) -> wgpu::BindGroup {
    let size = NonZeroU64::new(UNIFORM_BYTES as u64);
    let uniforms = wgpu::BufferBinding { buffer: uniforms, offset: 0, size };
    let entries: Vec<_> = storage
        .iter()
        .map(|&(binding, buffer)| (binding, buffer.as_entire_buffer_binding()))
        .chain([(binding::UNIFORMS, uniforms)])
        .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: wgpu::BindingResource::Buffer(buffer) })
        .collect();
    let layout = &device.bind_group_layout(updates);
    let descriptor = wgpu::BindGroupDescriptor { label: Some("convoke"), layout, entries: &entries };
    device.raw().create_bind_group(&descriptor)
}
