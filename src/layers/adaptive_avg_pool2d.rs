//! Adaptive average pooling: means of windows that divide any input into a fixed grid, as PyTorch's
//! `AdaptiveAvgPool2d`: output i averages rows `floor(i * H / out)` to `ceil((i + 1) * H / out)`.

use std::ops::Range;

use super::attributes::attributes;
use super::{Gradients, LayerDef, Mismatch, Mode, Reference, only_map};
use crate::tensor::{Shape, Tensor};

/// Attributes of an adaptive average pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdaptiveAvgPool2d {
    /// Height and width of the output.
    pub output: [usize; 2],
}

attributes!(AdaptiveAvgPool2d { output });

impl AdaptiveAvgPool2d {
    /// The input rows or columns that output `o` of `output` averages.
    pub fn range(o: usize, output: usize, input: usize) -> Range<usize> {
        o * input / output..((o + 1) * input).div_ceil(output)
    }

    /// Calls `f(flat index in y, flat index in x, weight)` for each value that counts.
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
