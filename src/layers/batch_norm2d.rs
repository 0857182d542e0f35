//! Batch normalisation (Ioffe and Szegedy, 2015): `y = weight * (x - mean) / sqrt(var + epsilon) + bias`, per channel.
//!
//! Training uses the mean and (biased) variance of the batch over N, H and W, and moves the running statistics towards
//! them; inference uses the running statistics.

use super::attributes::attributes;
use super::{Gradients, LayerDef, Mismatch, Mode, ParamSpec, Reference, Role, only};
use crate::tensor::{Shape, Tensor};

/// Attributes of a batch normalisation. Parameters `weight`, `bias`, `running_mean`, `running_var`, each `[C]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNorm2d {
    /// Added to the variance.
    pub epsilon: f32,
    /// How far running statistics move towards a batch's: `running += momentum * (batch - running)`, as in PyTorch.
    pub momentum: f32,
}

attributes!(BatchNorm2d { epsilon, momentum });

impl Default for BatchNorm2d {
    /// PyTorch's constants.
    fn default() -> Self {
        BatchNorm2d { epsilon: 1e-5, momentum: 0.1 }
    }
}

impl BatchNorm2d {
    /// Mean and biased variance of each channel.
    pub fn statistics(x: &Tensor<f64>) -> (Vec<f64>, Vec<f64>) {
        let [n, c, h, w] = x.nchw();
        let count = (n * h * w) as f64;
        let values =
            |ch: usize| (0..n).flat_map(move |s| (0..h * w).map(move |p| (s * c + ch) * h * w + p)).map(|i| x.data[i]);
        let mean: Vec<f64> = (0..c).map(|ch| values(ch).sum::<f64>() / count).collect();
        let var = (0..c).map(|ch| values(ch).map(|v| (v - mean[ch]).powi(2)).sum::<f64>() / count).collect();
        (mean, var)
    }

    /// A running mean and variance after a batch with these statistics over `count` values. The running variance moves
    /// towards the unbiased one, as in PyTorch.
    pub fn moved(&self, running: (f64, f64), batch: (f64, f64), count: usize) -> (f64, f64) {
        let m = f64::from(self.momentum);
        let unbiased = batch.1 * count as f64 / (count.max(2) - 1) as f64;
        (running.0 + m * (batch.0 - running.0), running.1 + m * (unbiased - running.1))
    }

    fn mean_and_variance(x: &Tensor<f64>, params: &[&Tensor<f64>], mode: Mode) -> (Vec<f64>, Vec<f64>) {
        match mode {
            Mode::Training { .. } => Self::statistics(x),
            Mode::Inference => (params[2].data.clone(), params[3].data.clone()),
        }
    }
}

impl LayerDef for BatchNorm2d {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        if !(self.epsilon > 0.0 && self.epsilon.is_finite()) {
            return Err(Mismatch::new("epsilon", "a positive number", self.epsilon));
        }
        if !(0.0..=1.0).contains(&self.momentum) {
            return Err(Mismatch::new("momentum", "0 to 1", self.momentum));
        }
        only(inputs).cloned()
    }

    fn params(&self, inputs: &[Shape]) -> Vec<ParamSpec> {
        let channels = vec![inputs[0].chw().0];
        let spec = |name, role| ParamSpec { name, shape: channels.clone(), role };
        vec![
            spec("weight", Role::Scale),
            spec("bias", Role::Bias),
            spec("running_mean", Role::RunningMean),
            spec("running_var", Role::RunningVariance),
        ]
    }
}

impl Reference for BatchNorm2d {
    fn forward(&self, x: &[&Tensor<f64>], params: &[&Tensor<f64>], mode: Mode) -> Tensor<f64> {
        let x = x[0];
        let [_, c, h, w] = x.nchw();
        let (mean, var) = Self::mean_and_variance(x, params, mode);
        let mut y = x.clone();
        for (i, v) in y.data.iter_mut().enumerate() {
            let ch = i / (h * w) % c;
            let normal = (*v - mean[ch]) / (var[ch] + f64::from(self.epsilon)).sqrt();
            *v = params[0].data[ch] * normal + params[1].data[ch];
        }
        y
    }

    fn backward(
        &self,
        x: &[&Tensor<f64>],
        params: &[&Tensor<f64>],
        _y: &Tensor<f64>,
        dy: &Tensor<f64>,
        mode: Mode,
    ) -> Gradients {
        let x = x[0];
        let [n, c, h, w] = x.nchw();
        let count = (n * h * w) as f64;
        let channel = |i: usize| i / (h * w) % c;
        let (mean, var) = Self::mean_and_variance(x, params, mode);
        let inverse: Vec<f64> = var.iter().map(|v| 1.0 / (v + f64::from(self.epsilon)).sqrt()).collect();
        let normal = |i: usize| (x.data[i] - mean[channel(i)]) * inverse[channel(i)];
        let mut dweight = Tensor::zeros([c]);
        let mut dbias = Tensor::zeros([c]);
        for (i, dy) in dy.data.iter().enumerate() {
            dweight.data[channel(i)] += dy * normal(i);
            dbias.data[channel(i)] += dy;
        }
        // In training the statistics depend on x as well, which takes the mean and the part along x out of dy.
        let through_statistics = matches!(mode, Mode::Training { .. });
        let dx = |(i, dy): (usize, &f64)| {
            let ch = channel(i);
            let statistics = (dbias.data[ch] + normal(i) * dweight.data[ch]) / count;
            params[0].data[ch] * inverse[ch] * if through_statistics { dy - statistics } else { *dy }
        };
        let dx = Tensor { shape: x.shape.clone(), data: dy.data.iter().enumerate().map(dx).collect() };
        // Running statistics are not trained.
        let params = vec![dweight, dbias, Tensor::zeros([c]), Tensor::zeros([c])];
        Gradients { inputs: vec![dx], params }
    }
}
