//! Concatenation along channels.

use serde::{Deserialize, Serialize};

use super::definition::{Arity, LayerDef, Mismatch};
use super::reference::{Gradients, Mode, Reference};
use crate::tensor::{Shape, Tensor};

/// Concatenation of two or more inputs along channels: the branches of Inception (the notes' figure 13) and DenseNet's
/// equation (4).
///
/// # Shapes
/// Inputs `[C_i, H, W]` of one height and width, output `[sum of C_i, H, W]`; or vectors `[F_i]`, output `[sum of F_i]`.
///
/// # Examples
/// ```
/// use convoke::layers::{Concat, LayerDef};
/// use convoke::tensor::Shape;
/// let (left, right) = (Shape::from([5, 8, 8]), Shape::from([3, 8, 8]));
/// assert_eq!(Concat {}.output_shape(&[left, right])?, Shape::from([8, 8, 8]));
/// # Ok::<(), convoke::layers::Mismatch>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concat {}

/// Returns the contiguous runs to copy, `(input, offset in the input, offset in the output, length)`: one for each input
/// and sample.
fn runs(inputs: &[&Tensor<f64>]) -> Vec<(usize, usize, usize, usize)> {
    let size = |i: usize| inputs[i].data.len() / inputs[i].shape[0];
    let total: usize = (0..inputs.len()).map(size).sum();
    let mut runs = vec![];
    for s in 0..inputs[0].shape[0] {
        let mut to = s * total;
        for i in 0..inputs.len() {
            runs.push((i, s * size(i), to, size(i)));
            to += size(i);
        }
    }
    runs
}

impl LayerDef for Concat {
    fn arity(&self) -> Arity {
        Arity::Many
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        let first = &inputs[0];
        let fits = |s: &Shape| s.is_map() == first.is_map() && s.dims()[1..] == first.dims()[1..];
        if let Some(i) = inputs.iter().position(|s| !fits(s)) {
            let expected = if first.is_map() {
                format!("Cx{}", crate::tensor::dims(&first.dims()[1..]))
            } else {
                "a vector".into()
            };
            return Err(Mismatch::new(format!("shape of input {i}"), expected, &inputs[i]));
        }
        let mut dims = first.dims().to_vec();
        dims[0] = inputs.iter().fold(0usize, |n, s| n.saturating_add(s.dims()[0]));
        Ok(Shape::new(dims))
    }
}

impl Reference for Concat {
    fn forward(&self, x: &[&Tensor<f64>], _params: &[&Tensor<f64>], _mode: Mode) -> Tensor<f64> {
        let mut shape = x[0].shape.clone();
        shape[1] = x.iter().map(|x| x.shape[1]).sum();
        let mut y = Tensor::zeros(shape);
        for (i, from, to, len) in runs(x) {
            y.data[to..to + len].copy_from_slice(&x[i].data[from..from + len]);
        }
        y
    }

    fn backward(
        &self,
        x: &[&Tensor<f64>],
        _params: &[&Tensor<f64>],
        _y: &Tensor<f64>,
        dy: &Tensor<f64>,
        _mode: Mode,
    ) -> Gradients {
        let mut inputs: Vec<_> = x.iter().map(|x| Tensor::zeros(x.shape.clone())).collect();
        for (i, from, to, len) in runs(x) {
            inputs[i].data[from..from + len].copy_from_slice(&dy.data[to..to + len]);
        }
        Gradients { inputs, params: vec![] }
    }
}
