//! Permute: the numbers of a map, in the order CHW and seen in another shape, with axes that change places. What
//! `Transpose` and `Reshape` of other frameworks do between layouts, such as from HWC to CHW.

use super::attributes::attributes;
use super::{Gradients, LayerDef, Mismatch, Mode, Reference, only};
use crate::tensor::{Shape, Tensor, dims};

/// Attributes of a permutation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permute {
    /// The shape in which the input's numbers are seen.
    pub view: [usize; 3],
    /// Which axis of the view each axis of the output is.
    pub order: [usize; 3],
}

attributes!(Permute { view, order });

impl Permute {
    /// The output's channels, height and width.
    pub fn size(&self) -> [usize; 3] {
        self.order.map(|a| self.view[a])
    }

    /// How far apart in x neighbours on each axis of y are, both in the order CHW.
    pub fn strides(&self) -> [usize; 3] {
        let [_, h, w] = self.view;
        self.order.map(|a| [h * w, w, 1][a])
    }

    /// The index in a sample of x of the value at index `i` of y, both in the order CHW.
    pub fn source(&self, i: usize) -> usize {
        let ([_, h, w], [c, y, x]) = (self.size(), self.strides());
        i / (h * w) * c + i / w % h * y + i % w * x
    }

    /// The one that brings all back, in the shape of the view.
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
