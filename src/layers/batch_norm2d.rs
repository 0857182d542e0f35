//! Batch normalization.

use serde::{Deserialize, Serialize};

use super::definition::{LayerDef, Mismatch, ParamSpec, Role, only};
use super::reference::{Gradients, Mode, Reference};
use crate::tensor::{Shape, Tensor};

/// Batch normalization (Ioffe and Szegedy, 2015), per channel:
/// `y = weight * (x - mean) / sqrt(var + epsilon) + bias`.
///
/// Training uses the mean and the biased variance of the batch over N, H and W, and moves the running statistics towards
/// them. Inference uses the running statistics.
///
/// # Shapes
/// The output has the shape of the input, a feature map or a vector. Parameters: `weight`, `bias`, `running_mean` and
/// `running_var`, each `[C]`.
///
/// # Examples
/// ```
/// use convoke::layers::{BatchNorm2d, Mode, Reference};
/// use convoke::tensor::Tensor;
/// let x = Tensor::new([1, 1, 1, 2], vec![4.0, 8.0])?;
/// let [weight, bias, mean, var] = [2.0, 1.0, 6.0, 4.0].map(|v| Tensor { shape: vec![1], data: vec![v] });
/// let norm = BatchNorm2d { epsilon: 1e-9, ..BatchNorm2d::default() };
/// let y = norm.forward(&[&x], &[&weight, &bias, &mean, &var], Mode::Inference);
/// assert!((y.data[0] + 1.0).abs() < 1e-6 && (y.data[1] - 3.0).abs() < 1e-6);
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchNorm2d {
    /// A number added to the variance, above 0 and finite; 1e-5 by default.
    pub epsilon: f32,
    /// The weight of the batch in the running statistics, 0 to 1; 0.1 by default. As in PyTorch,
    /// `running += momentum * (batch - running)`.
    pub momentum: f32,
}

impl Default for BatchNorm2d {
    /// Returns a normalization with PyTorch's constants.
    fn default() -> Self {
        BatchNorm2d { epsilon: 1e-5, momentum: 0.1 }
    }
}

impl BatchNorm2d {
    /// Returns the mean and the biased variance of each channel of x (NCHW, or `[N, F]`).
    pub fn statistics(x: &Tensor<f64>) -> (Vec<f64>, Vec<f64>) {
        let [n, c, h, w] = x.nchw();
        let count = (n * h * w) as f64;
        let values =
            |ch: usize| (0..n).flat_map(move |s| (0..h * w).map(move |p| (s * c + ch) * h * w + p)).map(|i| x.data[i]);
        let mean: Vec<f64> = (0..c).map(|ch| values(ch).sum::<f64>() / count).collect();
        let var = (0..c).map(|ch| values(ch).map(|v| (v - mean[ch]).powi(2)).sum::<f64>() / count).collect();
        (mean, var)
    }

    /// Returns the running mean and variance after a batch of `count` values for each channel with the mean and biased
    /// variance `batch`. As in PyTorch, the running variance moves towards the unbiased variance.
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
        // In training the statistics depend on x too: their gradients subtract from dy its mean and its part along x.
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
