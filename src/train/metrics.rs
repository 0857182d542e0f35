//! Evaluation of a network on labelled data.

use serde::Serialize;

use super::Dataset;
use crate::cpu::Pool;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::layers::{Loss, predicted_class};
use crate::tensor::Tensor;

/// Sums over the samples seen so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metrics {
    loss: Loss,
    total_loss: f64,
    top1: u64,
    top5: u64,
    samples: u64,
}

/// Figures of an evaluation; fractions, not percent.
///
/// # Examples
/// ```
/// use convoke::{layers::Loss, tensor::Tensor, train::Metrics};
///
/// let mut metrics = Metrics::new(Loss::SoftmaxCrossEntropy { label_smoothing: 0.0 });
/// let logits = Tensor::new([2, 3], vec![4.0, 0.0, 0.0, 0.0, 0.0, 4.0])?;
/// metrics.add(&logits, &[0, 1])?;
/// assert_eq!(metrics.evaluation().top1, 0.5);
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Evaluation {
    /// The mean loss.
    pub loss: f32,
    /// The fraction of samples whose largest logit is their label.
    pub top1: f32,
    /// The fraction of samples whose label is among the five largest logits.
    pub top5: f32,
    /// The number of samples.
    pub samples: u64,
}

impl Metrics {
    /// Starts with no samples.
    pub fn new(loss: Loss) -> Self {
        Metrics { loss, total_loss: 0.0, top1: 0, top5: 0, samples: 0 }
    }

    /// Counts a batch of logits `[N, K]`.
    ///
    /// # Errors
    /// [`Error::Label`] for a label outside the classes.
    pub fn add(&mut self, logits: &Tensor, labels: &[u32]) -> Result<()> {
        let outputs = logits.data.len() / logits.shape[0];
        self.loss.check_labels(labels, outputs)?;
        let (loss, _) = self.loss.forward_backward(&logits.to_f64(), labels);
        self.total_loss += loss * labels.len() as f64;
        for (z, &label) in logits.data.chunks_exact(outputs).zip(labels) {
            self.top1 += u64::from(predicted_class(z) == label as usize);
            self.top5 += u64::from(outputs <= 5 || rank(z, label as usize) < 5);
        }
        self.samples += labels.len() as u64;
        Ok(())
    }

    /// Returns the figures over all samples so far.
    pub fn evaluation(&self) -> Evaluation {
        let mean = |sum: f64| (sum / self.samples.max(1) as f64) as f32;
        Evaluation {
            loss: mean(self.total_loss),
            top1: mean(self.top1 as f64),
            top5: mean(self.top5 as f64),
            samples: self.samples,
        }
    }
}

/// Returns the number of logits that rank before the label's; among equal logits the lower class ranks first.
fn rank(logits: &[f32], label: usize) -> usize {
    let own = logits[label];
    logits.iter().enumerate().filter(|&(k, &z)| z > own || (z == own && k < label)).count()
}

/// Runs a network over a whole data set.
///
/// # Errors
/// [`Error::Shape`] or [`Error::Label`] when the data set does not fit the network, and errors of the engine.
pub async fn evaluate(engine: &mut Engine, graph: &Graph, data: &Dataset, loss: Loss) -> Result<Evaluation> {
    const BATCH: usize = 100;
    check_fits(data, graph, loss)?;
    let mut metrics = Metrics::new(loss);
    let samples: Vec<u32> = (0..data.len() as u32).collect();
    for batch in samples.chunks(BATCH) {
        let (x, labels) = data.batch(batch, None, &Pool::single());
        metrics.add(&engine.run(&x).await?, &labels)?;
    }
    Ok(metrics.evaluation())
}

/// Checks that shapes and classes of data and network agree.
pub(super) fn check_fits(data: &Dataset, graph: &Graph, loss: Loss) -> Result<()> {
    if data.shape() != *graph.input() {
        return Err(Error::Shape {
            tensor: format!("samples of `{}`", data.name()),
            expected: format!("{} (the input of `{}`)", graph.input(), graph.name()),
            actual: data.shape().to_string(),
        });
    }
    loss.check_labels(data.labels(), graph.classes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_and_ties() {
        let mut m = Metrics::new(Loss::CROSS_ENTROPY);
        let z = [0.0, 5.0, 5.0, 4.0, 3.0, 2.0, 1.0];
        let logits = Tensor::new([3, 7], [z, z, z].concat()).unwrap();
        m.add(&logits, &[1, 2, 6]).unwrap();
        let e = m.evaluation();
        assert_eq!((e.top1, e.top5, e.samples), (1.0 / 3.0, 2.0 / 3.0, 3));
        assert_eq!(m.add(&logits, &[0, 0, 7]).unwrap_err().code(), "label");
    }
}
