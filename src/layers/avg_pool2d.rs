//! Average pooling.

use serde::{Deserialize, Serialize};

use super::definition::{LayerDef, Mismatch, only_map};
use super::reference::{Gradients, Mode, Reference};
use super::window::Window;
use crate::tensor::{Shape, Tensor};

/// Average pooling (the notes' section 1.2): the mean of each window.
///
/// # Shapes
/// Input `[C, H, W]`; output `[C, OH, OW]` by the window ([`Window`]). Each window must touch the input.
///
/// # Examples
/// ```
/// use convoke::layers::{AvgPool2d, LayerDef};
/// use convoke::tensor::Shape;
/// let pool = AvgPool2d::new(2, 2);
/// assert_eq!(pool.output_shape(&[Shape::from([6, 28, 28])])?, Shape::from([6, 14, 14]));
/// # Ok::<(), convoke::layers::Mismatch>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AvgPool2d {
    /// The window.
    pub window: Window,
    /// Whether the zeros of the padding count in the mean; true in PyTorch unless said otherwise. Rows and columns beyond
    /// the padding, which only [`Window::ceil_mode`] reaches, never count.
    pub count_include_pad: bool,
}

impl AvgPool2d {
    /// Returns a pooling of square windows without padding, `stride` apart, that counts padding in the mean.
    pub const fn new(kernel: usize, stride: usize) -> Self {
        let mut window = Window::new(kernel);
        window.stride = [stride; 2];
        AvgPool2d { window, count_include_pad: true }
    }

    /// Returns the number of taps that count in the mean at output `o` on `axis` (0 height, 1 width), for an input of
    /// `[height, width]`.
    pub fn taps(&self, o: usize, axis: usize, input: [usize; 2]) -> usize {
        let (w, pads) = (&self.window, self.window.pads(input));
        let range = match self.count_include_pad {
            true => 0..input[axis] + pads[axis] + pads[axis + 2],
            false => pads[axis]..input[axis] + pads[axis],
        };
        (0..w.kernel[axis]).filter(|k| range.contains(&(o * w.stride[axis] + k * w.dilation[axis]))).count()
    }

    fn weight(&self, [oy, ox]: [usize; 2], input: [usize; 2]) -> f64 {
        1.0 / (self.taps(oy, 0, input) * self.taps(ox, 1, input)) as f64
    }
}

impl LayerDef for AvgPool2d {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        let (c, h, w) = only_map(inputs)?;
        let [oh, ow] = self.window.output([h, w])?;
        self.window.check_windows_touch([h, w], [oh, ow])?;
        Ok(Shape::from([c, oh, ow]))
    }
}

impl Reference for AvgPool2d {
    fn forward(&self, x: &[&Tensor<f64>], _params: &[&Tensor<f64>], _mode: Mode) -> Tensor<f64> {
        let [n, c, h, w] = x[0].nchw();
        let [oh, ow] = self.window.output([h, w]).expect("shape was checked by the graph");
        let mut y = Tensor::zeros([n, c, oh, ow]);
        self.window.for_each_tap([h, w], [oh, ow], |[oy, ox], _, [iy, ix]| {
            let weight = self.weight([oy, ox], [h, w]);
            for plane in 0..n * c {
                y.data[(plane * oh + oy) * ow + ox] += weight * x[0].data[(plane * h + iy) * w + ix];
            }
        });
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
        let [n, c, h, w] = x[0].nchw();
        let [_, _, oh, ow] = dy.nchw();
        let mut dx = Tensor::zeros(x[0].shape.clone());
        self.window.for_each_tap([h, w], [oh, ow], |[oy, ox], _, [iy, ix]| {
            let weight = self.weight([oy, ox], [h, w]);
            for plane in 0..n * c {
                dx.data[(plane * h + iy) * w + ix] += weight * dy.data[(plane * oh + oy) * ow + ox];
            }
        });
        Gradients::input(dx)
    }
}
