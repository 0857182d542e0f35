//! Local response normalization.

use serde::{Deserialize, Serialize};

use super::definition::{LayerDef, Mismatch, only};
use super::reference::{Gradients, Mode, Reference};
use crate::tensor::{Shape, Tensor};

/// Local response normalization across channels (Krizhevsky et al., 2012; the notes' section 2.2):
/// `y[c] = x[c] / (k + alpha / size * sum of x[j]^2)^beta`, where j runs over the `size` channels around c. As in PyTorch
/// and ONNX, alpha is divided by the size.
///
/// # Shapes
/// The output has the shape of the input, a feature map or a vector.
///
/// # Examples
/// ```
/// use convoke::layers::{LocalResponseNorm, Mode, Reference};
/// use convoke::tensor::Tensor;
/// let x = Tensor::new([1, 2, 1, 1], vec![3.0, 4.0])?;
/// let norm = LocalResponseNorm { size: 3, alpha: 3.0, beta: 1.0, k: 1.0 };
/// let y = norm.forward(&[&x], &[], Mode::Inference);
/// assert!((y.data[0] - 3.0 / 26.0).abs() < 1e-12 && (y.data[1] - 4.0 / 26.0).abs() < 1e-12);
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalResponseNorm {
    /// The number of channels in a neighbourhood, at least 1. For an even size the extra channel comes after c, as in ONNX.
    pub size: usize,
    /// The weight of the sum of squares, at least 0.
    pub alpha: f32,
    /// The exponent, finite.
    pub beta: f32,
    /// The constant under the power, above 0.
    pub k: f32,
}

impl LocalResponseNorm {
    /// Returns the channels of the neighbourhood of `c`, of `channels` in all.
    pub fn neighbours(&self, c: usize, channels: usize) -> std::ops::Range<usize> {
        let before = (self.size - 1) / 2;
        c.saturating_sub(before)..(c + self.size - before).min(channels)
    }

    /// Returns the base of the power for each value.
    fn bases(&self, x: &Tensor<f64>) -> Vec<f64> {
        let [_, c, h, w] = x.nchw();
        let scale = f64::from(self.alpha) / self.size as f64;
        let base = |i: usize| {
            let (sample, ch, p) = (i / (c * h * w), i / (h * w) % c, i % (h * w));
            let squares = self.neighbours(ch, c).map(|j| x.data[(sample * c + j) * h * w + p].powi(2));
            f64::from(self.k) + scale * squares.sum::<f64>()
        };
        (0..x.data.len()).map(base).collect()
    }
}

impl LayerDef for LocalResponseNorm {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        if self.size == 0 {
            return Err(Mismatch::new("size", "at least 1", 0));
        }
        if !(self.k > 0.0 && self.alpha >= 0.0 && self.beta.is_finite()) {
            let actual = format!("k {}, alpha {}, beta {}", self.k, self.alpha, self.beta);
            return Err(Mismatch::new("constants", "k > 0, alpha >= 0, finite beta", actual));
        }
        only(inputs).cloned()
    }
}

impl Reference for LocalResponseNorm {
    fn forward(&self, x: &[&Tensor<f64>], _params: &[&Tensor<f64>], _mode: Mode) -> Tensor<f64> {
        let x = x[0];
        let power = |(x, base): (&f64, f64)| x * base.powf(-f64::from(self.beta));
        Tensor { shape: x.shape.clone(), data: x.data.iter().zip(self.bases(x)).map(power).collect() }
    }

    fn backward(
        &self,
        x: &[&Tensor<f64>],
        _params: &[&Tensor<f64>],
        _y: &Tensor<f64>,
        dy: &Tensor<f64>,
        _mode: Mode,
    ) -> Gradients {
        let x = x[0];
        let [_, c, h, w] = x.nchw();
        let bases = self.bases(x);
        let beta = f64::from(self.beta);
        let scale = 2.0 * f64::from(self.alpha) / self.size as f64 * beta;
        let mut dx = Tensor::zeros(x.shape.clone());
        for (i, dy) in dy.data.iter().enumerate() {
            let (sample, ch, p) = (i / (c * h * w), i / (h * w) % c, i % (h * w));
            dx.data[i] += dy * bases[i].powf(-beta);
            for j in self.neighbours(ch, c) {
                let at = (sample * c + j) * h * w + p;
                dx.data[at] -= dy * scale * x.data[i] * x.data[at] * bases[i].powf(-beta - 1.0);
            }
        }
        Gradients::input(dx)
    }
}
