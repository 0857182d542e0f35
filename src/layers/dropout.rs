//! Dropout.

use serde::{Deserialize, Serialize};

use super::definition::{LayerDef, Mismatch, only};
use super::reference::{Gradients, Mode, Reference};
use crate::rng;
use crate::tensor::{Shape, Tensor};

/// The random stream from which the dropout seed of each training step is drawn.
const STEP_SEEDS: u32 = 0xd509;

/// Returns the training mode of node `node` in step `step` of a run with seed `seed`. Each node in each step has random
/// numbers of its own.
pub fn training_mode(seed: u32, step: u32, node: usize) -> Mode {
    Mode::Training { seed: rng::word(seed, STEP_SEEDS, step), stream: node as u32 }
}

/// Returns the step number that gives micro-batch `micro_batch` of step `step` dropout masks of its own.
pub fn micro_batch_step(step: u32, micro_batch: u32) -> u32 {
    step ^ micro_batch.reverse_bits()
}

/// Dropout (Srivastava et al., 2014; the notes' section 2.2). In training each value is set to zero with probability p and
/// otherwise divided by `1 - p`; at inference the layer is the identity.
///
/// # Shapes
/// The output has the shape of the input, a feature map or a vector.
///
/// # Examples
/// ```
/// use convoke::layers::{Dropout, Mode, Reference};
/// use convoke::tensor::Tensor;
/// let x = Tensor::new([1, 4], vec![1.0; 4])?;
/// let dropout = Dropout { p: 0.5 };
/// assert_eq!(dropout.forward(&[&x], &[], Mode::Inference).data, [1.0; 4]);
/// let y = dropout.forward(&[&x], &[], Mode::Training { seed: 1, stream: 0 });
/// assert!(y.data.iter().all(|&v| v == 0.0 || v == 2.0));
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// The probability of a zero, at least 0 and below 1.
    pub p: f32,
}

impl Dropout {
    /// Returns `p * 2^32`: a value becomes zero where its random word is below this threshold.
    pub fn threshold(&self) -> u32 {
        (f64::from(self.p) * 2f64.powi(32)) as u32
    }

    /// Returns `1 / (1 - p)`, the factor on values that are not set to zero.
    pub fn scale(&self) -> f32 {
        1.0 / (1.0 - self.p)
    }

    fn mask(&self, x: &Tensor<f64>, mode: Mode) -> Tensor<f64> {
        let Mode::Training { seed, stream } = mode else { return x.clone() };
        let keep = |i: usize| rng::word(seed, stream, i as u32) >= self.threshold();
        let data = x.data.iter().enumerate().map(|(i, v)| if keep(i) { v * f64::from(self.scale()) } else { 0.0 });
        Tensor { shape: x.shape.clone(), data: data.collect() }
    }
}

impl LayerDef for Dropout {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        if !(0.0..1.0).contains(&self.p) {
            return Err(Mismatch::new("p", "at least 0 and below 1", self.p));
        }
        only(inputs).cloned()
    }
}

impl Reference for Dropout {
    fn forward(&self, x: &[&Tensor<f64>], _params: &[&Tensor<f64>], mode: Mode) -> Tensor<f64> {
        self.mask(x[0], mode)
    }

    fn backward(
        &self,
        _x: &[&Tensor<f64>],
        _params: &[&Tensor<f64>],
        _y: &Tensor<f64>,
        dy: &Tensor<f64>,
        mode: Mode,
    ) -> Gradients {
        Gradients::input(self.mask(dy, mode))
    }
}
