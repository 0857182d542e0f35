//! Max pooling (the notes' section 1.2): the largest value of each window. Padding never wins.

use super::attributes::attributes;
use super::{Gradients, LayerDef, Mismatch, Mode, Reference, Window, only_map};
use crate::tensor::{Shape, Tensor};

/// Attributes of a max pooling. Windows may overlap, be dilated, and be padded by less than the kernel's extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool2d {
    /// The window.
    pub window: Window,
}

attributes!(MaxPool2d { window });

impl MaxPool2d {
    /// `kernel`x`kernel` windows, `stride` apart.
    pub const fn new(kernel: usize, stride: usize) -> Self {
        let mut window = Window::new(kernel);
        window.stride = [stride; 2];
        MaxPool2d { window }
    }

    /// For each output, the flat index of the first input that is its window's maximum. NaN wins, as in PyTorch.
    fn winners(&self, x: &Tensor<f64>, output: [usize; 2]) -> Vec<usize> {
        let [n, c, h, w] = x.nchw();
        let [oh, ow] = output;
        let mut winner = vec![usize::MAX; n * c * oh * ow];
        self.window.for_each_tap([h, w], output, |[oy, ox], _, [iy, ix]| {
            for plane in 0..n * c {
                let best = &mut winner[(plane * oh + oy) * ow + ox];
                let here = (plane * h + iy) * w + ix;
                let larger = |best: usize| {
                    let (old, new) = (x.data[best], x.data[here]);
                    !old.is_nan() && (new > old || new.is_nan())
                };
                if *best == usize::MAX || larger(*best) {
                    *best = here;
                }
            }
        });
        winner
    }
}

impl LayerDef for MaxPool2d {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        let (c, h, w) = only_map(inputs)?;
        let [oh, ow] = self.window.output([h, w])?;
        self.window.check_windows_touch([h, w], [oh, ow])?;
        Ok(Shape::from([c, oh, ow]))
    }
}

impl Reference for MaxPool2d {
    fn forward(&self, x: &[&Tensor<f64>], _params: &[&Tensor<f64>], _mode: Mode) -> Tensor<f64> {
        let [n, c, h, w] = x[0].nchw();
        let [oh, ow] = self.window.output([h, w]).expect("shape was checked by the graph");
        let data = self.winners(x[0], [oh, ow]).into_iter().map(|i| x[0].data[i]).collect();
        Tensor { shape: vec![n, c, oh, ow], data }
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
        let [_, _, oh, ow] = dy.nchw();
        for (i, dy) in self.winners(x[0], [oh, ow]).into_iter().zip(&dy.data) {
            dx.data[i] += dy;
        }
        Gradients::input(dx)
    }
}
