//! Global average pooling.

use serde::{Deserialize, Serialize};

use super::definition::{LayerDef, Mismatch, only_map};
use super::reference::{Gradients, Mode, Reference};
use crate::tensor::{Shape, Tensor};

/// Global average pooling (Lin et al., 2013; the notes' section 4): the mean of each feature map.
///
/// # Shapes
/// Input `[C, H, W]`; output `[C, 1, 1]`.
///
/// # Examples
/// ```
/// use convoke::layers::{GlobalAvgPool, LayerDef};
/// use convoke::tensor::Shape;
/// assert_eq!(GlobalAvgPool {}.output_shape(&[Shape::from([512, 7, 7])])?, Shape::from([512, 1, 1]));
/// # Ok::<(), convoke::layers::Mismatch>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlobalAvgPool {}

impl LayerDef for GlobalAvgPool {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        Ok(Shape::from([only_map(inputs)?.0, 1, 1]))
    }
}

impl Reference for GlobalAvgPool {
    fn forward(&self, x: &[&Tensor<f64>], _params: &[&Tensor<f64>], _mode: Mode) -> Tensor<f64> {
        let [n, c, h, w] = x[0].nchw();
        let mean = |plane: &[f64]| plane.iter().sum::<f64>() / (h * w) as f64;
        Tensor { shape: vec![n, c, 1, 1], data: x[0].data.chunks(h * w).map(mean).collect() }
    }

    fn backward(
        &self,
        x: &[&Tensor<f64>],
        _params: &[&Tensor<f64>],
        _y: &Tensor<f64>,
        dy: &Tensor<f64>,
        _mode: Mode,
    ) -> Gradients {
        let [_, _, h, w] = x[0].nchw();
        let data = (0..x[0].data.len()).map(|i| dy.data[i / (h * w)] / (h * w) as f64).collect();
        Gradients::input(Tensor { shape: x[0].shape.clone(), data })
    }
}
