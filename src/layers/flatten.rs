//! Flatten: a map CxHxW becomes a vector in that order (the notes' section 1.3, "vectorized").

use super::attributes::attributes;
use super::{Gradients, LayerDef, Mismatch, Mode, Reference, only};
use crate::tensor::{Shape, Tensor};

/// Map to vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flatten {}

attributes!(Flatten {});

impl LayerDef for Flatten {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        Ok(Shape::from([only(inputs)?.elements()]))
    }
}

impl Reference for Flatten {
    fn forward(&self, x: &[&Tensor<f64>], _params: &[&Tensor<f64>], _mode: Mode) -> Tensor<f64> {
        let n = x[0].shape[0];
        Tensor { shape: vec![n, x[0].shape[1..].iter().product()], data: x[0].data.clone() }
    }

    fn backward(
        &self,
        x: &[&Tensor<f64>],
        _params: &[&Tensor<f64>],
        _y: &Tensor<f64>,
        dy: &Tensor<f64>,
        _mode: Mode,
    ) -> Gradients {
        Gradients::input(Tensor { shape: x[0].shape.clone(), data: dy.data.clone() })
    }
}
