//! Training: forward, loss, backward and update in one submission.

use super::check_batch;
use super::device::{Device, Range, Readback};
use super::program::{Buffers, Play, Program, TrainingBuffers};
use super::weights::Layout;
use crate::error::{Error, Result};
use crate::graph::{Graph, Params, Value, reference};
use crate::layers::{Loss, Mode};
use crate::plan::{Optimizer, Place, Plan, Purpose, StepReport, Update};
use crate::tensor::{Tensor, dims};

/// What changes from step to step, as the prelude declares it; labels follow.
#[repr(C)]
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Control {
    loss: f32,
    correct: u32,
    bad: u32,
    seed: u32,
    rate: f32,
    decay: f32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    correction1: f32,
    correction2: f32,
    nesterov: u32,
}

/// Bytes of a control buffer that are read back: loss, correct, bad.
const REPORT: usize = 12;

impl Control {
    /// A control buffer with room for the labels of `batch` samples.
    pub(super) fn buffer(device: &Device, batch: usize) -> Result<wgpu::Buffer> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        device.buffer("control", size_of::<Control>() + 4 * batch.max(1), usage)
    }

    fn new(update: &Update, seed: u32) -> Self {
        let [c1, c2] = update.adam_corrections();
        let common = Control {
            seed,
            rate: update.learning_rate,
            correction1: c1 as f32,
            correction2: c2 as f32,
            ..Control::default()
        };
        match update.optimizer {
            Optimizer::Sgd { momentum, nesterov, weight_decay } => {
                Control { decay: weight_decay, beta1: momentum, nesterov: nesterov.into(), ..common }
            }
            Optimizer::Adam { beta1, beta2, epsilon, weight_decay } => {
                Control { decay: weight_decay, beta1, beta2, epsilon, ..common }
            }
        }
    }
}

/// How many batch sizes are kept prepared: the usual one and that of a shorter last batch.
const KEPT: usize = 2;

/// A network on the device, in training.
pub struct Trainer {
    graph: Graph,
    device: Device,
    layout: Layout,
    params: Vec<wgpu::Buffer>,
    training: TrainingBuffers,
    nothing: wgpu::Buffer,
    optimizer: Optimizer,
    seed: u32,
    steps: u32,
    /// The steps before the optimizer's state was last cleared: Adam counts from there.
    cleared_at: u32,
    programs: Vec<(Program, wgpu::Buffer)>,
    readback: Readback,
}

fn is_adam(optimizer: Optimizer) -> bool {
    matches!(optimizer, Optimizer::Adam { .. })
}

/// Zeroed buffers for what an optimizer remembers.
fn state_buffers(layout: &Layout, device: &Device, optimizer: Optimizer) -> Result<[Vec<wgpu::Buffer>; 2]> {
    let second = if is_adam(optimizer) { layout.buffers(device, "optimizer")? } else { vec![] };
    Ok([layout.buffers(device, "optimizer")?, second])
}

impl Trainer {
    /// Uploads the parameters. Memory for activations is taken at the first step, when the batch size is known.
    ///
    /// # Errors
    /// [`Error::Argument`] for constants of the optimizer out of range, [`Error::TooLarge`] for a tensor that the
    /// adapter cannot hold, [`Error::Backend`] when it refuses something else, [`Error::DeviceLost`].
    pub async fn new(
        graph: &Graph,
        params: &Params,
        loss: Loss,
        optimizer: Optimizer,
        seed: u32,
        device: &Device,
    ) -> Result<Trainer> {
        optimizer.validate()?;
        // Places vary with the batch size, but not the shapes from which the order of weights follows.
        let plan = Plan::new(graph, 1, Purpose::Training { input_grad: false });
        let layout = Layout::new(graph, &plan, device.max_floats());
        let make = || {
            let buffers = layout.buffers(device, "parameters")?;
            layout.upload(graph, params, device, &buffers);
            let grads = layout.buffers(device, "gradients")?;
            let state = state_buffers(&layout, device, optimizer)?;
            let nothing = device.buffer("nothing", 16, wgpu::BufferUsages::STORAGE)?;
            Ok((buffers, TrainingBuffers { loss, adam: is_adam(optimizer), grads, state }, nothing))
        };
        let (params, training, nothing) = device.checked(make).await?;
        Ok(Trainer {
            graph: graph.clone(),
            device: device.clone(),
            layout,
            params,
            training,
            nothing,
            optimizer,
            seed,
            steps: 0,
            cleared_at: 0,
            programs: vec![],
            readback: Readback::default(),
        })
    }

    /// One step on a batch `[N, C, H, W]` with one label for each sample. Everything happens on the device in one
    /// submission; only loss and correct count come back.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NotFinite`] and [`Error::Label`] for the batch. [`Error::Diverged`] when the loss is
    /// not finite: weights and optimizer are then as before. [`Error::DeviceLost`] and [`Error::Backend`].
    pub async fn step(&mut self, x: &Tensor, labels: &[u32], learning_rate: f32) -> Result<StepReport> {
        let batch = check_batch(&self.graph, x)?;
        self.check_labels(batch, labels)?;
        let program = self.program(batch, Purpose::Training { input_grad: false }).await?;
        let t = self.steps.wrapping_add(1);
        let update = Update { optimizer: self.optimizer, learning_rate, t: t.wrapping_sub(self.cleared_at) };
        let control = Control::new(&update, self.dropout_seed(self.steps));

        self.device.check()?;
        let (program, control_buffer) = &self.programs[program];
        program.write_input(&self.device, x);
        write_control(&self.device, control_buffer, &control, labels);
        let encoder = program.encode(&self.device, Play::Step);
        let report = Range { buffer: control_buffer, offset: 0, bytes: REPORT };
        let report = self.readback.read(&self.device, encoder, &[report]).await?;
        let [loss, correct, bad] = [report[0], report[1], report[2]];
        if bad.to_bits() != 0 || !loss.is_finite() {
            let layer = self.first_bad_layer(x, &control, labels).await?;
            return Err(Error::Diverged { step: u64::from(t), loss, layer });
        }
        self.steps = t;
        Ok(StepReport { loss, correct: correct.to_bits() })
    }

    /// `(y, dL/dx, dL/dparams)` for the main output y in training mode (of step `step`) and dL/dy = `dy`. Changes
    /// nothing.
    ///
    /// # Errors
    /// Those of [`Trainer::step`].
    pub async fn gradients(&mut self, x: &Tensor, dy: &Tensor, step: u32) -> Result<(Tensor, Tensor, Params)> {
        let batch = check_batch(&self.graph, x)?;
        let shape = self.graph.shape(self.graph.outputs()[0].value).batched(batch);
        if dy.shape != shape {
            let (expected, actual) = (dims(&shape), dims(&dy.shape));
            return Err(Error::Shape { tensor: "dy".into(), expected, actual });
        }
        let program = self.program(batch, Purpose::Training { input_grad: true }).await?;
        self.device.check()?;
        let (program, control_buffer) = &self.programs[program];
        let control = Control { seed: self.dropout_seed(step), ..Control::default() };
        write_control(&self.device, control_buffer, &control, &[]);
        program.write_input(&self.device, x);
        program.write_grad(&self.device, dy);
        let encoder = program.encode(&self.device, Play::Gradients);
        let mut ranges = vec![program.output(), program.input_grad()];
        ranges.extend(self.layout.ranges(&self.training.grads));
        let data = self.readback.read(&self.device, encoder, &ranges).await?;
        let (y, rest) = data.split_at(dy.data.len());
        let (dx, grads) = rest.split_at(x.data.len());
        let y = Tensor::new(shape, y.to_vec())?;
        let dx = Tensor::new(x.shape.clone(), dx.to_vec())?;
        Ok((y, dx, self.layout.unpack(&self.graph, grads)?))
    }

    /// The weights as they are now.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] and [`Error::Backend`].
    pub async fn params(&self) -> Result<Params> {
        self.layout.download(&self.graph, &self.device, &self.params).await
    }

    /// Steps done.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// Changes the optimizer's constants. Another kind of optimizer begins with an empty state.
    pub fn set_optimizer(&mut self, optimizer: Optimizer) {
        let adam = is_adam(optimizer);
        if adam != self.training.adam
            // Its buffers are as large as the weights', which the device could hold.
            && let Ok(state) = state_buffers(&self.layout, &self.device, optimizer)
        {
            self.training.state = state;
            self.training.adam = adam;
            self.cleared_at = self.steps;
            self.programs.clear();
        }
        self.optimizer = optimizer;
    }

    /// What the optimizer remembers: a value for each weight, or two.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] and [`Error::Backend`].
    pub async fn state(&self) -> Result<Vec<Params>> {
        let mut state = vec![];
        for buffers in self.training.state.iter().filter(|b| !b.is_empty()) {
            state.push(self.layout.download(&self.graph, &self.device, buffers).await?);
        }
        Ok(state)
    }

    /// Goes on from a saved state.
    pub fn restore(&mut self, state: Vec<Params>, steps: u32) {
        for (state, buffers) in state.iter().zip(self.training.state.iter().filter(|b| !b.is_empty())) {
            self.layout.upload(&self.graph, state, &self.device, buffers);
        }
        self.steps = steps;
        self.cleared_at = 0;
    }

    /// Dispatches of one step with this batch size, once it was run.
    pub fn dispatches(&self, batch: usize) -> Option<usize> {
        let program = self.programs.iter().find(|(p, _)| p.plan.batch == batch)?;
        Some(program.0.dispatches(Play::Step))
    }

    fn dropout_seed(&self, step: u32) -> u32 {
        match reference::training_mode(self.seed, step, 0) {
            Mode::Training { seed, .. } => seed,
            Mode::Inference => 0,
        }
    }

    fn check_labels(&self, batch: usize, labels: &[u32]) -> Result<()> {
        if labels.len() != batch {
            return Err(Error::Shape {
                tensor: "labels".into(),
                expected: batch.to_string(),
                actual: labels.len().to_string(),
            });
        }
        let outputs = self.graph.outputs().iter();
        let mut sizes = outputs.map(|o| self.graph.shape(o.value).elements());
        sizes.try_for_each(|outputs| self.training.loss.check_labels(labels, outputs))
    }

    /// The index of the program for this batch size, made when there is none yet.
    async fn program(&mut self, batch: usize, purpose: Purpose) -> Result<usize> {
        let fits = |(p, _): &(Program, wgpu::Buffer)| p.plan.batch == batch && p.purpose == purpose;
        if let Some(i) = self.programs.iter().position(fits) {
            return Ok(i);
        }
        // Before the new one is made, so that both need not fit at once.
        self.programs.truncate(KEPT - 1);
        let make = || {
            let plan = Plan::new(&self.graph, batch, purpose);
            let control = Control::buffer(&self.device, batch)?;
            let on = Buffers {
                params: &self.params,
                control: &control,
                nothing: &self.nothing,
                training: Some(&self.training),
            };
            Ok((Program::new(&self.device, &self.graph, &self.layout, &on, plan, purpose)?, control))
        };
        let made = self.device.checked(make).await?;
        self.programs.insert(0, made);
        Ok(0)
    }

    /// Runs the forward half again, whose values backward has partly overwritten, and looks for the first that is not
    /// finite.
    async fn first_bad_layer(&mut self, x: &Tensor, control: &Control, labels: &[u32]) -> Result<String> {
        let program = self.program(labels.len(), Purpose::Training { input_grad: false }).await?;
        let (program, control_buffer) = &self.programs[program];
        program.write_input(&self.device, x);
        write_control(&self.device, control_buffer, control, labels);
        let encoder = program.encode(&self.device, Play::Forward);
        let arena = Readback::default().read(&self.device, encoder, &[program.values()]).await?;
        let is_bad = |v: &Value| program.plan.place(*v).is_some_and(|p| !is_finite(&arena, p, labels.len()));
        let value = self.graph.values().find(is_bad);
        Ok(value.map_or("loss", |v| self.graph.value_name(v)).to_string())
    }
}

fn is_finite(arena: &[f32], place: Place, batch: usize) -> bool {
    (0..place.pixels(batch)).all(|p| {
        let pixel = &arena[place.offset + p * place.pitch..][..place.c];
        pixel.iter().all(|v| v.is_finite())
    })
}

fn write_control(device: &Device, buffer: &wgpu::Buffer, control: &Control, labels: &[u32]) {
    let mut bytes = bytemuck::bytes_of(control).to_vec();
    bytes.extend_from_slice(bytemuck::cast_slice(labels));
    device.queue().write_buffer(buffer, 0, &bytes);
}
