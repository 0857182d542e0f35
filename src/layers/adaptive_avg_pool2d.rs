//! Adaptive average pooling.

use serde::{Deserialize, Serialize};

use std::ops::Range;

use super::definition::{LayerDef, Mismatch, only_map};
use super::reference::{Gradients, Mode, Reference};
use crate::tensor::{Shape, Tensor};

/// Adaptive average pooling, as PyTorch's `AdaptiveAvgPool2d`: the means of windows that divide an input of any size into
/// a fixed grid. Output row i averages the input rows `floor(i * H / OH)` to `ceil((i + 1) * H / OH)`, exclusive; columns
/// likewise.
///
/// # Shapes
/// Input `[C, H, W]`; output `[C, OH, OW]` with `[OH, OW] = output`.
///
/// # Examples
/// ```
/// use convoke::layers::{AdaptiveAvgPool2d, LayerDef};
/// use convoke::tensor::Shape;
/// let pool = AdaptiveAvgPool2d { output: [7, 7] };
/// assert_eq!(pool.output_shape(&[Shape::from([512, 10, 13])])?, Shape::from([512, 7, 7]));
/// # Ok::<(), convoke::layers::Mismatch>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdaptiveAvgPool2d {
    /// Height and width of the output, each 1 to 32768.
    pub output: [usize; 2],
}

impl AdaptiveAvgPool2d {
    /// Returns the input rows or columns that output `o` of `output` averages, for an input of `input` of them.
    pub fn range(o: usize, output: usize, input: usize) -> Range<usize> {
        o * input / output..((o + 1) * input).div_ceil(output)
    }

    /// Calls `f(flat index in y, flat index in x, weight)` for each value of x that an output averages.
    fn for_each(&self, x: [usize; 4], mut f: impl FnMut(usize, usize, f64)) {
        let [n, c, h, w] = x;
        let [oh, ow] = self.output;
        for plane in 0..n * c {
            for o in 0..oh * ow {
                let (rows, columns) = (Self::range(o / ow, oh, h), Self::range(o % ow, ow, w));
                let weight = 1.0 / (rows.len() * columns.len()) as f64;
                for y in rows {
                    columns.clone().for_each(|x| f(plane * oh * ow + o, (plane * h + y) * w + x, weight));
                }
            }
        }
    }
}

impl LayerDef for AdaptiveAvgPool2d {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        let (c, _, _) = only_map(inputs)?;
        let [h, w] = self.output;
        if !(1..=1 << 15).contains(&h) || !(1..=1 << 15).contains(&w) {
            return Err(Mismatch::new("output size", "1 to 32768", format!("{h}x{w}")));
        }
        Ok(Shape::from([c, h, w]))
    }
}

impl Reference for AdaptiveAvgPool2d {
    fn forward(&self, x: &[&Tensor<f64>], _params: &[&Tensor<f64>], _mode: Mode) -> Tensor<f64> {
        let [n, c, _, _] = x[0].nchw();
        let mut y = Tensor::zeros([n, c, self.output[0], self.output[1]]);
        self.for_each(x[0].nchw(), |o, i, weight| y.data[o] += weight * x[0].data[i]);
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
        let mut dx = Tensor::zeros(x[0].shape.clone());
        self.for_each(x[0].nchw(), |o, i, weight| dx.data[i] += weight * dy.data[o]);
        Gradients::input(dx)
    }
}
