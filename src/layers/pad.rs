//! Padding by a constant.

use serde::{Deserialize, Serialize};

use super::definition::{LayerDef, Mismatch, only_map};
use super::reference::{Gradients, Mode, Reference};
use crate::tensor::{Shape, Tensor};

/// Padding by a constant in channels, height and width. Zeros in new channels are one half of the option-A shortcut of the
/// CIFAR ResNets (He et al., 2016, section 4.2); [`super::Slice`] is the other half.
///
/// # Shapes
/// Input `[C, H, W]`; on each axis the output is longer by `before + after`.
///
/// # Examples
/// ```
/// use convoke::layers::{LayerDef, Pad};
/// use convoke::tensor::Shape;
/// let pad = Pad { before: [8, 0, 0], after: [8, 0, 0], value: 0.0 };
/// assert_eq!(pad.output_shape(&[Shape::from([16, 4, 4])])?, Shape::from([32, 4, 4]));
/// # Ok::<(), convoke::layers::Mismatch>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pad {
    /// Entries added before the first on each axis `[channels, height, width]`.
    pub before: [usize; 3],
    /// Entries added after the last on each axis `[channels, height, width]`.
    pub after: [usize; 3],
    /// The constant, finite.
    pub value: f32,
}

impl Pad {
    fn size(&self, (c, h, w): (usize, usize, usize)) -> [usize; 3] {
        let input = [c, h, w];
        std::array::from_fn(|a| self.before[a].saturating_add(input[a]).saturating_add(self.after[a]))
    }

    /// Calls `f(flat index in y, flat index in x)` for each value of x.
    fn for_each(&self, [n, c, h, w]: [usize; 4], mut f: impl FnMut(usize, usize)) {
        let [oc, oh, ow] = self.size((c, h, w));
        for i in 0..n * c * h * w {
            let (s, ch, y, x) = (i / (c * h * w), i / (h * w) % c, i / w % h, i % w);
            let [bc, by, bx] = self.before;
            f(((s * oc + ch + bc) * oh + y + by) * ow + x + bx, i);
        }
    }
}

impl LayerDef for Pad {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        let size = self.size(only_map(inputs)?);
        if !self.value.is_finite() {
            return Err(Mismatch::new("value", "a finite number", self.value));
        }
        Ok(Shape::from(size))
    }
}

impl Reference for Pad {
    fn forward(&self, x: &[&Tensor<f64>], _params: &[&Tensor<f64>], _mode: Mode) -> Tensor<f64> {
        let [n, c, h, w] = x[0].nchw();
        let [oc, oh, ow] = self.size((c, h, w));
        let data = vec![f64::from(self.value); n * oc * oh * ow];
        let mut y = Tensor { shape: vec![n, oc, oh, ow], data };
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
