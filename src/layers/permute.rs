//! Permutation of axes.

use serde::{Deserialize, Serialize};

use super::definition::{LayerDef, Mismatch, only};
use super::reference::{Gradients, Mode, Reference};
use crate::tensor::{Shape, Tensor, dims};

/// Permutation of axes: the values of the input in the order CHW are viewed in another shape, then its axes change places.
/// It replaces the `Transpose` and `Reshape` of other frameworks between layouts, such as from HWC to CHW.
///
/// # Shapes
/// Input `[C, H, W]` or `[F]` with `view[0] * view[1] * view[2]` values; output `[view[order[0]], view[order[1]], view[order[2]]]`.
///
/// # Examples
/// ```
/// use convoke::layers::{LayerDef, Permute};
/// use convoke::tensor::Shape;
/// // A map in the order HWC, 4 rows of 5 columns of 3 channels.
/// let permute = Permute { view: [4, 5, 3], order: [2, 0, 1] };
/// assert_eq!(permute.output_shape(&[Shape::from([60])])?, Shape::from([3, 4, 5]));
/// # Ok::<(), convoke::layers::Mismatch>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permute {
    /// The shape in which the input's values are viewed.
    pub view: [usize; 3],
    /// For each axis of the output, the axis of the view that becomes it: 0, 1 and 2 in any order.
    pub order: [usize; 3],
}

impl Permute {
    /// Returns the output's channels, height and width.
    pub fn size(&self) -> [usize; 3] {
        self.order.map(|a| self.view[a])
    }

    /// Returns, for each axis of y, the distance in x between neighbours on that axis, both in the order CHW.
    pub fn strides(&self) -> [usize; 3] {
        let [_, h, w] = self.view;
        self.order.map(|a| [h * w, w, 1][a])
    }

    /// Returns the index in a sample of x of the value at index `i` in the sample of y, both in the order CHW.
    pub fn source(&self, i: usize) -> usize {
        let ([_, h, w], [c, y, x]) = (self.size(), self.strides());
        i / (h * w) * c + i / w % h * y + i % w * x
    }

    /// Returns the permutation that restores the input, in the shape of the view.
    pub fn inverse(&self) -> Permute {
        let mut order = [0; 3];
        self.order.iter().enumerate().for_each(|(i, &a)| order[a] = i);
        Permute { view: self.size(), order }
    }

    fn moved(&self, x: &Tensor<f64>, shape: Vec<usize>) -> Tensor<f64> {
        let size: usize = self.view.iter().product();
        let at = |i: usize| x.data[i / size * size + self.source(i % size)];
        Tensor { shape, data: (0..x.data.len()).map(at).collect() }
    }
}

impl LayerDef for Permute {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        let elements = only(inputs)?.elements();
        if self.view.iter().fold(1usize, |n, &d| n.saturating_mul(d)) != elements {
            return Err(Mismatch::new("view", format!("{elements} values"), dims(&self.view)));
        }
        if !(0..3).all(|a| self.order.contains(&a)) {
            return Err(Mismatch::new("order", "each of 0, 1 and 2 once", format!("{:?}", self.order)));
        }
        Ok(Shape::from(self.size()))
    }
}

impl Reference for Permute {
    fn forward(&self, x: &[&Tensor<f64>], _params: &[&Tensor<f64>], _mode: Mode) -> Tensor<f64> {
        let [c, h, w] = self.size();
        self.moved(x[0], vec![x[0].shape[0], c, h, w])
    }

    fn backward(
        &self,
        x: &[&Tensor<f64>],
        _params: &[&Tensor<f64>],
        _y: &Tensor<f64>,
        dy: &Tensor<f64>,
        _mode: Mode,
    ) -> Gradients {
        Gradients::input(self.inverse().moved(dy, x[0].shape.clone()))
    }
}
