//! Training: data sets, augmentation, schedules, the loop around an engine, and new heads for trained networks.

mod augment;
mod checkpoint;
mod dataset;
mod groups;
mod metrics;
mod schedule;
mod trainer;
pub mod transfer;

pub use augment::{Augmentation, Transform};
pub use checkpoint::Checkpoint;
pub use dataset::{Dataset, Variation};
pub use groups::Group;
pub use metrics::{Evaluation, Metrics, evaluate};
pub use schedule::Schedule;
pub use trainer::{Report, Trainer};

use serde::{Deserialize, Serialize};

use crate::cpu::{Pool, TrainingFootprint, TrainingSizes};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::json::Fields;
use crate::layers::Loss;
use crate::plan::{Optimizer, check_clip_norm};

/// Everything that decides a training run, beside network and data. The same configuration gives the same run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "Fields")]
pub struct Config {
    /// What is minimised.
    pub loss: Loss,
    /// How gradients become new weights.
    pub optimizer: Optimizer,
    /// The step size that the schedule scales.
    pub learning_rate: f32,
    /// How the step size changes over the run.
    pub schedule: Schedule,
    /// Epochs over which the step size first rises from 0.
    pub warmup: f32,
    /// The largest norm of all gradients together: longer ones are scaled down to it. 0 for no limit.
    pub clip_norm: f32,
    /// Layers that learn at another rate, or not at all; of several that name a layer the last counts.
    pub groups: Vec<Group>,
    /// Samples in a step; a smaller data set is one batch.
    pub batch_size: usize,
    /// Batches of a step: its update goes by the mean of their gradients, as if they were one batch, in the memory of one.
    /// Batch normalisation knows only each batch.
    pub accumulate: usize,
    /// Whether activations are computed again in the backward half rather than kept: the same results in less memory, with
    /// about a third more work.
    pub recompute: bool,
    /// The length of the run that the schedule plans for. Training may go on after it.
    pub epochs: u32,
    /// How samples are varied.
    pub augment: Augmentation,
    /// Decides shuffling, augmentation and dropout.
    pub seed: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            loss: Loss::CROSS_ENTROPY,
            optimizer: Optimizer::sgd(0.9),
            learning_rate: 0.01,
            schedule: Schedule::Constant,
            warmup: 0.0,
            clip_norm: 0.0,
            groups: vec![],
            batch_size: 64,
            accumulate: 1,
            recompute: false,
            epochs: 10,
            augment: Augmentation::default(),
            seed: 1,
        }
    }
}

impl TryFrom<Fields> for Config {
    type Error = String;

    fn try_from(mut fields: Fields) -> std::result::Result<Self, String> {
        let Config {
            loss, optimizer, schedule, groups, batch_size, accumulate, recompute, epochs, augment, seed, ..
        } = Config::default();
        let config = Config {
            loss: fields.value("loss", loss)?,
            optimizer: fields.value("optimizer", optimizer)?,
            learning_rate: fields.number("learningRate", Some(0.01))?,
            schedule: fields.value("schedule", schedule)?,
            warmup: fields.number("warmup", Some(0.0))?,
            clip_norm: fields.number("clipNorm", Some(0.0))?,
            groups: fields.value("groups", groups)?,
            batch_size: fields.value("batchSize", batch_size)?,
            accumulate: fields.value("accumulate", accumulate)?,
            recompute: fields.value("recompute", recompute)?,
            epochs: fields.value("epochs", epochs)?,
            augment: fields.value("augment", augment)?,
            seed: fields.value("seed", seed)?,
        };
        fields.end()?;
        Ok(config)
    }
}

impl Config {
    /// The bytes that a training step takes on the CPU. Activations are also computed again where more than `limit` bytes
    /// would be taken otherwise.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a graph whose activations cannot be addressed.
    pub fn footprint(&self, limit: u64, graph: &Graph, pool: &Pool) -> Result<TrainingFootprint> {
        let Config { batch_size, accumulate, optimizer, recompute, .. } = *self;
        TrainingFootprint::within(limit, graph, &TrainingSizes { batch_size, accumulate, optimizer, recompute }, pool)
    }

    /// # Errors
    /// [`Error::Argument`] for values outside their ranges.
    pub fn validate(&self) -> Result<()> {
        check_learning_rate(self.learning_rate)?;
        check_batch_size(self.batch_size)?;
        if !(1..=MAX_BATCH).contains(&self.accumulate) {
            return Err(Error::argument("accumulate", format!("1 to {MAX_BATCH} batches"), self.accumulate));
        }
        if self.epochs == 0 {
            return Err(Error::argument("epochs", "at least 1", 0));
        }
        if let Loss::SoftmaxCrossEntropy { label_smoothing: e } = self.loss
            && !(0.0..1.0).contains(&e)
        {
            return Err(Error::argument("label smoothing", "at least 0 and below 1", e));
        }
        if !(0.0..=1e6).contains(&self.warmup) {
            return Err(Error::argument("warmup", "0 to 1000000 epochs", self.warmup));
        }
        check_clip_norm(self.clip_norm)?;
        self.groups.iter().try_for_each(Group::validate)?;
        self.optimizer.validate()?;
        self.schedule.validate()?;
        self.augment.validate()
    }
}

/// The largest batch: far beyond what helps, small enough that no size overflows.
const MAX_BATCH: usize = 1 << 16;

fn check_learning_rate(rate: f32) -> Result<()> {
    let ok = rate.is_finite() && rate >= 0.0;
    if ok { Ok(()) } else { Err(Error::argument("learning rate", "a finite number of at least 0", rate)) }
}

fn check_batch_size(size: usize) -> Result<()> {
    let ok = (1..=MAX_BATCH).contains(&size);
    if ok { Ok(()) } else { Err(Error::argument("batch size", format!("1 to {MAX_BATCH}"), size)) }
}
