//! Training: forward, loss, backward and update in one submission.

use std::borrow::Cow;

use super::device::{Buffer, Device, Range, Readback};
use super::program::{Buffers, Play, Program, TrainingBuffers};
use super::weights::Layout;
use super::{check_batch, check_finite};
use crate::error::{Error, Result};
use crate::graph::{Graph, Params};
use crate::layers::dropout::{micro_batch_step, training_mode};
use crate::layers::{Loss, Mode, ParamSpec};
use crate::plan::{Optimizer, Plan, Purpose, StepReport, Update, check_clip_norm};
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
    decoupled: f32,
    scale: f32,
    clip_norm: f32,
    gather: u32,
    share: f32,
}

/// Bytes of a control buffer that are read back: loss, correct, bad.
const REPORT: usize = 12;

impl Control {
    /// A control buffer with room for the labels of `batch` samples.
    pub(super) fn buffer(device: &Device, batch: usize) -> Result<Buffer> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        device.buffer("control", size_of::<Control>() + 4 * batch.max(1), usage)
    }

    fn new(update: &Update, clip_norm: f32, seed: u32) -> Self {
        let [c1, c2] = update.adam_corrections();
        let common = Control {
            seed,
            rate: update.learning_rate,
            correction1: c1 as f32,
            correction2: c2 as f32,
            scale: 1.0,
            clip_norm,
            ..Control::default()
        };
        match update.optimizer {
            Optimizer::Sgd { momentum, nesterov, weight_decay } => {
                Control { decay: weight_decay, beta1: momentum, nesterov: nesterov.into(), ..common }
            }
            Optimizer::Adam { beta1, beta2, epsilon, weight_decay } => {
                Control { decay: weight_decay, beta1, beta2, epsilon, ..common }
            }
            Optimizer::AdamW { beta1, beta2, epsilon, weight_decay } => {
                Control { decoupled: weight_decay, beta1, beta2, epsilon, ..common }
            }
            Optimizer::RmsProp { alpha, momentum, epsilon, weight_decay } => {
                Control { decay: weight_decay, beta1: momentum, beta2: alpha, epsilon, ..common }
            }
        }
    }
}

/// The plan from which the order of weights follows.
const STEP: Purpose = Purpose::Training { input_grad: false, recompute: false };

/// How many batch sizes are kept prepared: the usual one and that of a shorter last batch.
const KEPT: usize = 2;

/// A network on the device, in training.
pub struct Trainer {
    graph: Graph,
    /// What training began with: the weights of layers that never run stay so.
    given: Params,
    device: Device,
    layout: Layout,
    params: Vec<Buffer>,
    training: TrainingBuffers,
    nothing: Buffer,
    seed: u32,
    /// The largest norm of all gradients together; 0 for none.
    clip_norm: f32,
    /// Of each sample's label; the rest is that of the sample before.
    share: f32,
    /// For each node, the factor on the learning rate; 0 is frozen.
    rates: Vec<f32>,
    /// Whether values are computed again rather than kept.
    recompute: bool,
    steps: u32,
    /// Of the step to come, those that are done.
    parts: u32,
    programs: Vec<(Program, Buffer)>,
    readback: Readback,
}

/// Zeroed buffers for what an optimizer remembers.
fn state_buffers(layout: &Layout, device: &Device, optimizer: Optimizer) -> Result<[Vec<Buffer>; 2]> {
    let second = if optimizer.moments().len() > 1 { layout.buffers(device, "optimizer")? } else { vec![] };
    Ok([layout.buffers(device, "optimizer")?, second])
}

impl Trainer {
    /// Uploads the parameters. Memory for activations is taken at the first step, when the batch size is known.
    ///
    /// # Errors
    /// [`Error::Argument`] for constants of the optimizer or the loss outside their ranges, [`Error::TooLarge`] for a tensor that the
    /// adapter cannot hold, [`Error::Backend`] when it refuses something else, [`Error::DeviceLost`].
    pub async fn new(
        graph: &Graph,
        given: &Params,
        loss: Loss,
        optimizer: Optimizer,
        seed: u32,
        device: &Device,
    ) -> Result<Trainer> {
        optimizer.validate()?;
        if let Loss::SoftmaxCrossEntropy { label_smoothing: e } = loss
            && !(0.0..1.0).contains(&e)
        {
            return Err(Error::argument("labelSmoothing", "at least 0 and below 1", e));
        }
        // Places vary with the batch size, but not the shapes from which the order of weights follows.
        let plan = Plan::new(graph, 1, STEP);
        let layout = Layout::new(graph, &plan, device.max_floats());
        let make = || {
            let buffers = layout.buffers(device, "parameters")?;
            layout.upload(graph, given, device, &buffers);
            let grads = layout.buffers(device, "gradients")?;
            let state = state_buffers(&layout, device, optimizer)?;
            let nothing = device.buffer("nothing", 16, wgpu::BufferUsages::STORAGE)?;
            let segments = layout.segments(graph, &vec![1.0; graph.nodes().len()]);
            Ok((buffers, TrainingBuffers { loss, optimizer, segments, clips: false, grads, state }, nothing))
        };
        let (params, training, nothing) = device.checked(make).await?;
        Ok(Trainer {
            graph: graph.clone(),
            given: given.clone(),
            device: device.clone(),
            layout,
            params,
            training,
            nothing,
            seed,
            clip_norm: 0.0,
            share: 1.0,
            rates: vec![1.0; graph.nodes().len()],
            recompute: false,
            steps: 0,
            parts: 0,
            programs: vec![],
            readback: Readback::default(),
        })
    }

    /// One step on a batch `[N, C, H, W]` with one label for each sample. Everything happens on the device in one
    /// submission; only loss and correct count come back.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NotFinite`] and [`Error::Label`] for the batch, [`Error::Argument`] for the number of
    /// labels and the learning rate. [`Error::Diverged`] when the loss or a gradient is not finite: weights and
    /// optimizer are then as before. [`Error::DeviceLost`] and [`Error::Backend`].
    pub async fn step(&mut self, x: &Tensor, labels: &[u32], learning_rate: f32) -> Result<StepReport> {
        let report = self.play(Play::Step, x, labels, learning_rate).await?;
        self.steps = self.steps.wrapping_add(1);
        Ok(report)
    }

    /// A part of the batch of the step to come, whose update goes by the mean of the gradients of all parts. Running
    /// statistics follow the last part.
    ///
    /// # Errors
    /// Those of [`Trainer::step`]; the parts before are then forgotten.
    pub async fn part(&mut self, x: &Tensor, labels: &[u32]) -> Result<StepReport> {
        let parts = self.parts + 1;
        let report = self.play(Play::Part, x, labels, 0.0).await?;
        self.parts = parts;
        Ok(report)
    }

    /// On errors, and after a whole step, the next part is a first one.
    async fn play(&mut self, play: Play, x: &Tensor, labels: &[u32], learning_rate: f32) -> Result<StepReport> {
        let parts = std::mem::take(&mut self.parts);
        let batch = check_batch(&self.graph, x)?;
        self.check_step(batch, labels, learning_rate)?;
        let program = self.program(batch, false).await?;
        let update = Update { optimizer: self.optimizer(), learning_rate, t: self.steps.wrapping_add(1) };
        let control = Control {
            scale: 1.0 / (parts + 1) as f32,
            gather: u32::from(parts > 0),
            share: self.share,
            ..Control::new(&update, self.clip_norm, self.dropout_seed(micro_batch_step(self.steps, parts)))
        };

        self.device.check()?;
        let (program, control_buffer) = &self.programs[program];
        program.write_input(&self.device, x);
        write_control(&self.device, control_buffer, &control, labels);
        let encoder = program.encode(&self.device, play);
        let report = Range { buffer: control_buffer, offset: 0, bytes: REPORT };
        let report = self.readback.read(&self.device, encoder, &[report]).await?;
        let (loss, correct, bad) = (report[0], report[1].to_bits(), report[2].to_bits());
        if bad != 0 {
            let layer = self.first_bad_layer(x, &control, labels).await?;
            return Err(Error::Diverged { step: u64::from(self.steps), loss, layer });
        }
        Ok(StepReport { loss, correct })
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
        check_finite("dy", &dy.data)?;
        let program = self.program(batch, true).await?;
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
        let mut dparams = self.unpack_gradients(grads);
        // What running statistics are moved by is no gradient.
        for (name, _) in self.graph.params().iter().filter(|(_, spec)| !spec.role.is_trained()) {
            dparams.tensor_mut(name).data.fill(0.0);
        }
        Ok((y, dx, dparams))
    }

    /// The weights as they are now.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] and [`Error::Backend`].
    pub async fn params(&self) -> Result<Params> {
        let data = self.layout.download(&self.device, &self.params).await?;
        let mut params = self.given.clone();
        self.layout.unpack(&self.graph, &data, |name, tensor| *params.tensor_mut(name) = tensor);
        Ok(params)
    }

    /// Steps done.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// The formula of the update.
    pub fn optimizer(&self) -> Optimizer {
        self.training.optimizer
    }

    /// Goes on with other constants, or another formula. The state is kept if the formula is of the same kind.
    ///
    /// # Errors
    /// [`Error::Argument`] for constants outside their ranges.
    pub fn set_optimizer(&mut self, optimizer: Optimizer) -> Result<()> {
        optimizer.validate()?;
        if std::mem::discriminant(&optimizer) != std::mem::discriminant(&self.training.optimizer) {
            self.training.state = state_buffers(&self.layout, &self.device, optimizer)?;
            // They are bound to the old state.
            self.programs.clear();
        }
        self.training.optimizer = optimizer;
        Ok(())
    }

    /// Scales all gradients together so that their norm is at most this one from now on; 0 for no limit.
    ///
    /// # Errors
    /// [`Error::Argument`] for a number that is none.
    pub fn set_clip_norm(&mut self, norm: f32) -> Result<()> {
        check_clip_norm(norm)?;
        self.clip_norm = norm;
        if std::mem::replace(&mut self.training.clips, norm > 0.0) != self.training.clips {
            self.programs.clear();
        }
        Ok(())
    }

    /// Factors on the learning rate from now on, one for each node of the graph. Those of factor 0 are frozen: they keep
    /// their weights and run as at inference, and backward ends where no layer below learns.
    ///
    /// # Panics
    /// Unless there are as many as nodes.
    pub fn set_rates(&mut self, rates: &[f32]) {
        assert_eq!(rates.len(), self.graph.nodes().len());
        self.rates = rates.to_vec();
        self.training.segments = self.layout.segments(&self.graph, rates);
        self.programs.clear();
    }

    /// From now on each sample of a batch has this share of its own label, and the rest of the label of the one before it
    /// (the first, of the last), as in mixup (Zhang et al., 2018). 1 by default.
    pub fn set_mixup_lambda(&mut self, share: f32) {
        self.share = share;
    }

    /// Takes the memory for steps on `batch` samples, which they would otherwise take when they come.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Backend`], [`Error::DeviceLost`].
    pub async fn prepare(&mut self, batch: usize) -> Result<()> {
        self.program(batch, false).await.map(drop)
    }

    /// Whether values are computed again for the backward half rather than kept, from now on: with the same results, in
    /// less memory and about a third more time. It begins by itself where the adapter has no buffer for all values.
    pub fn set_recompute(&mut self, recompute: bool) {
        self.recompute = recompute;
        self.programs.clear();
    }

    /// Whether values are computed again.
    pub fn recomputes(&self) -> bool {
        self.recompute
    }

    /// What the optimizer remembers: for each parameter its name with each of [`Optimizer::moments`] behind it.
    /// Together with [`Trainer::params`] and [`Trainer::steps`] it is all that [`Trainer::restore`] needs.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] and [`Error::Backend`].
    pub async fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let mut state = vec![];
        for (moment, buffers) in self.optimizer().moments().iter().zip(&self.training.state) {
            let data = self.layout.download(&self.device, buffers).await?;
            // Of layers that never run there is none.
            let first = state.len();
            let zeros = |(name, spec): (String, ParamSpec)| (format!("{name}.{moment}"), Tensor::zeros(spec.shape));
            state.extend(self.graph.params().into_iter().map(zeros));
            self.layout.unpack(&self.graph, &data, |name, tensor| {
                let name = format!("{name}.{moment}");
                if let Some((_, own)) = state[first..].iter_mut().find(|(own, _)| *own == name) {
                    *own = tensor;
                }
            });
        }
        Ok(state)
    }

    /// Continues where a trainer with the same graph, weights, optimizer and seed was after `steps` updates.
    ///
    /// # Errors
    /// [`Error::Weights`] when `state` does not have exactly the tensors of [`Trainer::state`]; [`Error::NotFinite`].
    /// The trainer is then as before.
    pub fn restore(&mut self, state: &[(String, Tensor)], steps: u32) -> Result<()> {
        self.optimizer().check_state(&self.graph, state)?;
        for (moment, buffers) in self.optimizer().moments().iter().zip(&self.training.state) {
            let tensor = |name: &str| {
                let name = format!("{name}.{moment}");
                let (_, tensor) = state.iter().find(|(own, _)| *own == name).expect("checked above");
                Cow::Borrowed(tensor)
            };
            self.layout.upload_from(&self.graph, tensor, &self.device, buffers);
        }
        self.steps = steps;
        Ok(())
    }

    /// Bytes of buffers on the device: parameters, gradients, optimizer state, activations.
    pub fn bytes(&self) -> usize {
        let TrainingBuffers { grads, state, .. } = &self.training;
        let buffers = self.params.iter().chain(grads).chain(state.iter().flatten()).chain([&self.nothing]);
        let programs = self.programs.iter().map(|(p, control)| p.bytes() + control.size() as usize);
        buffers.map(|b| b.size() as usize).sum::<usize>() + programs.sum::<usize>()
    }

    /// Dispatches of one step with this batch size, once it was run.
    pub fn dispatches(&self, batch: usize) -> Option<usize> {
        let program = self.programs.iter().find(|(p, _)| p.plan.batch == batch)?;
        Some(program.0.dispatches(Play::Step))
    }

    fn dropout_seed(&self, step: u32) -> u32 {
        match training_mode(self.seed, step, 0) {
            Mode::Training { seed, .. } => seed,
            Mode::Inference => 0,
        }
    }

    fn check_step(&self, batch: usize, labels: &[u32], learning_rate: f32) -> Result<()> {
        if labels.len() != batch {
            return Err(Error::argument("labels", format!("{batch}, one for each sample"), labels.len()));
        }
        if !(learning_rate.is_finite() && learning_rate >= 0.0) {
            return Err(Error::argument("learningRate", "a finite number of at least 0", learning_rate));
        }
        let outputs = self.graph.outputs().iter();
        let mut sizes = outputs.map(|o| self.graph.shape(o.value).elements());
        sizes.try_for_each(|outputs| self.training.loss.check_labels(labels, outputs))
    }

    /// The index of the program for this batch size, made when there is none yet.
    async fn program(&mut self, batch: usize, input_grad: bool) -> Result<usize> {
        let purpose = Purpose::Training { input_grad, recompute: self.recompute };
        let fits = |(p, _): &(Program, Buffer)| p.plan.batch == batch && p.purpose == purpose;
        if let Some(i) = self.programs.iter().position(fits) {
            return Ok(i);
        }
        // Before the new one is made, so that both need not fit at once.
        self.programs.truncate(KEPT - 1);
        let made = match self.make(batch, purpose).await {
            Err(Error::TooLarge { .. }) if !self.recompute => {
                let made = self.make(batch, Purpose::Training { input_grad, recompute: true }).await?;
                self.set_recompute(true);
                made
            }
            made => made?,
        };
        self.programs.insert(0, made);
        Ok(0)
    }

    async fn make(&self, batch: usize, purpose: Purpose) -> Result<(Program, Buffer)> {
        let make = || {
            let frozen: Vec<bool> = self.rates.iter().map(|&rate| rate == 0.0).collect();
            let plan = Plan::with_frozen(&self.graph, batch, purpose, &frozen);
            let control = Control::buffer(&self.device, batch)?;
            let on = Buffers {
                params: &self.params,
                control: &control,
                nothing: &self.nothing,
                training: Some(&self.training),
            };
            Ok((Program::new(&self.device, &self.graph, &self.layout, &on, plan, purpose)?, control))
        };
        self.device.checked(make).await
    }

    /// Runs the forward half again, step by step, and looks for the first value that is not finite; then among the
    /// gradients, which the step left behind.
    async fn first_bad_layer(&mut self, x: &Tensor, control: &Control, labels: &[u32]) -> Result<String> {
        let grads = self.unpack_gradients(&self.layout.download(&self.device, &self.training.grads).await?);
        let program = self.program(labels.len(), false).await?;
        let (program, control_buffer) = &self.programs[program];
        program.write_input(&self.device, x);
        write_control(&self.device, control_buffer, control, labels);
        self.device.queue().submit([program.encode_input(&self.device).finish()]);
        let mut readback = Readback::default();
        for (i, step) in program.plan.steps[..program.plan.forward].iter().enumerate() {
            let encoder = program.encode_step(&self.device, i);
            let values = readback.read(&self.device, encoder, &[program.span(step.output)]).await?;
            if step.output.gather(&values).iter().any(|v| !v.is_finite()) {
                return Ok(self.graph.nodes()[step.node].name.clone());
            }
        }
        let steep =
            |i: usize| grads.of_node(&self.graph, i).iter().any(|t| !t.values().data.iter().all(|v| v.is_finite()));
        let node = (0..self.graph.nodes().len()).find(|&i| steep(i));
        Ok(node.map_or("loss", |i| &self.graph.nodes()[i].name).into())
    }

    /// Gradients as callers know them; zeros for layers that never run.
    fn unpack_gradients(&self, data: &[f32]) -> Params {
        let mut grads = self.given.clone();
        for (name, _) in self.graph.params() {
            grads.tensor_mut(&name).data.fill(0.0);
        }
        self.layout.unpack(&self.graph, data, |name, tensor| *grads.tensor_mut(name) = tensor);
        grads
    }
}

fn write_control(device: &Device, buffer: &Buffer, control: &Control, labels: &[u32]) {
    let mut bytes = bytemuck::bytes_of(control).to_vec();
    bytes.extend_from_slice(bytemuck::cast_slice(labels));
    device.queue().write_buffer(buffer, 0, &bytes);
}
