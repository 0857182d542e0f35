//! Hard swish (Howard et al., 2019): `y = x * min(max(x + 3, 0), 6) / 6`.

use super::attributes::attributes;
use super::{Gradients, LayerDef, Mismatch, Mode, Reference, only};
use crate::tensor::{Shape, Tensor};

/// Hard swish. Its derivative cannot be read off its output, so it is never fused in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HardSwish {}

attributes!(HardSwish {});

impl LayerDef for HardSwish {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        only(inputs).cloned()
    }
}

impl Reference for HardSwish {
    fn forward(&self, x: &[&Tensor<f64>], _params: &[&Tensor<f64>], _mode: Mode) -> Tensor<f64> {
        x[0].map(|&x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0)
    }

    fn backward(
        &self,
        x: &[&Tensor<f64>],
        _params: &[&Tensor<f64>],
        _y: &Tensor<f64>,
        dy: &Tensor<f64>,
        _mode: Mode,
    ) -> Gradients {
        let derivative = |x: f64| match x {
            x if x <= -3.0 => 0.0,
            x if x >= 3.0 => 1.0,
            x => (2.0 * x + 3.0) / 6.0,
        };
        let data = x[0].data.iter().zip(&dy.data).map(|(&x, dy)| dy * derivative(x)).collect();
        Gradients::input(Tensor { shape: x[0].shape.clone(), data })
    }
}
