//! The options of a training run, with their defaults and ranges.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::augment::{AUGMENTATION, Augmentation};
use super::groups::{GROUP, Group};
use super::schedule::{SCHEDULES, Schedule};
use crate::cpu::{Pool, TrainingFootprint, TrainingSizes};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::layers::{LOSSES, Loss};
use crate::options::{self, Changes, OptionSpec, Range, check_fields};
use crate::plan::{OPTIMIZERS, Optimizer};
use crate::{json, seed};

/// Everything that decides a training run, beside network and data. Equal configurations give equal runs.
///
/// # Examples
/// ```
/// use convoke::plan::Optimizer;
/// use convoke::train::{Config, Schedule};
///
/// let config = Config {
///     schedule: Schedule::Cosine { floor: 0.0 },
///     warmup: 0.5,
///     epochs: 20,
///     seed: 7,
///     ..Config::of(Optimizer::adam())
/// };
/// assert_eq!(config.learning_rate, 0.001);
/// config.validate()?;
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// The loss to minimize. Default [`Loss::CROSS_ENTROPY`].
    pub loss: Loss,
    /// Computes new weights from gradients. Default SGD with a momentum of 0.9.
    pub optimizer: Optimizer,
    /// The step size that the schedule scales, at least 0. Default [`Optimizer::default_learning_rate`].
    pub learning_rate: f32,
    /// Changes the step size over the run. Default [`Schedule::Constant`].
    pub schedule: Schedule,
    /// Epochs over which the step size first rises from 0, 0 to 1,000,000. Default 0.
    pub warmup: f32,
    /// The largest norm of all gradients together: longer ones are scaled down to it. Default 0, for no limit.
    pub clip_norm: f32,
    /// Layers that learn at another rate, or not at all; of several groups that name a layer the last counts. Default none.
    pub groups: Vec<Group>,
    /// Samples in a batch, 1 to 65,536; a smaller data set is one batch. Default 64.
    pub batch_size: usize,
    /// Batches of a step, 1 to 65,536: the update follows the mean of their gradients, as if they were one batch, in the
    /// memory of one. A smaller last batch counts like the others. Batch normalization knows only each batch. Default 1.
    pub accumulate: usize,
    /// Leaves out the samples at the end of an epoch that do not fill a batch, and a step where batches are accumulated,
    /// instead of training on a smaller batch. Default `false`. In a batch of one sample, a batch normalization over 1x1
    /// maps gives its bias, and its running variance moves towards 0.
    pub drop_last: bool,
    /// Recomputes activations in the backward half rather than keep them: equal results in less memory, with about a third
    /// more work. Default `false`.
    pub recompute: bool,
    /// The length of the run that the schedule plans for, at least 1. Training may go on after it. Default 10.
    pub epochs: u32,
    /// Varies samples. Default none.
    pub augment: Augmentation,
    /// Decides shuffling, augmentation and dropout. Default 1 in Rust; [`Config::seeded`] draws one.
    pub seed: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config::of(Optimizer::sgd(0.9))
    }
}

/// The options of training, as [`Config`] has them in JSON.
pub const TRAINING: &[OptionSpec] = &[
    OptionSpec::new("optimizer", OPTIMIZERS, "Computes new weights from gradients."),
    OptionSpec::new("learningRate", Range::AtLeast(0.0), "The step size, which the schedule scales."),
    OptionSpec::new("loss", LOSSES, "The loss to minimize."),
    OptionSpec::new(
        "batchSize",
        Range::Whole(1, MAX_BATCH as u64),
        "Samples in a batch; a smaller data set is one batch.",
    ),
    OptionSpec::new(
        "accumulate",
        Range::Whole(1, MAX_BATCH as u64),
        "Batches whose gradients are averaged for one step, as if they were one batch, in the memory of one.",
    ),
    OptionSpec::new(
        "dropLast",
        Range::Flag,
        "Leaves out the samples at the end of an epoch that do not fill a batch, instead of training on a smaller one.",
    ),
    OptionSpec::new(
        "recompute",
        Range::Flag,
        "Recomputes activations in the backward half rather than keep them: equal results in less memory, with about a \
         third more work. Done in any case where a step would not fit otherwise.",
    ),
    OptionSpec::new(
        "seed",
        Range::Whole(0, u32::MAX as u64),
        "Decides order, augmentation and dropout. Drawn at random where it is not given; `trainer.seed` is the number.",
    ),
    OptionSpec::new("augment", AUGMENTATION, "Varies training images at random."),
    OptionSpec::new("schedule", SCHEDULES, "Changes the learning rate over the run."),
    OptionSpec::new(
        "warmup",
        Range::Within(0.0, 1e6),
        "Epochs over which the learning rate first rises from 0; the schedule has the rest of the run.",
    ),
    OptionSpec::new(
        "clipNorm",
        Range::AtLeast(0.0),
        "The largest norm of all gradients together: longer ones are scaled down to it. 0 for no limit.",
    ),
    OptionSpec::new(
        "groups",
        Range::List(GROUP),
        "Layers that learn at another rate, or not at all; of several groups that name a layer the last counts.",
    ),
    OptionSpec::new("epochs", Range::Whole(1, u32::MAX as u64), "The length of the run that the schedule plans for."),
];

impl Config {
    /// The defaults beside this optimizer: its usual learning rate, 64 samples in a batch, 10 epochs.
    pub fn of(optimizer: Optimizer) -> Self {
        Config {
            loss: Loss::CROSS_ENTROPY,
            optimizer,
            learning_rate: optimizer.default_learning_rate(),
            schedule: Schedule::Constant,
            warmup: 0.0,
            clip_norm: 0.0,
            groups: vec![],
            batch_size: 64,
            accumulate: 1,
            drop_last: false,
            recompute: false,
            epochs: 10,
            augment: Augmentation::default(),
            seed: 1,
        }
    }

    /// The defaults with these options, by their names in JSON. A seed that is not among them is drawn at random, and the
    /// learning rate is the optimizer's usual one.
    ///
    /// # Errors
    /// [`Error::Argument`] for unknown options and for values outside their ranges.
    pub fn seeded(options: &Changes) -> Result<Self> {
        let mut config = Config::default().with(options)?;
        if !options.contains_key("learningRate") {
            config.learning_rate = config.optimizer.default_learning_rate();
        }
        if !options.contains_key("seed") {
            config.seed = seed::draw()?;
        }
        Ok(config)
    }

    /// The bytes that a training step takes on the CPU. Activations are recomputed where a step would otherwise take more
    /// than `limit` bytes.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a graph whose activations cannot be addressed.
    pub fn footprint(&self, limit: u64, graph: &Graph, pool: &Pool) -> Result<TrainingFootprint> {
        let Config { batch_size, accumulate, optimizer, recompute, .. } = *self;
        TrainingFootprint::within(limit, graph, &TrainingSizes { batch_size, accumulate, optimizer, recompute }, pool)
    }

    /// The configuration with these options in place of its own, by their names in JSON.
    ///
    /// # Errors
    /// [`Error::Argument`] for unknown options and for values outside their ranges.
    pub fn with(&self, options: &Changes) -> Result<Self> {
        check_fields("", options, TRAINING)?;
        let mut all = self.fields();
        all.extend(options.clone());
        json::from_value(all.into()).map_err(|e| Error::argument("options", "those of TrainerOptions", e))
    }

    /// Checks that a run which began with `was` can be continued with these options: only learning rate, batch size and
    /// recomputation may differ, which may change from step to step.
    ///
    /// # Errors
    /// [`Error::Argument`] that names the first option which differs.
    pub fn check_continues(&self, was: &Config) -> Result<()> {
        const STEERED: [&str; 3] = ["learningRate", "batchSize", "recompute"];
        let is = self.fields();
        for (name, value) in was.fields() {
            if !STEERED.contains(&name.as_str()) && is[&name] != value {
                let expected = format_args!("that of the interrupted run, {value}");
                return Err(Error::argument(&name, expected, &is[&name]));
            }
        }
        Ok(())
    }

    /// Checks all options.
    ///
    /// # Errors
    /// [`Error::Argument`] for values outside their ranges.
    pub fn validate(&self) -> Result<()> {
        // JSON has no NaN, so the check below could not name the value.
        let numbers = [("learningRate", self.learning_rate), ("warmup", self.warmup), ("clipNorm", self.clip_norm)];
        if let Some((name, value)) = numbers.into_iter().find(|(_, value)| !value.is_finite()) {
            return Err(Error::argument(name, "a finite number", value));
        }
        options::validate("", self, Range::Object(TRAINING))
    }

    fn fields(&self) -> Changes {
        match serde_json::to_value(self).expect("a configuration is plain data") {
            Value::Object(fields) => fields,
            _ => unreachable!("a struct is an object"),
        }
    }
}

/// The largest batch: far beyond what helps, small enough that no size overflows.
const MAX_BATCH: usize = 1 << 16;

/// Checks a learning rate that is set during a run.
pub(super) fn check_learning_rate(rate: f32) -> Result<()> {
    options::check_one(TRAINING, "learningRate", rate)
}

/// Checks a batch size that is set during a run.
pub(super) fn check_batch_size(size: usize) -> Result<()> {
    options::check_one(TRAINING, "batchSize", size)
}
