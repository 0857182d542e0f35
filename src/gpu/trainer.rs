//! Training on the device: forward, loss, backward and update in one submission.

use std::borrow::Cow;

use super::buffers::{SharedBuffers, TrainingBuffers};
use super::control::{Control, REPORT_BYTES, write_control};
use super::device::{Buffer, BufferRange, Device, Readback};
use super::engine::Engine;
use super::program::{Program, RunMode};
use super::weights::ParamLayout;
use crate::error::{Error, Result};
use crate::graph::{Graph, Params};
use crate::layers::dropout::{micro_batch_step, training_mode};
use crate::layers::{Layer, Loss, Mode, ParamSpec};
use crate::plan::{Optimizer, Plan, Purpose, StepReport, TrainSettings, Update, are_answers, check_batch_size};
use crate::tensor::Tensor;

/// The purpose of the plan that determines the order of weights.
const LAYOUT_PURPOSE: Purpose = Purpose::Training { input_grad: false, recompute: false };

/// The bit of a report that stands for a loss or gradient that is not finite; the update has then changed nothing.
const LOSS_OR_GRADIENT: u32 = 1;

/// Batch sizes that stay prepared: the usual one, and the size of a shorter last batch.
const KEPT_PROGRAMS: usize = 2;

/// A network in training on the device.
///
/// # Examples
/// ```no_run
/// use convoke::gpu::{Device, Trainer};
/// use convoke::graph::{Init, Params};
/// use convoke::layers::Loss;
/// use convoke::plan::Optimizer;
/// use convoke::tensor::Tensor;
/// use convoke::zoo;
///
/// # async fn run() -> convoke::Result<()> {
/// let graph = zoo::lenet5(zoo::Options::default())?;
/// let params = Params::init(&graph, Init::He, 1);
/// let device = Device::request().await?;
/// let (loss, optimizer) = (Loss::CROSS_ENTROPY, Optimizer::sgd(0.9));
/// let mut trainer = Trainer::new(&graph, &params, loss, optimizer, 1, &device).await?;
/// let report = trainer.step(&Tensor::zeros(graph.input().batched(2)), &[3, 1], 0.01).await?;
/// assert!(report.loss > 0.0);
/// # Ok(())
/// # }
/// ```
pub struct Trainer {
    graph: Graph,
    /// The weights that training began with. Layers that never run keep theirs.
    given: Params,
    device: Device,
    layout: ParamLayout,
    params: Vec<Buffer>,
    training: TrainingBuffers,
    dummy: Buffer,
    settings: TrainSettings,
    /// Copies of the weights before even and before odd steps, made by the first step; step `n` makes copy `n % 2`.
    copies: [Vec<Buffer>; 2],
    /// Whether the copies hold the weights before the last step.
    has_previous: bool,
    steps: u32,
    /// Micro-batches of the coming step that are done.
    parts: u32,
    programs: Vec<(Program, Buffer)>,
    readback: Readback,
}

/// Makes zeroed buffers for the moments of an optimizer.
fn moment_buffers(layout: &ParamLayout, device: &Device, optimizer: Optimizer) -> Result<[Vec<Buffer>; 2]> {
    let second = if optimizer.moments().len() > 1 { layout.make_buffers(device, "optimizer")? } else { vec![] };
    Ok([layout.make_buffers(device, "optimizer")?, second])
}

impl Trainer {
    /// Uploads the parameters. The first step of each batch size allocates memory for activations.
    ///
    /// # Errors
    /// [`Error::Argument`] for constants of the optimizer or the loss outside their ranges, [`Error::TooLarge`] for a
    /// tensor that the adapter cannot hold, [`Error::Backend`] for any other refusal of the adapter,
    /// [`Error::DeviceLost`].
    pub async fn new(
        graph: &Graph,
        given: &Params,
        loss: Loss,
        optimizer: Optimizer,
        seed: u32,
        device: &Device,
    ) -> Result<Trainer> {
        let settings = TrainSettings::new(graph, loss, optimizer, seed)?;
        // Views vary with the batch size; the shapes that determine the order of weights do not.
        let plan = Plan::new(graph, 1, LAYOUT_PURPOSE);
        let layout = ParamLayout::new(graph, &plan, device.max_floats());
        let make = || {
            let buffers = layout.make_buffers(device, "parameters")?;
            layout.upload(graph, given, device, &buffers);
            let grads = layout.make_buffers(device, "gradients")?;
            let moments = moment_buffers(&layout, device, optimizer)?;
            let dummy = device.buffer("dummy", 16, wgpu::BufferUsages::STORAGE)?;
            let segments = layout.segments(graph, &settings.rates);
            Ok((buffers, TrainingBuffers { loss, optimizer, segments, clips: false, grads, moments }, dummy))
        };
        let (params, training, dummy) = device.checked(make).await?;
        Ok(Trainer {
            graph: graph.clone(),
            given: given.clone(),
            device: device.clone(),
            layout,
            params,
            training,
            dummy,
            settings,
            copies: [vec![], vec![]],
            has_previous: false,
            steps: 0,
            parts: 0,
            programs: vec![],
            readback: Readback::default(),
        })
    }

    /// Trains for one step on a batch with one label for each sample. The step is one submission, from which only the
    /// loss and the number of correct samples are downloaded.
    ///
    /// # Shapes
    /// `x` is NCHW with N of at least 1; `labels` has N elements.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NotFinite`] and [`Error::Label`] for the batch, [`Error::Argument`] for the number of
    /// labels and for a learning rate that is negative or not finite. [`Error::Diverged`] when the loss, a gradient, a
    /// new weight, a running statistic or the optimizer's state is not finite. Of these weights the trainer then keeps
    /// the first with which the network answers the batch in finite numbers: the weights before this step, those before
    /// the last step, each also with the batch's own statistics in batch normalizations, and the weights that training
    /// began with. Where they are not the weights before this step, the optimizer's state starts anew. A batch that no
    /// weights answer changes nothing. [`Error::TooLarge`], [`Error::DeviceLost`] and [`Error::Backend`].
    pub async fn step(&mut self, x: &Tensor, labels: &[u32], learning_rate: f32) -> Result<StepReport> {
        let report = self.run(RunMode::Step, x, labels, learning_rate).await?;
        self.steps = self.steps.saturating_add(1);
        self.has_previous = true;
        Ok(report)
    }

    /// Accumulates the gradients of a micro-batch. The coming [`Trainer::step`] updates by the mean gradient of all
    /// micro-batches, its own included. Running statistics follow the step's own micro-batch.
    ///
    /// # Shapes
    /// `x` is NCHW with N of at least 1; `labels` has N elements.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NotFinite`], [`Error::Label`] and [`Error::Argument`] for the batch and its labels,
    /// [`Error::Diverged`] for a loss or gradient that is not finite, after which the trainer has the weights that
    /// [`Trainer::step`] describes, [`Error::TooLarge`], [`Error::DeviceLost`] and [`Error::Backend`]. Each error
    /// discards the accumulated gradients.
    pub async fn part(&mut self, x: &Tensor, labels: &[u32]) -> Result<StepReport> {
        let parts = self.parts + 1;
        let report = self.run(RunMode::AccumulateGradients, x, labels, 0.0).await?;
        self.parts = parts;
        Ok(report)
    }

    /// Runs a step or a micro-batch. Errors and whole steps discard the accumulated gradients.
    async fn run(&mut self, mode: RunMode, x: &Tensor, labels: &[u32], learning_rate: f32) -> Result<StepReport> {
        let parts = std::mem::take(&mut self.parts);
        let batch = self.graph.check_batch(x)?;
        self.settings.check_step(&self.graph, batch, labels, learning_rate)?;
        let program = self.program(batch, false).await?;
        let update = Update { optimizer: self.optimizer(), learning_rate, t: self.steps.saturating_add(1) };
        let control = Control {
            scale: 1.0 / (parts + 1) as f32,
            accumulate_gradients: u32::from(parts > 0),
            mixup_lambda: self.settings.mixup_lambda,
            ..Control::new(&update, self.settings.clip_norm, self.dropout_seed(micro_batch_step(self.steps, parts)))
        };

        self.device.check()?;
        if mode == RunMode::Step {
            self.copy_weights().await?;
        }
        let (program, control_buffer) = &self.programs[program];
        program.write_input(&self.device, x);
        write_control(&self.device, control_buffer, &control, labels);
        let encoder = program.encode(&self.device, mode);
        let report = BufferRange { buffer: control_buffer, offset: 0, bytes: REPORT_BYTES };
        let report = self.readback.read(&self.device, encoder, &[report]).await?;
        let (loss, correct, non_finite) = (report[0], report[1].to_bits(), report[2].to_bits());
        if non_finite == 0 {
            return Ok(StepReport { loss, correct });
        }
        let layer = if non_finite & LOSS_OR_GRADIENT != 0 {
            self.first_non_finite_layer(x, &control, labels).await?
        } else {
            let layer = self.first_non_finite_update().await?;
            self.write_weights(self.steps % 2);
            self.clear_state();
            self.has_previous = false;
            layer
        };
        self.recover(x, &control, labels).await?;
        Err(Error::Diverged { step: u64::from(self.steps), loss, layer })
    }

    /// Copies the weights to where the next step finds the weights before the last step.
    async fn copy_weights(&mut self) -> Result<()> {
        if self.copies[0].is_empty() {
            let make = || {
                Ok([
                    self.layout.make_buffers(&self.device, "weights before a step")?,
                    self.layout.make_buffers(&self.device, "weights before a step")?,
                ])
            };
            self.copies = self.device.checked(make).await?;
        }
        self.copy_buffers(&self.params, &self.copies[(self.steps % 2) as usize]);
        Ok(())
    }

    /// Replaces the weights by copy `parity`: 0 for the weights before an even step, 1 for those before an odd one.
    fn write_weights(&self, parity: u32) {
        self.copy_buffers(&self.copies[parity as usize], &self.params);
    }

    fn copy_buffers(&self, from: &[Buffer], to: &[Buffer]) {
        let mut encoder = self.device.raw().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for (from, to) in from.iter().zip(to) {
            encoder.copy_buffer_to_buffer(from, 0, to, 0, from.size());
        }
        self.device.queue().submit([encoder.finish()]);
    }

    /// Looks for weights with which the network answers `x` in finite numbers, after a step on `x` diverged; see
    /// [`Trainer::step`].
    async fn recover(&mut self, x: &Tensor, control: &Control, labels: &[u32]) -> Result<()> {
        let kept = self.params().await?;
        if self.answers(&kept, x).await? {
            return Ok(());
        }
        let mut candidates = vec![kept.clone()];
        if std::mem::take(&mut self.has_previous) {
            self.write_weights(self.steps.wrapping_sub(1) % 2);
            candidates.push(self.params().await?);
        }
        candidates.push(self.given.dequantized());
        for mut candidate in candidates {
            self.layout.upload(&self.graph, &candidate, &self.device, &self.params);
            let mut answers = self.answers(&candidate, x).await?;
            if !answers {
                self.adopt_statistics(&mut candidate, x, control, labels).await?;
                answers = self.answers(&candidate, x).await?;
            }
            if answers {
                self.layout.upload(&self.graph, &candidate, &self.device, &self.params);
                self.clear_state();
                return Ok(());
            }
        }
        self.layout.upload(&self.graph, &kept, &self.device, &self.params);
        Ok(())
    }

    /// Returns whether inference with `params` answers every sample of `x`. The samples run one by one, which takes
    /// little memory beside training's.
    async fn answers(&self, params: &Params, x: &Tensor) -> Result<bool> {
        let mut engine = match Engine::new(&self.graph, params, &self.device).await {
            Err(Error::NotFinite { .. }) => return Ok(false),
            made => made?,
        };
        for sample in x.data.chunks_exact(self.graph.input().elements()) {
            let sample = Tensor { shape: self.graph.input().batched(1), data: sample.to_vec() };
            if !are_answers(&engine.run(&sample).await?.data) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sets the running statistics in `params`, a copy of the present weights, to the statistics of the batch `x`, for
    /// batch normalizations that learn.
    async fn adopt_statistics(
        &mut self,
        params: &mut Params,
        x: &Tensor,
        control: &Control,
        labels: &[u32],
    ) -> Result<()> {
        let program = self.program(labels.len(), false).await?;
        let (program, control_buffer) = &self.programs[program];
        program.write_input(&self.device, x);
        let control = Control { accumulate_gradients: 0, ..*control };
        write_control(&self.device, control_buffer, &control, labels);
        self.device.queue().submit([program.encode(&self.device, RunMode::AccumulateGradients).finish()]);
        let changes = self.unpack_gradients(&self.layout.download(&self.device, &self.training.grads).await?);
        for (node, rate) in self.graph.nodes().iter().zip(&self.settings.rates) {
            let Layer::BatchNorm2d(norm) = &node.layer else { continue };
            if *rate == 0.0 || norm.momentum == 0.0 {
                continue;
            }
            for part in ["running_mean", "running_var"] {
                let name = format!("{}.{part}", node.name);
                let change = changes.tensor(&name);
                let running = params.tensor_mut(&name).data.iter_mut();
                // The change of one step is the way to the batch's statistics times the momentum.
                running.zip(&change.data).for_each(|(running, change)| *running += change / norm.momentum);
            }
        }
        Ok(())
    }

    /// Zeroes the optimizer's moments.
    fn clear_state(&self) {
        let mut encoder = self.device.raw().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        self.training.moments.iter().flatten().for_each(|buffer| encoder.clear_buffer(buffer, 0, None));
        self.device.queue().submit([encoder.finish()]);
    }

    /// Finds the first layer with a weight, running statistic or moment that the update has made not finite.
    async fn first_non_finite_update(&self) -> Result<String> {
        let is_finite = |tensor: &Tensor| tensor.data.iter().all(|v| v.is_finite());
        let params = self.params().await?;
        let mut bad: Vec<String> =
            params.iter().filter(|(_, tensor)| !is_finite(tensor)).map(|(name, _)| name.to_string()).collect();
        bad.extend(self.state().await?.into_iter().filter(|(_, tensor)| !is_finite(tensor)).map(|(name, _)| name));
        let is_of = |name: &str, node: &str| name.strip_prefix(node).is_some_and(|rest| rest.starts_with('.'));
        let node = self.graph.nodes().iter().find(|node| bad.iter().any(|name| is_of(name, &node.name)));
        Ok(node.map_or("optimizer", |node| &node.name).into())
    }

    /// Computes `(y, dL/dx, dL/dparams)` for the main output y in training mode, with the dropout of step `step` and
    /// dL/dy = `dy`. Weights and optimizer stay unchanged.
    ///
    /// # Shapes
    /// `x` is NCHW; `dy` has the shape of y.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::NotFinite`] for `x` and `dy`, [`Error::TooLarge`], [`Error::DeviceLost`] and
    /// [`Error::Backend`].
    pub async fn gradients(&mut self, x: &Tensor, dy: &Tensor, step: u32) -> Result<(Tensor, Tensor, Params)> {
        let batch = self.graph.check_batch(x)?;
        let shape = self.graph.check_output_gradient(dy, batch)?;
        let program = self.program(batch, true).await?;
        self.device.check()?;
        let (program, control_buffer) = &self.programs[program];
        let control = Control { seed: self.dropout_seed(step), ..Control::default() };
        write_control(&self.device, control_buffer, &control, &[]);
        program.write_input(&self.device, x);
        program.write_grad(&self.device, dy);
        let encoder = program.encode(&self.device, RunMode::Gradients);
        let mut ranges = vec![program.output(), program.input_grad()];
        ranges.extend(self.layout.ranges(&self.training.grads));
        let data = self.readback.read(&self.device, encoder, &ranges).await?;
        let (y, rest) = data.split_at(dy.data.len());
        let (dx, grads) = rest.split_at(x.data.len());
        let y = Tensor::new(shape, y.to_vec())?;
        let dx = Tensor::new(x.shape.clone(), dx.to_vec())?;
        let mut dparams = self.unpack_gradients(grads);
        // The buffers hold the change of running statistics there, which is no gradient.
        for (name, _) in self.graph.params().iter().filter(|(_, spec)| !spec.role.is_trained()) {
            dparams.tensor_mut(name).data.fill(0.0);
        }
        Ok((y, dx, dparams))
    }

    /// Downloads the current weights.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] and [`Error::Backend`].
    pub async fn params(&self) -> Result<Params> {
        let data = self.layout.download(&self.device, &self.params).await?;
        let mut params = self.given.clone();
        self.layout.unpack(&self.graph, &data, |name, tensor| *params.tensor_mut(name) = tensor);
        Ok(params)
    }

    /// The number of steps done.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// The optimizer and its constants.
    pub fn optimizer(&self) -> Optimizer {
        self.settings.optimizer
    }

    /// Replaces the optimizer. A change of constants keeps the state; a change of the kind resets it.
    ///
    /// # Errors
    /// [`Error::Argument`] for constants outside their ranges.
    pub fn set_optimizer(&mut self, optimizer: Optimizer) -> Result<()> {
        if self.settings.set_optimizer(optimizer)? {
            self.training.moments = moment_buffers(&self.layout, &self.device, optimizer)?;
            // The programs are bound to the old buffers.
            self.programs.clear();
        }
        self.training.optimizer = optimizer;
        Ok(())
    }

    /// Limits the norm of all gradients together to `norm` from now on, by scaling them; 0, the default, sets no limit.
    ///
    /// # Errors
    /// [`Error::Argument`] for a norm that is negative or not finite.
    pub fn set_clip_norm(&mut self, norm: f32) -> Result<()> {
        self.settings.set_clip_norm(norm)?;
        if std::mem::replace(&mut self.training.clips, norm > 0.0) != self.training.clips {
            self.programs.clear();
        }
        Ok(())
    }

    /// Sets a factor on the learning rate for each node of the graph; all are 1 by default. Nodes with factor 0 are
    /// frozen: they keep their weights and run like at inference. Backward ends where no earlier layer learns.
    ///
    /// # Errors
    /// [`Error::Argument`] unless `rates` has one finite number of at least 0 for each node.
    pub fn set_rates(&mut self, rates: &[f32]) -> Result<()> {
        self.settings.set_rates(rates)?;
        self.training.segments = self.layout.segments(&self.graph, rates);
        self.programs.clear();
        Ok(())
    }

    /// Sets the lambda of mixup (Zhang et al., 2018), from 0 to 1: the weight of each sample's own label. The previous
    /// sample's label has the rest; the first sample's previous one is the last. 1, the default, mixes no labels.
    ///
    /// # Errors
    /// [`Error::Argument`] for a number that is not from 0 to 1.
    pub fn set_mixup_lambda(&mut self, lambda: f32) -> Result<()> {
        self.settings.set_mixup_lambda(lambda)
    }

    /// Allocates the memory for steps on `batch` samples ahead of the first one.
    ///
    /// # Errors
    /// [`Error::Argument`] for a batch size that is not from 1 to 1,048,576, [`Error::TooLarge`] when the adapter cannot
    /// hold the activations, [`Error::Backend`], [`Error::DeviceLost`].
    pub async fn prepare(&mut self, batch: usize) -> Result<()> {
        check_batch_size(batch)?;
        self.program(batch, false).await.map(drop)
    }

    /// Sets whether backward recomputes values instead of keeping them: equal results in less memory and about a third
    /// more time. Off by default; turned on by itself where the adapter has no buffer for all values.
    pub fn set_recompute(&mut self, recompute: bool) {
        self.settings.recompute = recompute;
        self.programs.clear();
    }

    /// Whether backward recomputes values instead of keeping them.
    pub fn recomputes(&self) -> bool {
        self.settings.recompute
    }

    /// Downloads the optimizer's moments, named `PARAMETER.MOMENT` after [`Optimizer::moments`]. With
    /// [`Trainer::params`] and [`Trainer::steps`], [`Trainer::restore`] continues the training.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] and [`Error::Backend`].
    pub async fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let mut state = vec![];
        for (moment, buffers) in self.optimizer().moments().iter().zip(&self.training.moments) {
            let data = self.layout.download(&self.device, buffers).await?;
            // Moments of layers that never run are zero.
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

    /// Continues the training of another trainer after `steps` updates, given its moments. This trainer must have been
    /// made with the other one's graph, current weights, optimizer and seed.
    ///
    /// # Errors
    /// [`Error::Weights`] when `state` does not have exactly the tensors of [`Trainer::state`], [`Error::NotFinite`]
    /// for NaN or infinity. The trainer then stays unchanged.
    pub fn restore(&mut self, state: &[(String, Tensor)], steps: u32) -> Result<()> {
        self.optimizer().check_state(&self.graph, state)?;
        for (moment, buffers) in self.optimizer().moments().iter().zip(&self.training.moments) {
            let tensor = |name: &str| {
                let name = format!("{name}.{moment}");
                let (_, tensor) = state.iter().find(|(own, _)| *own == name).expect("checked above");
                Cow::Borrowed(tensor)
            };
            self.layout.upload_from(&self.graph, tensor, &self.device, buffers);
        }
        self.steps = steps;
        self.has_previous = false;
        Ok(())
    }

    /// Bytes of buffers on the device: parameters, gradients, optimizer state, activations.
    pub fn bytes(&self) -> usize {
        let TrainingBuffers { grads, moments, .. } = &self.training;
        let weights = self.params.iter().chain(self.copies.iter().flatten());
        let buffers = weights.chain(grads).chain(moments.iter().flatten()).chain([&self.dummy]);
        let programs = self.programs.iter().map(|(p, control)| p.bytes() + control.size() as usize);
        buffers.map(|b| b.size() as usize).sum::<usize>() + programs.sum::<usize>()
    }

    /// The number of dispatches of a step with this batch size, or `None` before it is prepared.
    pub fn dispatches(&self, batch: usize) -> Option<usize> {
        let program = self.programs.iter().find(|(p, _)| p.plan.batch == batch)?;
        Some(program.0.dispatches(RunMode::Step))
    }

    fn dropout_seed(&self, step: u32) -> u32 {
        match training_mode(self.settings.seed, step, 0) {
            Mode::Training { seed, .. } => seed,
            Mode::Inference => 0,
        }
    }

    /// Returns the index of the program for this batch size, which it makes when there is none yet.
    async fn program(&mut self, batch: usize, input_grad: bool) -> Result<usize> {
        let purpose = Purpose::Training { input_grad, recompute: self.settings.recompute };
        let fits = |(p, _): &(Program, Buffer)| p.plan.batch == batch && p.purpose == purpose;
        if let Some(i) = self.programs.iter().position(fits) {
            return Ok(i);
        }
        // Dropped before the new program is made: the memory need not hold both.
        self.programs.truncate(KEPT_PROGRAMS - 1);
        let made = match self.make(batch, purpose).await {
            Err(Error::TooLarge { .. }) if !self.settings.recompute => {
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
            let plan = Plan::with_frozen(&self.graph, batch, purpose, &self.settings.frozen());
            let control = Control::buffer(&self.device, batch)?;
            let shared = SharedBuffers {
                params: &self.params,
                control: &control,
                dummy: &self.dummy,
                training: Some(&self.training),
            };
            Ok((Program::new(&self.device, &self.graph, &self.layout, &shared, plan, purpose)?, control))
        };
        self.device.checked(make).await
    }

    /// Finds the first layer whose output, or else whose gradient, is not finite. Repeats the forward half step by
    /// step; the gradients are still there from the failed step.
    async fn first_non_finite_layer(&mut self, x: &Tensor, control: &Control, labels: &[u32]) -> Result<String> {
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

    /// Gradients by parameter, given the contents of the gradient buffers; zeros for layers that never run.
    fn unpack_gradients(&self, data: &[f32]) -> Params {
        let mut grads = self.given.clone();
        for (name, _) in self.graph.params() {
            grads.tensor_mut(&name).data.fill(0.0);
        }
        self.layout.unpack(&self.graph, data, |name, tensor| *grads.tensor_mut(name) = tensor);
        grads
    }
}
