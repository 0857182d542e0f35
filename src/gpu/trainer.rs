//! Training on the device: forward, loss, backward and update in one submission.

use std::borrow::Cow;

use super::buffers::{SharedBuffers, TrainingBuffers};
use super::control::{Control, REPORT_BYTES, write_control};
use super::device::{Buffer, BufferRange, Device, Readback};
use super::input::{check_batch, check_finite};
use super::program::{Program, RunMode};
use super::weights::ParamLayout;
use crate::error::{Error, Result};
use crate::graph::{Graph, Params};
use crate::layers::dropout::{micro_batch_step, training_mode};
use crate::layers::{Loss, Mode, ParamSpec};
use crate::plan::{Optimizer, Plan, Purpose, StepReport, Update, check_clip_norm};
use crate::tensor::{Tensor, dims};

/// The purpose of the plan that determines the order of weights.
const LAYOUT_PURPOSE: Purpose = Purpose::Training { input_grad: false, recompute: false };

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
    seed: u32,
    /// The limit of the norm of all gradients together; 0 for none.
    clip_norm: f32,
    /// The weight of each sample's own label; the rest is the weight of the previous sample's label.
    mixup_lambda: f32,
    /// The factor on the learning rate for each node; 0 freezes it.
    rates: Vec<f32>,
    /// Whether backward recomputes values instead of keeping them.
    recompute: bool,
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
        optimizer.validate()?;
        if let Loss::SoftmaxCrossEntropy { label_smoothing: e } = loss
            && !(0.0..1.0).contains(&e)
        {
            return Err(Error::argument("labelSmoothing", "at least 0 and below 1", e));
        }
        // Views vary with the batch size; the shapes that determine the order of weights do not.
        let plan = Plan::new(graph, 1, LAYOUT_PURPOSE);
        let layout = ParamLayout::new(graph, &plan, device.max_floats());
        let make = || {
            let buffers = layout.make_buffers(device, "parameters")?;
            layout.upload(graph, given, device, &buffers);
            let grads = layout.make_buffers(device, "gradients")?;
            let moments = moment_buffers(&layout, device, optimizer)?;
            let dummy = device.buffer("dummy", 16, wgpu::BufferUsages::STORAGE)?;
            let segments = layout.segments(graph, &vec![1.0; graph.nodes().len()]);
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
            seed,
            clip_norm: 0.0,
            mixup_lambda: 1.0,
            rates: vec![1.0; graph.nodes().len()],
            recompute: false,
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
    /// labels and for a learning rate that is negative or not finite. [`Error::Diverged`] when the loss or a gradient
    /// is not finite; weights and optimizer then stay unchanged. [`Error::TooLarge`], [`Error::DeviceLost`] and
    /// [`Error::Backend`].
    pub async fn step(&mut self, x: &Tensor, labels: &[u32], learning_rate: f32) -> Result<StepReport> {
        let report = self.run(RunMode::Step, x, labels, learning_rate).await?;
        self.steps = self.steps.wrapping_add(1);
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
    /// [`Error::Diverged`] for a loss or gradient that is not finite, [`Error::TooLarge`], [`Error::DeviceLost`] and
    /// [`Error::Backend`]. Each error discards the accumulated gradients.
    pub async fn part(&mut self, x: &Tensor, labels: &[u32]) -> Result<StepReport> {
        let parts = self.parts + 1;
        let report = self.run(RunMode::AccumulateGradients, x, labels, 0.0).await?;
        self.parts = parts;
        Ok(report)
    }

    /// Runs a step or a micro-batch. Errors and whole steps discard the accumulated gradients.
    async fn run(&mut self, mode: RunMode, x: &Tensor, labels: &[u32], learning_rate: f32) -> Result<StepReport> {
        let parts = std::mem::take(&mut self.parts);
        let batch = check_batch(&self.graph, x)?;
        self.check_step(batch, labels, learning_rate)?;
        let program = self.program(batch, false).await?;
        let update = Update { optimizer: self.optimizer(), learning_rate, t: self.steps.wrapping_add(1) };
        let control = Control {
            scale: 1.0 / (parts + 1) as f32,
            accumulate_gradients: u32::from(parts > 0),
            mixup_lambda: self.mixup_lambda,
            ..Control::new(&update, self.clip_norm, self.dropout_seed(micro_batch_step(self.steps, parts)))
        };

        self.device.check()?;
        let (program, control_buffer) = &self.programs[program];
        program.write_input(&self.device, x);
        write_control(&self.device, control_buffer, &control, labels);
        let encoder = program.encode(&self.device, mode);
        let report = BufferRange { buffer: control_buffer, offset: 0, bytes: REPORT_BYTES };
        let report = self.readback.read(&self.device, encoder, &[report]).await?;
        let (loss, correct, non_finite) = (report[0], report[1].to_bits(), report[2].to_bits());
        if non_finite != 0 {
            let layer = self.first_non_finite_layer(x, &control, labels).await?;
            return Err(Error::Diverged { step: u64::from(self.steps), loss, layer });
        }
        Ok(StepReport { loss, correct })
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
        self.training.optimizer
    }

    /// Replaces the optimizer. A change of constants keeps the state; a change of the kind resets it.
    ///
    /// # Errors
    /// [`Error::Argument`] for constants outside their ranges.
    pub fn set_optimizer(&mut self, optimizer: Optimizer) -> Result<()> {
        optimizer.validate()?;
        if std::mem::discriminant(&optimizer) != std::mem::discriminant(&self.training.optimizer) {
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
        check_clip_norm(norm)?;
        self.clip_norm = norm;
        if std::mem::replace(&mut self.training.clips, norm > 0.0) != self.training.clips {
            self.programs.clear();
        }
        Ok(())
    }

    /// Sets a factor on the learning rate for each node of the graph; all are 1 by default. Nodes with factor 0 are
    /// frozen: they keep their weights and run like at inference. Backward ends where no earlier layer learns.
    ///
    /// # Panics
    /// When `rates` does not have one element for each node.
    pub fn set_rates(&mut self, rates: &[f32]) {
        assert_eq!(rates.len(), self.graph.nodes().len());
        self.rates = rates.to_vec();
        self.training.segments = self.layout.segments(&self.graph, rates);
        self.programs.clear();
    }

    /// Sets the lambda of mixup (Zhang et al., 2018), from 0 to 1: the weight of each sample's own label. The previous
    /// sample's label has the rest; the first sample's previous one is the last. 1, the default, mixes no labels.
    pub fn set_mixup_lambda(&mut self, lambda: f32) {
        self.mixup_lambda = lambda;
    }

    /// Allocates the memory for steps on `batch` samples ahead of the first one.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the adapter cannot hold the activations, [`Error::Backend`], [`Error::DeviceLost`].
    pub async fn prepare(&mut self, batch: usize) -> Result<()> {
        self.program(batch, false).await.map(drop)
    }

    /// Sets whether backward recomputes values instead of keeping them: equal results in less memory and about a third
    /// more time. Off by default; turned on by itself where the adapter has no buffer for all values.
    pub fn set_recompute(&mut self, recompute: bool) {
        self.recompute = recompute;
        self.programs.clear();
    }

    /// Whether backward recomputes values instead of keeping them.
    pub fn recomputes(&self) -> bool {
        self.recompute
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
        Ok(())
    }

    /// Bytes of buffers on the device: parameters, gradients, optimizer state, activations.
    pub fn bytes(&self) -> usize {
        let TrainingBuffers { grads, moments, .. } = &self.training;
        let buffers = self.params.iter().chain(grads).chain(moments.iter().flatten()).chain([&self.dummy]);
        let programs = self.programs.iter().map(|(p, control)| p.bytes() + control.size() as usize);
        buffers.map(|b| b.size() as usize).sum::<usize>() + programs.sum::<usize>()
    }

    /// The number of dispatches of a step with this batch size, or `None` before it is prepared.
    pub fn dispatches(&self, batch: usize) -> Option<usize> {
        let program = self.programs.iter().find(|(p, _)| p.plan.batch == batch)?;
        Some(program.0.dispatches(RunMode::Step))
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

    /// Returns the index of the program for this batch size, which it makes when there is none yet.
    async fn program(&mut self, batch: usize, input_grad: bool) -> Result<usize> {
        let purpose = Purpose::Training { input_grad, recompute: self.recompute };
        let fits = |(p, _): &(Program, Buffer)| p.plan.batch == batch && p.purpose == purpose;
        if let Some(i) = self.programs.iter().position(fits) {
            return Ok(i);
        }
        // Dropped before the new program is made: the memory need not hold both.
        self.programs.truncate(KEPT_PROGRAMS - 1);
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
