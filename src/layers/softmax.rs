//! Softmax.

use serde::{Deserialize, Serialize};

use super::definition::{LayerDef, Mismatch, only};
use super::reference::{Gradients, Mode, Reference};
use crate::tensor::{Shape, Tensor};

/// Softmax over channels, at each position of a feature map: `y[c] = exp(x[c]) / sum over k of exp(x[k])` (AlexNet's
/// output in the notes' section 2.2).
///
/// # Shapes
/// The output has the shape of the input, a feature map or a vector.
///
/// # Examples
/// ```
/// use convoke::layers::{Mode, Reference, Softmax};
/// use convoke::tensor::Tensor;
/// let x = Tensor::new([1, 2], vec![7.0, 7.0])?;
/// assert_eq!(Softmax {}.forward(&[&x], &[], Mode::Inference).data, [0.5, 0.5]);
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Softmax {}

/// Calls `f` once for each position of each sample, with the flat indices of the position's channels.
pub(super) fn for_each_position(shape: [usize; 4], mut f: impl FnMut(&[usize])) {
    let [n, c, h, w] = shape;
    for s in 0..n {
        for p in 0..h * w {
            f(&(0..c).map(|k| (s * c + k) * h * w + p).collect::<Vec<_>>());
        }
    }
}

/// Returns the largest value `max` among those at the indices, and the sum of `exp(x - max)` over them. Subtracting the
/// maximum keeps exp from overflowing.
pub(super) fn max_and_exp_sum(x: &Tensor<f64>, at: &[usize]) -> (f64, f64) {
    let max = at.iter().map(|&i| x.data[i]).fold(f64::NEG_INFINITY, f64::max);
    (max, at.iter().map(|&i| (x.data[i] - max).exp()).sum())
}

/// Returns the gradient of the input of a function that couples the channels of a position by one sum:
/// `dx = gradient(y, dy, sum of term(y, dy) over the channels)`.
pub(super) fn backward_by_sum(
    y: &Tensor<f64>,
    dy: &Tensor<f64>,
    term: impl Fn(f64, f64) -> f64,
    gradient: impl Fn(f64, f64, f64) -> f64,
) -> Gradients {
    let mut dx = dy.clone();
    for_each_position(y.nchw(), |at| {
        let sum = at.iter().map(|&i| term(y.data[i], dy.data[i])).sum();
        at.iter().for_each(|&i| dx.data[i] = gradient(y.data[i], dy.data[i], sum));
    });
    Gradients::input(dx)
}

impl LayerDef for Softmax {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        only(inputs).cloned()
    }
}

impl Reference for Softmax {
    fn forward(&self, x: &[&Tensor<f64>], _params: &[&Tensor<f64>], _mode: Mode) -> Tensor<f64> {
        let x = x[0];
        let mut y = x.clone();
        for_each_position(x.nchw(), |at| {
            let (max, sum) = max_and_exp_sum(x, at);
            at.iter().for_each(|&i| y.data[i] = (x.data[i] - max).exp() / sum);
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
        backward_by_sum(y, dy, |y, dy| y * dy, |y, dy, dot| y * (dy - dot))
    }
}
