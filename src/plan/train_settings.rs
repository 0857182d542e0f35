//! The settings of a trainer that both engines share, with their checks.

use super::optimizer::{Optimizer, check_clip_norm};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::layers::Loss;

/// The settings of a trainer, apart from weights and data.
#[derive(Debug, Clone)]
pub(crate) struct TrainSettings {
    /// The loss to minimize.
    pub loss: Loss,
    /// Computes new weights from gradients.
    pub optimizer: Optimizer,
    /// Decides dropout.
    pub seed: u32,
    /// The largest norm of all gradients together; 0 for no limit.
    pub clip_norm: f32,
    /// The weight of each sample's own label, 0 to 1; the label of the sample before has the rest.
    pub mixup_lambda: f32,
    /// The factor on the learning rate for each node; 0 freezes the node.
    pub rates: Vec<f32>,
    /// Whether backward recomputes activations instead of keeping them.
    pub recompute: bool,
}

impl TrainSettings {
    /// Makes settings without clipping, mixup, frozen nodes or recomputation.
    ///
    /// # Errors
    /// [`Error::Argument`] for constants of the optimizer or the loss outside their ranges.
    pub(crate) fn new(graph: &Graph, loss: Loss, optimizer: Optimizer, seed: u32) -> Result<Self> {
        optimizer.validate()?;
        if let Loss::SoftmaxCrossEntropy { label_smoothing: e } = loss
            && !(0.0..1.0).contains(&e)
        {
            return Err(Error::argument("labelSmoothing", "at least 0 and below 1", e));
        }
        let rates = vec![1.0; graph.nodes().len()];
        Ok(TrainSettings { loss, optimizer, seed, clip_norm: 0.0, mixup_lambda: 1.0, rates, recompute: false })
    }

    /// Replaces the optimizer. Returns whether the new one is of another kind, for which old moments mean nothing.
    ///
    /// # Errors
    /// [`Error::Argument`] for constants outside their ranges.
    pub(crate) fn set_optimizer(&mut self, optimizer: Optimizer) -> Result<bool> {
        optimizer.validate()?;
        let was = std::mem::replace(&mut self.optimizer, optimizer);
        Ok(std::mem::discriminant(&was) != std::mem::discriminant(&optimizer))
    }

    /// Sets the largest norm of all gradients together; 0 for no limit.
    ///
    /// # Errors
    /// [`Error::Argument`] for a norm that is negative or not finite.
    pub(crate) fn set_clip_norm(&mut self, norm: f32) -> Result<()> {
        check_clip_norm(norm)?;
        self.clip_norm = norm;
        Ok(())
    }

    /// Sets each node's factor on the learning rate.
    ///
    /// # Errors
    /// [`Error::Argument`] unless there is one factor for each node, finite and at least 0.
    pub(crate) fn set_rates(&mut self, rates: &[f32]) -> Result<()> {
        if rates.len() != self.rates.len() {
            return Err(Error::argument("rates", format!("{}, one for each node", self.rates.len()), rates.len()));
        }
        if let Some(rate) = rates.iter().find(|rate| !(rate.is_finite() && **rate >= 0.0)) {
            return Err(Error::argument("rates", "finite numbers of at least 0", rate));
        }
        self.rates = rates.to_vec();
        Ok(())
    }

    /// Sets the weight of each sample's own label.
    ///
    /// # Errors
    /// [`Error::Argument`] for a number that is not from 0 to 1.
    pub(crate) fn set_mixup_lambda(&mut self, lambda: f32) -> Result<()> {
        if !(0.0..=1.0).contains(&lambda) {
            return Err(Error::argument("mixup lambda", "0 to 1", lambda));
        }
        self.mixup_lambda = lambda;
        Ok(())
    }

    /// Returns, for each node, whether it is frozen.
    pub(crate) fn frozen(&self) -> Vec<bool> {
        self.rates.iter().map(|&rate| rate == 0.0).collect()
    }

    /// Checks the labels of a batch of `n` samples and the learning rate of a step.
    ///
    /// # Errors
    /// [`Error::Argument`] for another number of labels and for a learning rate that is negative or not finite;
    /// [`Error::Label`] for a label that an output of `graph` does not know.
    pub(crate) fn check_step(&self, graph: &Graph, n: usize, labels: &[u32], learning_rate: f32) -> Result<()> {
        if labels.len() != n {
            return Err(Error::argument("labels", format!("{n}, one for each sample"), labels.len()));
        }
        if !(learning_rate.is_finite() && learning_rate >= 0.0) {
            return Err(Error::argument("learningRate", "a finite number of at least 0", learning_rate));
        }
        let mut outputs = graph.outputs().iter().map(|output| graph.shape(output.value).elements());
        outputs.try_for_each(|outputs| self.loss.check_labels(labels, outputs))
    }
}

/// The largest batch of a trainer, far beyond useful ones, so that products with it stay small.
const MAX_BATCH: usize = 1 << 20;

/// Checks the number of samples that a trainer is prepared for.
///
/// # Errors
/// [`Error::Argument`] for a number that is not from 1 to 1,048,576.
pub(crate) fn check_batch_size(n: usize) -> Result<()> {
    let fits = (1..=MAX_BATCH).contains(&n);
    if fits { Ok(()) } else { Err(Error::argument("batch size", format!("1 to {MAX_BATCH}"), n)) }
}

/// The largest magnitude of an output that counts as an answer: squares of it are finite.
const LARGEST_ANSWER: f32 = 1.8e19;

/// Returns whether outputs are answers: finite, and so small that arithmetic with them stays finite.
pub(crate) fn are_answers(outputs: &[f32]) -> bool {
    outputs.iter().all(|v| v.abs() <= LARGEST_ANSWER)
}
