//! Dropout (Srivastava et al., 2014; the notes' section 2.2): while training, each value is set to zero with
//! probability p and otherwise divided by 1 - p; at inference, the identity.

use super::attributes::attributes;
use super::{Gradients, LayerDef, Mismatch, Mode, Reference, only};
use crate::rng;
use crate::tensor::{Shape, Tensor};

/// The stream from which each step's dropout seed is drawn.
const STEP_SEEDS: u32 = 0xd509;

/// The training mode of node `node` in step `step` of the run `seed`. Each node and each step draws its own random stream.
pub fn training_mode(seed: u32, step: u32, node: usize) -> Mode {
    Mode::Training { seed: rng::word(seed, STEP_SEEDS, step), stream: node as u32 }
}

/// The step number from which micro-batch `micro_batch` of step `step` draws its dropout masks.
pub fn micro_batch_step(step: u32, micro_batch: u32) -> u32 {
    step ^ micro_batch.reverse_bits()
}

/// Attributes of a dropout layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// The probability of a zero, in `[0, 1)`.
    pub p: f32,
}

attributes!(Dropout { p });

impl Dropout {
    /// The random words below this become zeros: `p * 2^32`.
    pub fn threshold(&self) -> u32 {
        (f64::from(self.p) * 2f64.powi(32)) as u32
    }

    /// What a value that stays is multiplied by.
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
