//! A run over whole epochs: how long it is, when it ends early, and the weights that it leaves.

use std::sync::Arc;

use super::{Config, Dataset, Evaluation, Report, Trainer};
use crate::engine::Backend;
use crate::error::{Error, Result};
use crate::graph::Params;

/// A training run with an end: so many epochs, or fewer when the loss on held-out data stops falling.
///
/// A caller takes steps until [`Run::step`] returns `None`. After the last step of an epoch it may evaluate held-out data
/// and pass the loss to [`Run::after_epoch`]. [`Run::params`] are then the weights of the best epoch.
///
/// # Examples
/// ```
/// # use std::sync::Arc;
/// # use convoke::{cpu::Pool, engine::Backend, graph::{Init, Params}, train::{Config, Dataset, Run, Trainer}, zoo};
/// # pollster::block_on(async {
/// let graph = zoo::network("lenet5", zoo::Options::default())?;
/// let images = vec![0.5; 4 * 1024];
/// let data = Arc::new(Dataset::from_floats("digits", [1, 32, 32], images, vec![0, 1, 2, 3], 10)?);
/// let config = Config { batch_size: 2, seed: 7, ..Config::default() };
/// let params = Params::init(&graph, Init::of(&graph), config.seed);
/// let backend = Backend::Cpu(Pool::single());
/// let trainer = Trainer::new(&graph, &params, data.clone(), config, &backend).await?;
///
/// let mut run = Run::new(trainer, 20, Some(3)); // At most 20 epochs; ends after 3 that were not better.
/// while let Some(step) = run.step().await? {
///     if step.epoch_done {
///         let loss = run.trainer().evaluate(&data).await?.loss;
///         run.after_epoch(loss).await?;
///     }
/// }
/// let best = run.params().await?;
/// # assert!(best.iter().count() > 0);
/// # Ok::<(), convoke::Error>(()) }).unwrap();
/// ```
pub struct Run {
    trainer: Trainer,
    /// The first epoch that is not wanted any more, counted from 0.
    end: u32,
    /// Epochs without a lower loss after which the run ends.
    patience: Option<u32>,
    lowest_loss: f32,
    /// The weights at the end of the epoch with the lowest loss.
    best: Option<Params>,
    epochs_without_improvement: u32,
}

/// Whether a run goes on after an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More epochs follow.
    Continue,
    /// The run is over: [`Run::step`] returns `None` from now on.
    Stop,
}

/// One step of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunStep {
    /// The step's figures.
    pub report: Report,
    /// Whether the step was the last one of its epoch.
    pub epoch_done: bool,
}

impl Run {
    /// Runs `trainer` until `epochs` epochs are done, counted from the trainer's first step. With `patience` the run ends
    /// earlier, once as many epochs in a row as `patience` says had no lower loss than the best one before them.
    pub fn new(trainer: Trainer, epochs: u32, patience: Option<u32>) -> Self {
        Run { trainer, end: epochs, patience, lowest_loss: f32::INFINITY, best: None, epochs_without_improvement: 0 }
    }

    /// Continues the run in a checkpoint with `data`, which must be the data that it began with. Options that `config`
    /// sets otherwise than the interrupted run are refused.
    ///
    /// # Errors
    /// [`Error::Argument`] for another configuration; [`Error::Format`] for other data and for bytes that are no
    /// checkpoint, [`Error::Integrity`] for damaged ones; the backend's own errors.
    pub async fn resume(
        checkpoint: &[u8],
        data: Arc<Dataset>,
        config: &Config,
        patience: Option<u32>,
        backend: &Backend,
    ) -> Result<Self> {
        let trainer = Trainer::resume(checkpoint, data, backend).await?;
        if trainer.config() != config {
            let text = |config: &Config| serde_json::to_string(config).expect("a configuration is plain data");
            let expected = format!("the options of the interrupted run, {}", text(trainer.config()));
            return Err(Error::argument("config", expected, text(config)));
        }
        let epochs = config.epochs;
        Ok(Run::new(trainer, epochs, patience))
    }

    /// Plans `epochs` further epochs from the present one, with a patience of its own. The best weights so far are forgotten.
    pub fn extend(&mut self, epochs: u32, patience: Option<u32>) {
        self.end = self.trainer.epoch().saturating_add(epochs);
        self.patience = patience;
        (self.lowest_loss, self.best, self.epochs_without_improvement) = (f32::INFINITY, None, 0);
    }

    /// Whether all epochs are done, or the patience has run out.
    pub fn is_over(&self) -> bool {
        let impatient = self.patience.is_some_and(|patience| self.epochs_without_improvement >= patience);
        impatient || self.trainer.epoch() >= self.end
    }

    /// Takes the next step; `None` when the run is over.
    ///
    /// # Errors
    /// [`Error::Diverged`] when the loss is no longer finite, and the backend's own errors. The run then stands where it
    /// stood before the step.
    pub async fn step(&mut self) -> Result<Option<RunStep>> {
        if self.is_over() {
            return Ok(None);
        }
        let report = self.trainer.step().await?;
        Ok(Some(RunStep { report, epoch_done: self.trainer.epoch() > report.epoch }))
    }

    /// Notes the loss on held-out data at the end of an epoch. With patience, the weights of the lowest loss are kept.
    ///
    /// # Errors
    /// The backend's own errors, from which weights are read.
    pub async fn after_epoch(&mut self, loss: f32) -> Result<Progress> {
        if self.patience.is_some() {
            self.epochs_without_improvement += 1;
            if loss < self.lowest_loss {
                self.best = Some(self.trainer.params().await?);
                (self.lowest_loss, self.epochs_without_improvement) = (loss, 0);
            }
        }
        Ok(if self.is_over() { Progress::Stop } else { Progress::Continue })
    }

    /// Evaluates held-out data at the end of an epoch, and notes its loss as [`Run::after_epoch`] does.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Label`] when the data does not fit the network, and the backend's own errors.
    pub async fn evaluate_epoch(&mut self, held_out: &Dataset) -> Result<Evaluation> {
        let evaluation = self.trainer.evaluate(held_out).await?;
        self.after_epoch(evaluation.loss).await?;
        Ok(evaluation)
    }

    /// The epochs in a row whose loss was not lower than the lowest before them; 0 without patience.
    pub fn epochs_without_improvement(&self) -> u32 {
        self.epochs_without_improvement
    }

    /// The first epoch that is not wanted any more, counted from 0.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// The weights of the epoch with the lowest loss where the run has patience, otherwise the latest ones.
    ///
    /// # Errors
    /// The backend's own errors, from which the latest weights are read.
    pub async fn params(&self) -> Result<Params> {
        match &self.best {
            Some(best) => Ok(best.clone()),
            None => self.trainer.params().await,
        }
    }

    /// Takes the weights of the epoch with the lowest loss; `None` without patience or before a first evaluation.
    pub fn take_best(&mut self) -> Option<Params> {
        self.best.take()
    }

    /// The trainer that takes the steps.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// The trainer that takes the steps, to change the learning rate or the batch size.
    pub fn trainer_mut(&mut self) -> &mut Trainer {
        &mut self.trainer
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::cpu::Pool;
    use crate::graph::{Builder, Graph, Init, Value};
    use crate::layers::{Flatten, Linear};

    fn graph() -> Graph {
        let mut b = Builder::new("linear", [1, 2, 2]);
        let x = b.add("flatten", Flatten {}, Value::INPUT);
        let x = b.add("fc", Linear::new(2), x);
        b.finish(x).unwrap()
    }

    fn data() -> Arc<Dataset> {
        let pixels = (0..32).map(|i| if (i / 4) % 2 == i % 2 { 1.0 } else { 0.0 }).collect();
        let labels = (0..8).map(|i| i % 2).collect();
        Arc::new(Dataset::from_floats("bars", [1, 2, 2], pixels, labels, 2).unwrap())
    }

    fn config() -> Config {
        Config { batch_size: 4, epochs: 10, seed: 3, ..Config::default() }
    }

    fn backend() -> Backend {
        Backend::Cpu(Pool::single())
    }

    fn run(epochs: u32, patience: Option<u32>) -> Run {
        let params = Params::init(&graph(), Init::Xavier, 3);
        let trainer = block_on(Trainer::new(&graph(), &params, data(), config(), &backend())).unwrap();
        Run::new(trainer, epochs, patience)
    }

    /// Takes the steps of one epoch; `false` when the run is over.
    fn epoch(run: &mut Run) -> bool {
        loop {
            match block_on(run.step()).unwrap() {
                None => return false,
                Some(step) if step.epoch_done => return true,
                Some(_) => {}
            }
        }
    }

    #[test]
    fn ends_after_its_epochs() {
        let mut run = run(3, None);
        let steps: Vec<RunStep> = std::iter::from_fn(|| block_on(run.step()).unwrap()).collect();
        assert_eq!(
            steps.iter().map(|s| (s.report.epoch, s.epoch_done)).collect::<Vec<_>>(),
            [(0, false), (0, true), (1, false), (1, true), (2, false), (2, true),]
        );
        assert!(run.is_over() && run.take_best().is_none());
        run.extend(1, None);
        assert_eq!((run.is_over(), run.end()), (false, 4));
        assert!(epoch(&mut run) && run.is_over());
    }

    #[test]
    fn patience_counts_epochs_that_were_not_better_and_keeps_the_best_weights() {
        let mut run = run(10, Some(2));
        let mut weights = vec![];
        for (loss, want) in [
            (0.5, Progress::Continue),
            (0.7, Progress::Continue),
            (0.4, Progress::Continue),
            (0.4, Progress::Continue),
            (f32::NAN, Progress::Stop),
        ] {
            assert!(epoch(&mut run));
            assert_eq!(block_on(run.after_epoch(loss)).unwrap(), want, "{loss}");
            weights.push(block_on(run.trainer().params()).unwrap());
        }
        assert_eq!(run.epochs_without_improvement(), 2);
        assert!(!epoch(&mut run), "no step follows");
        assert!(block_on(run.params()).unwrap() == weights[2] && weights[2] != weights[4]);
        assert!(run.take_best().unwrap() == weights[2]);
        assert!(block_on(run.params()).unwrap() == weights[4], "the latest once the best are taken");
        run.extend(5, Some(2));
        assert!(!run.is_over() && run.epochs_without_improvement() == 0);
    }

    #[test]
    fn without_patience_losses_do_not_matter() {
        let mut run = run(3, None);
        for _ in 0..2 {
            assert!(epoch(&mut run));
            assert_eq!(block_on(run.after_epoch(9.0)).unwrap(), Progress::Continue);
        }
        assert!(epoch(&mut run));
        assert_eq!(block_on(run.after_epoch(9.0)).unwrap(), Progress::Stop, "all epochs are done");
        assert!(run.take_best().is_none());
    }

    #[test]
    fn a_resumed_run_has_its_own_options() {
        let mut whole = run(10, None);
        assert!(epoch(&mut whole));
        let checkpoint = block_on(whole.trainer().checkpoint()).unwrap();
        let resume = |config: &Config| block_on(Run::resume(&checkpoint, data(), config, None, &backend()));
        let mut resumed = resume(&config()).unwrap();
        assert_eq!((resumed.end(), resumed.trainer().epoch()), (10, 1));
        for _ in 1..10 {
            assert!(epoch(&mut whole) && epoch(&mut resumed));
        }
        assert!(whole.is_over() && resumed.is_over());
        assert!(block_on(whole.params()).unwrap() == block_on(resumed.params()).unwrap());
        let error = resume(&Config { epochs: 9, ..config() }).err().unwrap();
        assert!(error.code() == "argument" && error.to_string().contains("\"epochs\":10"), "{error}");
    }
}
