//! Logarithm of softmax.

use serde::{Deserialize, Serialize};

use super::definition::{LayerDef, Mismatch, only};
use super::reference::{Gradients, Mode, Reference};
use super::softmax::{backward_by_sum, for_each_position, max_and_exp_sum};
use crate::tensor::{Shape, Tensor};

/// Logarithm of softmax over channels, at each position of a feature map:
/// `y[c] = x[c] - log(sum over k of exp(x[k]))`.
///
/// # Shapes
/// The output has the shape of the input, a feature map or a vector.
///
/// # Examples
/// ```
/// use convoke::layers::{LogSoftmax, Mode, Reference};
/// use convoke::tensor::Tensor;
/// let x = Tensor::new([1, 2], vec![7.0, 7.0])?;
/// let y = LogSoftmax {}.forward(&[&x], &[], Mode::Inference);
/// assert!((y.data[0] - 0.5f64.ln()).abs() < 1e-12);
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSoftmax {}

impl LayerDef for LogSoftmax {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        only(inputs).cloned()
    }
}

impl Reference for LogSoftmax {
    fn forward(&self, x: &[&Tensor<f64>], _params: &[&Tensor<f64>], _mode: Mode) -> Tensor<f64> {
        let x = x[0];
        let mut y = x.clone();
        for_each_position(x.nchw(), |at| {
            let (max, sum) = max_and_exp_sum(x, at);
            let log_sum = max + sum.ln();
            at.iter().for_each(|&i| y.data[i] = x.data[i] - log_sum);
        });
        y
    }

    fn backward(
        &self,
        _x: &[&Tensor<f64>],
        _params: &[&Tensor<f64>],
        y: &Tensor<f64>,
        dy: &Tensor<f64>,
        _mode: Mode,
    ) -> Gradients {
        backward_by_sum(y, dy, |_, dy| dy, |y, dy, sum| dy - y.exp() * sum)
    }
}
