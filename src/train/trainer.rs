//! The loop around a training engine: the order of samples, their augmentation, and the learning rate.

use std::future::poll_fn;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use serde::{Deserialize, Serialize};

use super::config::{check_batch_size, check_learning_rate};
use super::groups::rates;
use super::metrics::{check_fits, evaluate};
use super::{Config, Dataset, Evaluation, Variation};
use crate::cpu::Pool;
use crate::engine::{Backend, Engine, Training};
use crate::error::Result;
use crate::graph::{Graph, Params};
use crate::plan::{Optimizer, StepReport};
use crate::tensor::Tensor;

/// A training run: network, data, configuration, and position.
///
/// # Examples
/// ```
/// # use std::sync::Arc;
/// use convoke::train::{Config, Dataset, Trainer};
/// # use convoke::{cpu::Pool, engine::Backend, graph::{Init, Params}, zoo};
/// # pollster::block_on(async {
/// let graph = zoo::network("lenet5", zoo::Options::default())?;
/// let params = Params::init(&graph, Init::of(&graph), 7);
/// let data = Arc::new(Dataset::from_floats("digits", [1, 32, 32], vec![0.5; 4 * 1024], vec![0, 1, 2, 3], 10)?);
/// let config = Config { batch_size: 2, ..Config::default() };
/// let backend = Backend::Cpu(Pool::single());
///
/// let mut trainer = Trainer::new(&graph, &params, data.clone(), config, &backend).await?;
/// let report = trainer.step().await?;
/// assert_eq!((report.step, report.samples), (1, 2));
/// let trained = trainer.params().await?;
/// # assert!(trained != params);
/// # Ok::<(), convoke::Error>(()) }).unwrap();
/// ```
pub struct Trainer {
    pub(super) graph: Graph,
    pub(super) data: Arc<Dataset>,
    pub(super) config: Config,
    backend: Backend,
    pub(super) engine: Training,
    pub(super) position: Position,
    /// The order of samples in `position.epoch`.
    order: Vec<u32>,
    /// The threads that make batches.
    pool: Arc<Pool>,
    /// The next batch, made on the CPU during a step on a GPU.
    ahead: Option<Batch>,
}

/// The position of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Steps done.
    pub step: u64,
    /// The epoch of the last step.
    pub epoch: u32,
    /// Samples of that epoch that are done.
    pub done: usize,
}

/// Creates the engine for a run. The engine computes logits where the network ends in a softmax or sigmoid.
pub(super) async fn engine(graph: &Graph, params: &Params, config: &Config, backend: &Backend) -> Result<Training> {
    let graph = &graph.with_logits(config.loss)?;
    let mut engine = Training::new(graph, params, config.loss, config.optimizer, config.seed, backend).await?;
    engine.set_clip_norm(config.clip_norm)?;
    engine.set_recompute(config.recompute);
    if !config.groups.is_empty() {
        engine.set_rates(&rates(graph, &config.groups)?)?;
    }
    Ok(engine)
}

/// The figures of one step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The number of the step, from 1.
    pub step: u64,
    /// The number of the epoch, from 0.
    pub epoch: u32,
    /// The mean loss of the batch, before the update.
    pub loss: f32,
    /// The fraction of the batch that was classified correctly before the update: 0 to 1.
    pub accuracy: f32,
    /// The learning rate of the step: the configured rate times the schedule's factor.
    pub learning_rate: f32,
    /// Samples in the batch.
    pub samples: usize,
}

impl Trainer {
    /// Starts a run from `params`.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] for the configuration, [`crate::Error::Shape`] or [`crate::Error::Label`] when the
    /// data set does not fit the network, and errors of the backend.
    pub async fn new(
        graph: &Graph,
        params: &Params,
        data: Arc<Dataset>,
        config: Config,
        backend: &Backend,
    ) -> Result<Self> {
        config.validate()?;
        check_fits(&data, graph, config.loss)?;
        data.check_varied(&config.augment)?;
        let engine = engine(graph, params, &config, backend).await?;
        Ok(Self::at(graph.clone(), data, config, backend.clone(), engine, Position::default()))
    }

    pub(super) fn at(
        graph: Graph,
        data: Arc<Dataset>,
        config: Config,
        backend: Backend,
        engine: Training,
        position: Position,
    ) -> Self {
        let order = data.order(config.seed, position.epoch);
        let pool = backend.pool();
        Trainer { graph, data, config, backend, engine, position, order, pool, ahead: None }
    }

    /// Trains on the next batch, or on the next batches where they are accumulated. Each epoch visits the samples in a new
    /// order. The last batch of an epoch is smaller where the samples do not divide evenly; [`Config::drop_last`] leaves
    /// it out.
    ///
    /// # Errors
    /// [`crate::Error::Diverged`] when a number is no longer finite: the trainer then has weights that answer the batch in
    /// finite numbers, those before the step if they do. Errors of the backend. The next step repeats the batch.
    pub async fn step(&mut self) -> Result<Report> {
        let (epoch, start) = self.next();
        if epoch != self.position.epoch {
            self.order = self.data.order(self.config.seed, epoch);
            self.position = Position { epoch, done: 0, ..self.position };
        }
        let pool = self.pool.clone();
        let _awake = pool.awake();
        let (samples, learning_rate) = (self.samples(), self.learning_rate());
        let (mut loss, mut correct) = (0.0, 0);
        let (size, end) = (self.batch(), start + samples);
        for first in (start..end).step_by(size) {
            let part = first..end.min(first + size);
            let ahead = self.ahead.take().filter(|ahead| (ahead.epoch, &ahead.part) == (epoch, &part));
            let batch =
                ahead.unwrap_or_else(|| Batch::make(&self.data, &self.config, &self.pool, &self.order, epoch, part));
            let report = self.work(&batch, batch.part.end == end, learning_rate).await?;
            loss += report.loss * (batch.part.len() as f32 / samples as f32);
            correct += report.correct;
        }
        self.position = Position { step: self.position.step + 1, epoch, done: start + samples };
        Ok(Report {
            step: self.position.step,
            epoch,
            loss,
            accuracy: correct as f32 / samples as f32,
            learning_rate,
            samples,
        })
    }

    /// Takes one step on a batch, or accumulates its gradients. While a GPU works, the CPU makes the next batch.
    async fn work(&mut self, batch: &Batch, last: bool, learning_rate: f32) -> Result<StepReport> {
        let Batch { x, labels, share, epoch, part } = batch;
        let next = part.end..self.order.len().min(part.end + self.batch());
        let ahead = !matches!(self.backend, Backend::Cpu(_)) && !next.is_empty();
        self.engine.set_mixup_lambda(*share)?;
        let step = async {
            match last {
                true => self.engine.step(x, labels, learning_rate).await,
                false => self.engine.accumulate_gradients(x, labels).await,
            }
        };
        let make = || ahead.then(|| Batch::make(&self.data, &self.config, &self.pool, &self.order, *epoch, next));
        let (report, ahead) = meanwhile(step, make).await;
        self.ahead = ahead;
        report
    }

    /// Returns the epoch of the next step, from 0; earlier epochs are complete.
    pub fn epoch(&self) -> u32 {
        self.next().0
    }

    /// Returns the number of completed steps.
    pub fn steps(&self) -> u64 {
        self.position.step
    }

    /// Returns the number of steps in an epoch with the present batch size.
    pub fn steps_per_epoch(&self) -> usize {
        let (samples, full) = (self.data.len(), self.full_step());
        if self.config.drop_last { samples / full } else { samples.div_ceil(full) }
    }

    /// Returns the configuration, with all changes since the beginning of the run.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the training data.
    pub fn data(&self) -> &Arc<Dataset> {
        &self.data
    }

    /// Recomputes or keeps activations from the next step on, overriding [`Config::recompute`].
    pub fn set_recompute(&mut self, recompute: bool) {
        self.engine.set_recompute(recompute);
    }

    /// Allocates the memory of a step.
    ///
    /// # Errors
    /// Errors of the backend.
    pub async fn prepare(&mut self) -> Result<()> {
        self.engine.prepare(self.batch()).await
    }

    /// Returns whether activations are recomputed. A GPU without a buffer for all of them recomputes unasked.
    pub fn recomputes(&self) -> bool {
        self.engine.recomputes()
    }

    /// Returns the bytes that the run keeps on the GPU.
    pub fn device_bytes(&self) -> usize {
        self.engine.device_bytes()
    }

    /// Returns the network.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Returns the rate of the next step: the learning rate times the schedule's factor in the middle of that step.
    pub fn learning_rate(&self) -> f32 {
        let (epoch, start) = self.next();
        let within = (start as f32 + self.samples() as f32 / 2.0) / self.data.len() as f32;
        let Config { learning_rate, schedule, epochs, warmup, .. } = *self.config();
        learning_rate * schedule.factor(epoch as f32 + within, epochs as f32, warmup)
    }

    /// Sets the learning rate from the next step on; the schedule goes on scaling it.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] for a negative rate or one that is not finite.
    pub fn set_learning_rate(&mut self, rate: f32) -> Result<()> {
        check_learning_rate(rate)?;
        self.config.learning_rate = rate;
        Ok(())
    }

    /// Sets the batch size from the next step on.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] for 0 or an excessive number.
    pub fn set_batch_size(&mut self, size: usize) -> Result<()> {
        check_batch_size(size)?;
        self.config.batch_size = size;
        Ok(())
    }

    /// Replaces the optimizer or its constants from the next step on.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] for constants outside their ranges.
    pub fn set_optimizer(&mut self, optimizer: Optimizer) -> Result<()> {
        optimizer.validate()?;
        self.engine.set_optimizer(optimizer)?;
        self.config.optimizer = optimizer;
        Ok(())
    }

    /// Returns the present weights.
    ///
    /// # Errors
    /// Errors of the backend.
    pub async fn params(&self) -> Result<Params> {
        self.engine.params().await
    }

    /// Evaluates the present weights on a data set.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] or [`crate::Error::Label`] when the data set does not fit the network, and errors of
    /// the backend.
    pub async fn evaluate(&self, data: &Dataset) -> Result<Evaluation> {
        let mut engine =
            Engine::new(&self.graph.with_logits(self.config.loss)?, &self.params().await?, &self.backend).await?;
        evaluate(&mut engine, &self.graph, data, self.config.loss).await
    }

    fn batch(&self) -> usize {
        self.config.batch_size.min(self.data.len())
    }

    /// Returns the number of samples in a step that is not the last one of an epoch.
    fn full_step(&self) -> usize {
        let (batch, samples) = (self.batch(), self.data.len());
        let batches = if self.config.drop_last { samples / batch } else { samples.div_ceil(batch) };
        samples.min(batch * self.config.accumulate.min(batches))
    }

    /// Returns the number of samples in the next step.
    fn samples(&self) -> usize {
        self.full_step().min(self.data.len() - self.next().1)
    }

    /// Returns the epoch and the first sample of the next step.
    fn next(&self) -> (u32, usize) {
        let Position { epoch, done, .. } = self.position;
        let needed = if self.config.drop_last { self.full_step() } else { 1 };
        if self.data.len() - done < needed { (epoch.saturating_add(1), 0) } else { (epoch, done) }
    }
}

/// A batch of samples, augmented and mixed.
struct Batch {
    epoch: u32,
    /// The positions of the samples in the epoch's order.
    part: Range<usize>,
    x: Tensor,
    labels: Vec<u32>,
    /// The weight of each sample's own label under mixup, 0 to 1.
    share: f32,
}

impl Batch {
    fn make(data: &Dataset, config: &Config, pool: &Pool, order: &[u32], epoch: u32, part: Range<usize>) -> Self {
        let Config { augment, seed, .. } = *config;
        let varied = (!augment.is_none()).then_some(Variation { augment, seed, epoch });
        let samples = &order[part.clone()];
        let (mut x, labels) = data.batch(samples, varied, pool);
        let share = augment.share(seed, epoch, samples[0]);
        if share < 1.0 {
            mix(&mut x, share);
        }
        Batch { epoch, part, x, labels, share }
    }
}

/// Begins `work`, calls `f` while `work` runs elsewhere, and waits for the end of `work`.
async fn meanwhile<T, U>(work: impl Future<Output = T>, f: impl FnOnce() -> U) -> (T, U) {
    let mut work = pin!(work);
    let begun = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
    let made = f();
    match begun {
        Poll::Ready(done) => (done, made),
        Poll::Pending => (work.await, made),
    }
}

/// Mixes each sample with its predecessor (the first with the last): `share` of itself, the rest of the other.
fn mix(x: &mut Tensor, share: f32) {
    let n = x.data.len() / x.shape[0];
    let last = x.data[x.data.len() - n..].to_vec();
    for s in (0..x.shape[0]).rev() {
        let (before, own) = x.data[..(s + 1) * n].split_at_mut(s * n);
        let before = if s == 0 { &last[..] } else { &before[(s - 1) * n..] };
        own.iter_mut().zip(before).for_each(|(own, before)| *own = share * *own + (1.0 - share) * before);
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::cpu::Pool;
    use crate::format::{Model, WeightFormat};
    use crate::graph::{Builder, Init, Value};
    use crate::layers::{Conv2d, Dropout, Flatten, Linear, Loss, MaxPool2d, Relu};
    use crate::rng::Rng;
    use crate::train::{Augmentation, Schedule};
    use crate::vision::{Channels, Preprocess};

    fn network() -> Graph {
        let mut b = Builder::new("small", [1, 8, 8]);
        let x = b.add("conv", Conv2d::new(4, 3), Value::INPUT);
        let x = b.add("relu", Relu {}, x);
        let x = b.add("pool", MaxPool2d::new(2, 2), x);
        let x = b.add("flatten", Flatten {}, x);
        let x = b.add("drop", Dropout { p: 0.2 }, x);
        let x = b.add("fc", Linear::new(3), x);
        b.finish(x).unwrap()
    }

    /// Squares whose brightest third tells their class, over noise.
    fn data(samples: usize) -> Arc<Dataset> {
        let mut rng = Rng::new(4, 0);
        let labels: Vec<u32> = (0..samples as u32).map(|i| i % 3).collect();
        let pixel = |label: u32, i: u32, rng: &mut Rng| rng.below(60) as u8 + if i % 8 / 3 == label { 150 } else { 0 };
        let bytes = labels.iter().flat_map(|&l| (0..64).map(move |i| (l, i))).map(|(l, i)| pixel(l, i, &mut rng));
        let preprocess = Preprocess { channels: Channels::Gray, ..Preprocess::default() };
        Arc::new(Dataset::from_bytes("stripes", [1, 8, 8], bytes.collect(), labels.clone(), 3, &preprocess).unwrap())
    }

    fn config(optimizer: Optimizer) -> Config {
        Config {
            optimizer,
            learning_rate: 0.02,
            schedule: Schedule::Cosine { floor: 0.0 },
            warmup: 0.5,
            batch_size: 7,
            epochs: 6,
            augment: Augmentation { shift: 1.0, rotate: 5.0, scale: 0.05, ..Augmentation::default() },
            seed: 3,
            ..Config::default()
        }
    }

    fn backend() -> Backend {
        Backend::Cpu(Pool::single())
    }

    fn start(config: Config) -> Trainer {
        let params = Params::init(&network(), Init::He, config.seed);
        block_on(Trainer::new(&network(), &params, data(60), config, &backend())).unwrap()
    }

    fn steps(trainer: &mut Trainer, n: usize) -> Vec<Report> {
        (0..n).map(|_| block_on(trainer.step()).unwrap()).collect()
    }

    #[test]
    fn each_sample_is_mixed_with_the_one_before() {
        let mut x = Tensor::new([3, 2], vec![1.0, 2.0, 10.0, 20.0, 100.0, 200.0]).unwrap();
        mix(&mut x, 0.75);
        assert_eq!(x.data, [25.75, 51.5, 7.75, 15.5, 77.5, 155.0]);
    }

    #[test]
    fn accumulated_batches_are_one_step() {
        let mut b = Builder::new("linear", [1, 8, 8]);
        let x = b.add("flatten", Flatten {}, Value::INPUT);
        let x = b.add("fc", Linear::new(3), x);
        let graph = b.finish(x).unwrap();
        let params = Params::init(&graph, Init::Xavier, 1);
        let run = |batch_size, accumulate| {
            let config = Config { batch_size, accumulate, epochs: 2, ..Config::default() };
            let backend = Backend::Cpu(Pool::single());
            let mut trainer = block_on(Trainer::new(&graph, &params, data(50), config, &backend)).unwrap();
            let reports: Vec<Report> = (0..6).map(|_| block_on(trainer.step()).unwrap()).collect();
            (reports, block_on(trainer.params()).unwrap())
        };
        let ((whole, want), (parts, got)) = (run(12, 1), run(4, 3));
        for (a, b) in parts.iter().zip(&whole) {
            assert_eq!((a.step, a.epoch, a.samples, a.learning_rate), (b.step, b.epoch, b.samples, b.learning_rate));
            assert!((a.loss - b.loss).abs() < 1e-5 && (a.accuracy - b.accuracy).abs() < 1e-6);
        }
        for (name, want) in want.iter() {
            assert!(got.tensor(name).data.iter().zip(&want.data).all(|(a, b)| (a - b).abs() < 1e-5), "{name}");
        }
        let samples: Vec<usize> = whole.iter().map(|report| report.samples).collect();
        assert_eq!(samples, [12, 12, 12, 12, 2, 12], "the last batch of an epoch is smaller");
        // A batch larger than the data set takes all samples.
        assert_eq!(run(12, 100).0[0].samples, 50);
        let none = Config { accumulate: 0, ..Config::default() };
        assert_eq!(none.validate().unwrap_err().to_string(), "accumulate: expected 1 to 65536, got 0");
    }

    #[test]
    fn learns_and_evaluates() {
        let mut trainer = start(config(Optimizer::sgd(0.9)));
        let before = block_on(trainer.evaluate(&data(60))).unwrap();
        while trainer.epoch() < 6 {
            steps(&mut trainer, 1);
        }
        let after = block_on(trainer.evaluate(&data(60))).unwrap();
        assert!(after.loss < 0.5 * before.loss && after.top1 > 0.9, "{before:?} {after:?}");
        assert_eq!((after.top5, after.samples), (1.0, 60));
        assert_eq!(trainer.steps(), 6 * 9, "sixty samples are eight batches of seven and one of four");
    }

    #[test]
    fn the_incomplete_last_batch_is_dropped_only_on_request() {
        let run = |drop_last, accumulate| {
            let mut trainer = start(Config { drop_last, accumulate, batch_size: 16, ..config(Optimizer::sgd(0.9)) });
            let (per_epoch, reports) = (trainer.steps_per_epoch(), steps(&mut trainer, 6));
            (per_epoch, reports.iter().map(|r| (r.epoch, r.samples)).collect::<Vec<_>>())
        };
        assert_eq!(run(false, 1), (4, vec![(0, 16), (0, 16), (0, 16), (0, 12), (1, 16), (1, 16)]));
        assert_eq!(run(true, 1), (3, vec![(0, 16), (0, 16), (0, 16), (1, 16), (1, 16), (1, 16)]));
        assert_eq!(run(false, 3), (2, vec![(0, 48), (0, 12), (1, 48), (1, 12), (2, 48), (2, 12)]));
        assert_eq!(run(true, 3), (1, (0..6).map(|epoch| (epoch, 48)).collect()));
        // A batch of one sample is a step like others.
        let mut trainer = start(Config { batch_size: 59, ..config(Optimizer::sgd(0.9)) });
        assert_eq!(steps(&mut trainer, 2)[1].samples, 1);
    }

    #[test]
    fn resuming_keeps_the_incomplete_last_batch() {
        for accumulate in [1, 2] {
            let mut whole = start(Config { accumulate, ..config(Optimizer::adam()) });
            let before = whole.steps_per_epoch() - 1;
            steps(&mut whole, before);
            let checkpoint = block_on(whole.checkpoint()).unwrap();
            let mut resumed = block_on(Trainer::resume(&checkpoint, data(60), &backend())).unwrap();
            assert_eq!(steps(&mut whole, 3), steps(&mut resumed, 3));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_run_and_another_seed_another() {
        let run = |seed| steps(&mut start(Config { seed, ..config(Optimizer::sgd(0.9)) }), 20);
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
    }

    #[test]
    fn a_resumed_run_goes_on_bit_for_bit() {
        for optimizer in [Optimizer::sgd(0.9), Optimizer::adam()] {
            let mut whole = start(config(optimizer));
            steps(&mut whole, 13);
            let checkpoint = block_on(whole.checkpoint()).unwrap();
            let mut resumed = block_on(Trainer::resume(&checkpoint, data(60), &backend())).unwrap();
            assert_eq!(block_on(resumed.checkpoint()).unwrap(), checkpoint);
            assert_eq!(steps(&mut whole, 15), steps(&mut resumed, 15));
            assert_eq!(block_on(whole.checkpoint()).unwrap(), block_on(resumed.checkpoint()).unwrap());
        }
    }

    #[test]
    fn checkpoints_are_checked() {
        let trainer = start(config(Optimizer::adam()));
        let good = block_on(trainer.checkpoint()).unwrap();
        let error = |bytes: &[u8], data| block_on(Trainer::resume(bytes, data, &backend())).err().unwrap();
        let other = error(&good, data(59));
        assert!(other.code() == "format" && other.to_string().contains("59 of `stripes`"), "{other}");
        let mut corrupt = good.clone();
        *corrupt.last_mut().unwrap() ^= 1;
        assert_eq!(error(&corrupt, data(60)).code(), "integrity");
        assert_eq!(error(&good[..good.len() / 2], data(60)).code(), "format");
        let model = Model { graph: network(), params: block_on(trainer.params()).unwrap(), meta: Default::default() };
        let error = error(&model.to_bytes(WeightFormat::F32).unwrap(), data(60)).to_string();
        assert!(error.contains("convoke-checkpoint"), "{error}");
        assert!(Model::from_bytes(&good).is_err(), "a checkpoint is not a model");
    }

    #[test]
    fn learning_rate_and_batch_size_can_be_edited_while_running() {
        let mut trainer = start(Config { schedule: Schedule::Constant, warmup: 0.0, ..config(Optimizer::sgd(0.0)) });
        steps(&mut trainer, 2);
        trainer.set_learning_rate(0.5).unwrap();
        trainer.set_batch_size(20).unwrap();
        let report = steps(&mut trainer, 1)[0];
        assert_eq!((report.learning_rate, report.samples, report.step), (0.5, 20, 3));
        // 14 + 20 of 60 are done: one more of 20 fits, then 6 are left.
        let reports = steps(&mut trainer, 2);
        assert_eq!(reports.iter().map(|r| (r.epoch, r.samples)).collect::<Vec<_>>(), [(0, 20), (0, 6)]);
        trainer.set_batch_size(1000).unwrap();
        assert_eq!(steps(&mut trainer, 1)[0].samples, 60, "a data set smaller than the batch is the batch");
        assert_eq!(trainer.set_batch_size(0).unwrap_err().code(), "argument");
        assert_eq!(trainer.set_learning_rate(f32::NAN).unwrap_err().code(), "argument");
        let wrong = Optimizer::sgd(1.5);
        assert_eq!(trainer.set_optimizer(wrong).unwrap_err().code(), "argument");
        trainer.set_optimizer(Optimizer::adam()).unwrap();
        assert_eq!(trainer.config().optimizer, Optimizer::adam());
    }

    #[test]
    fn divergence_is_an_error_and_training_can_go_on() {
        let mut trainer = start(Config {
            schedule: Schedule::Constant,
            warmup: 0.0,
            augment: Augmentation::default(),
            ..config(Optimizer::sgd(0.9))
        });
        steps(&mut trainer, 4);
        trainer.set_learning_rate(3e38).unwrap();
        let error = loop {
            if let Err(error) = block_on(trainer.step()) {
                break error;
            }
        };
        assert_eq!(error.code(), "diverged", "{error}");
        assert!(block_on(trainer.params()).unwrap().iter().all(|(_, t)| t.data.iter().all(|v| v.is_finite())));
    }

    #[test]
    fn data_and_configuration_must_fit() {
        let params = Params::init(&network(), Init::He, 1);
        let refuse = |data: Dataset, config: Config| {
            block_on(Trainer::new(&network(), &params, Arc::new(data), config, &backend())).err().unwrap().code()
        };
        let good = config(Optimizer::sgd(0.9));
        let floats = |shape: [usize; 3], label, classes| {
            let n = shape.iter().product();
            Dataset::from_floats("f", shape, vec![0.5; n], vec![label], classes).unwrap()
        };
        assert_eq!(refuse(floats([1, 9, 8], 0, 3), good.clone()), "shape");
        assert_eq!(refuse(floats([1, 8, 8], 3, 4), good.clone()), "label");
        assert_eq!(refuse(floats([1, 8, 8], 0, 3), Config { batch_size: 0, ..good.clone() }), "argument");
        assert_eq!(refuse(floats([1, 8, 8], 0, 3), Config { epochs: 0, ..good.clone() }), "argument");
        let loss = Loss::SoftmaxCrossEntropy { label_smoothing: 1.5 };
        assert_eq!(refuse(floats([1, 8, 8], 0, 3), Config { loss, ..good.clone() }), "argument");
    }
}
