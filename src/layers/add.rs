//! Sum of inputs of one shape: the shortcut of a residual block, `z + a` in the notes' equation (3e).

use super::attributes::attributes;
use super::{Arity, Gradients, LayerDef, Mismatch, Mode, Reference};
use crate::tensor::{Shape, Tensor};

/// Sum of two or more inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Add {}

attributes!(Add {});

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
