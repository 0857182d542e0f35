//! Max pooling.

use serde::{Deserialize, Serialize};

use super::definition::{LayerDef, Mismatch, only_map};
use super::reference::{Gradients, Mode, Reference};
use super::window::Window;
use crate::tensor::{Shape, Tensor};

/// Max pooling (the notes' section 1.2): the largest value of each window. NaN is larger than all numbers, as in PyTorch.
/// Windows may overlap and be dilated; padding is never the largest.
///
/// # Shapes
/// Input `[C, H, W]`; output `[C, OH, OW]` by the window ([`Window`]). Each window must touch the input.
///
/// # Examples
/// ```
/// use convoke::layers::{LayerDef, MaxPool2d};
/// use convoke::tensor::Shape;
/// let pool = MaxPool2d::new(3, 2);
/// assert_eq!(pool.output_shape(&[Shape::from([96, 55, 55])])?, Shape::from([96, 27, 27]));
/// # Ok::<(), convoke::layers::Mismatch>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxPool2d {
    /// The window.
    pub window: Window,
}

impl MaxPool2d {
    /// Returns a pooling of square windows without padding, `stride` apart.
    pub const fn new(kernel: usize, stride: usize) -> Self {
        let mut window = Window::new(kernel);
        window.stride = [stride; 2];
        MaxPool2d { window }
    }

    /// Returns, for each output, the flat index of the first input that is the maximum of its window.
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
