//! Losses of logits.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::options::{KindSpec, OptionSpec, Range};
use crate::tensor::Tensor;

/// The loss that training minimizes: computed from logits `[N, K]` and labels, mean over the batch.
///
/// # Examples
/// ```
/// use convoke::layers::Loss;
/// use convoke::tensor::Tensor;
/// let logits = Tensor::new([1, 2], vec![0.0, 0.0])?;
/// let (loss, gradient) = Loss::CROSS_ENTROPY.forward_backward(&logits, &[1]);
/// assert!((loss - 2f64.ln()).abs() < 1e-12);
/// assert_eq!(gradient.data, [0.5, -0.5]);
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Loss {
    /// `-sum over k of t[k] * log softmax(z)[k]`, with t one-hot, or smoothed by e: `(1 - e) * one-hot + e / K`
    /// (Szegedy et al., 2016).
    SoftmaxCrossEntropy {
        /// The probability e that is spread over all classes, at least 0 and below 1. Default 0.
        #[serde(default)]
        label_smoothing: f32,
    },
    /// `-t log s(z) - (1 - t) log(1 - s(z))` with s the logistic function. One output: t is the label, 0 or 1.
    /// K outputs: the sum over one-against-rest targets.
    BinaryCrossEntropy,
}

/// The losses' options.
pub const LOSSES: Range = Range::OneOf(&[
    KindSpec {
        name: "softmax-cross-entropy",
        about: "Cross-entropy of softmax, for one class out of several.",
        options: &[OptionSpec::new(
            "labelSmoothing",
            Range::Below(0.0, 1.0),
            "The probability that is spread over all classes.",
        )],
    },
    KindSpec {
        name: "binary-cross-entropy",
        about: "Cross-entropy of the logistic function, for two classes with one output, or for each output by itself.",
        options: &[],
    },
]);

impl Loss {
    /// Softmax cross-entropy without smoothing.
    pub const CROSS_ENTROPY: Loss = Loss::SoftmaxCrossEntropy { label_smoothing: 0.0 };

    /// Returns the number of classes for `outputs` logits: 2 for one binary logit, otherwise `outputs`.
    pub fn classes(&self, outputs: usize) -> usize {
        match self {
            Loss::BinaryCrossEntropy if outputs == 1 => 2,
            _ => outputs,
        }
    }

    /// Checks that all labels are classes of `outputs` logits.
    ///
    /// # Errors
    /// Returns [`Error::Label`] for the first label that is not below [`Loss::classes`].
    pub fn check_labels(&self, labels: &[u32], outputs: usize) -> Result<()> {
        let classes = self.classes(outputs);
        match labels.iter().position(|&l| l as usize >= classes) {
            Some(index) => Err(Error::Label { index, label: labels[index], classes }),
            None => Ok(()),
        }
    }

    /// Returns the target of logit `k` of `outputs`, for a sample labelled `label`: a probability, 0 to 1.
    pub fn target(&self, label: u32, k: usize, outputs: usize) -> f64 {
        let hot = f64::from(u8::from(label as usize == k));
        match *self {
            Loss::SoftmaxCrossEntropy { label_smoothing: e } => {
                let e = f64::from(e);
                (1.0 - e) * hot + e / outputs as f64
            }
            Loss::BinaryCrossEntropy if outputs == 1 => f64::from(label),
            Loss::BinaryCrossEntropy => hot,
        }
    }

    /// Returns the mean loss of a batch and its gradient with respect to the logits, in double precision: the reference for
    /// the engines.
    ///
    /// # Shapes
    /// Logits `[N, K]` or `[N, C, H, W]` with `K = C * H * W`, and N labels; the gradient has the shape of the logits.
    ///
    /// # Panics
    /// Panics for a batch without samples, and for more labels than samples.
    pub fn forward_backward(&self, logits: &Tensor<f64>, labels: &[u32]) -> (f64, Tensor<f64>) {
        let (n, k) = (logits.shape[0], logits.data.len() / logits.shape[0]);
        let mut loss = 0.0;
        let mut grad = Tensor::zeros(logits.shape.clone());
        for (s, &label) in labels.iter().enumerate() {
            let z = &logits.data[s * k..][..k];
            let dz = &mut grad.data[s * k..][..k];
            let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let log_sum = max + z.iter().map(|z| (z - max).exp()).sum::<f64>().ln();
            for i in 0..k {
                let t = self.target(label, i, k);
                let (l, d) = match self {
                    Loss::SoftmaxCrossEntropy { .. } => (t * (log_sum - z[i]), (z[i] - log_sum).exp() - t),
                    Loss::BinaryCrossEntropy => {
                        // The equivalent max(z, 0) - z t + log(1 + exp(-|z|)) cannot overflow.
                        let l = z[i].max(0.0) - z[i] * t + (-z[i].abs()).exp().ln_1p();
                        (l, 1.0 / (1.0 + (-z[i]).exp()) - t)
                    }
                };
                loss += l / n as f64;
                dz[i] = d / n as f64;
            }
        }
        (loss, grad)
    }
}

/// Returns the predicted class for one sample's logits: the index of the largest, the first among equals. A single logit is
/// binary: 1 when it is positive, otherwise 0.
///
/// # Examples
/// ```
/// use convoke::layers::predicted_class;
/// assert_eq!(predicted_class(&[0.5, 3.0, 3.0]), 1);
/// assert_eq!(predicted_class(&[-0.5]), 0);
/// ```
pub fn predicted_class(logits: &[f32]) -> usize {
    match logits {
        [z] => usize::from(*z > 0.0),
        _ => (1..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best }),
    }
}
