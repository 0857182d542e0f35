//! Sum of inputs.

use serde::{Deserialize, Serialize};

use super::definition::{Arity, LayerDef, Mismatch};
use super::reference::{Gradients, Mode, Reference};
use crate::tensor::{Shape, Tensor};

/// Sum of two or more inputs: the shortcut of a residual block, `z + a` in the notes' equation (3e).
///
/// # Shapes
/// All inputs have one shape, a feature map or a vector; the output has that shape too.
///
/// # Examples
/// ```
/// use convoke::layers::{Add, Mode, Reference};
/// use convoke::tensor::Tensor;
/// let (z, a) = (Tensor::new([1, 2], vec![1.0, 2.0])?, Tensor::new([1, 2], vec![10.0, 20.0])?);
/// assert_eq!(Add {}.forward(&[&z, &a], &[], Mode::Inference).data, [11.0, 22.0]);
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Add {}

impl LayerDef for Add {
    fn arity(&self) -> Arity {
        Arity::Many
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        let first = &inputs[0];
        match inputs.iter().position(|s| s != first) {
            Some(i) => Err(Mismatch::new(format!("shape of input {i}"), first, &inputs[i])),
            None => Ok(first.clone()),
        }
    }
}

impl Reference for Add {
    fn forward(&self, x: &[&Tensor<f64>], _params: &[&Tensor<f64>], _mode: Mode) -> Tensor<f64> {
        let mut y = x[0].clone();
        for x in &x[1..] {
            y.data.iter_mut().zip(&x.data).for_each(|(y, x)| *y += x);
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
        Gradients { inputs: vec![dy.clone(); x.len()], params: vec![] }
    }
}
