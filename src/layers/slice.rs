//! Slices with a step.

use serde::{Deserialize, Serialize};

use super::definition::{LayerDef, Mismatch, only_map};
use super::reference::{Gradients, Mode, Reference};
use crate::tensor::{Shape, Tensor};

/// Slice: every `step`-th channel, row and column of a range. With a step of 2 it is the subsampling half of the option-A
/// shortcut of the CIFAR ResNets (He et al., 2016, section 4.2); [`super::Pad`] is the other half.
///
/// # Shapes
/// Input `[C, H, W]`; on each axis the output has `ceil((end - start) / step)` entries.
///
/// # Examples
/// ```
/// use convoke::layers::{LayerDef, Slice};
/// use convoke::tensor::Shape;
/// let slice = Slice { start: [0; 3], end: [16, 32, 32], step: [1, 2, 2] };
/// assert_eq!(slice.output_shape(&[Shape::from([16, 32, 32])])?, Shape::from([16, 16, 16]));
/// # Ok::<(), convoke::layers::Mismatch>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// The first index on each axis `[channels, height, width]`, below `end`.
    pub start: [usize; 3],
    /// The exclusive end of the range on each axis, at most the size of the input.
    pub end: [usize; 3],
    /// The distance between neighbours on each axis, at least 1.
    pub step: [usize; 3],
}

impl Slice {
    fn size(&self) -> [usize; 3] {
        std::array::from_fn(|a| (self.end[a] - self.start[a]).div_ceil(self.step[a]))
    }

    /// Calls `f(flat index in y, flat index in x)` for each value of y.
    fn for_each(&self, [n, c, h, w]: [usize; 4], mut f: impl FnMut(usize, usize)) {
        let [oc, oh, ow] = self.size();
        let at = |o: usize, a: usize| self.start[a] + o * self.step[a];
        for i in 0..n * oc * oh * ow {
            let (s, ch, y, x) = (i / (oc * oh * ow), i / (oh * ow) % oc, i / ow % oh, i % ow);
            f(i, ((s * c + at(ch, 0)) * h + at(y, 1)) * w + at(x, 2));
        }
    }
}

impl LayerDef for Slice {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        let (c, h, w) = only_map(inputs)?;
        for (a, size) in [c, h, w].into_iter().enumerate() {
            if !(self.start[a] < self.end[a] && self.end[a] <= size && self.step[a] > 0) {
                let axis = ["channels", "height", "width"][a];
                let actual = format!("{}..{} step {}", self.start[a], self.end[a], self.step[a]);
                return Err(Mismatch::new(axis, format!("a range within 0..{size}"), actual));
            }
        }
        Ok(Shape::from(self.size()))
    }
}

impl Reference for Slice {
    fn forward(&self, x: &[&Tensor<f64>], _params: &[&Tensor<f64>], _mode: Mode) -> Tensor<f64> {
        let [oc, oh, ow] = self.size();
        let mut y = Tensor::zeros([x[0].shape[0], oc, oh, ow]);
        self.for_each(x[0].nchw(), |o, i| y.data[o] = x[0].data[i]);
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
        self.for_each(x[0].nchw(), |o, i| dx.data[i] = dy.data[o]);
        Gradients::input(dx)
    }
}
