//! Product of two inputs.

use serde::{Deserialize, Serialize};

use super::definition::{Arity, LayerDef, Mismatch};
use super::reference::{Gradients, Mode, Reference};
use crate::tensor::{Shape, Tensor};

/// Product of two inputs. A second input of `[C, 1, 1]` scales each feature map of the first (squeeze and excitation; Hu
/// et al., 2018).
///
/// # Shapes
/// First input `[C, H, W]` or `[F]`; the second has the shape of the first or is `[C, 1, 1]`. The output has the shape of
/// the first.
///
/// # Examples
/// ```
/// use convoke::layers::{Mode, Mul, Reference};
/// use convoke::tensor::Tensor;
/// let x = Tensor::new([1, 1, 1, 2], vec![3.0, 4.0])?;
/// let scale = Tensor::new([1, 1, 1, 1], vec![0.5])?;
/// assert_eq!(Mul {}.forward(&[&x, &scale], &[], Mode::Inference).data, [1.5, 2.0]);
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mul {}

/// Returns the flat index in the second input of the factor for flat index `i` of the first.
fn partner(first: [usize; 4], second: [usize; 4], i: usize) -> usize {
    if first == second { i } else { i / (first[2] * first[3]) }
}

impl LayerDef for Mul {
    fn arity(&self) -> Arity {
        Arity::Many
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        let [a, b] = inputs else { return Err(Mismatch::new("inputs", 2, inputs.len())) };
        let scales = a.is_map() && b.is_map() && b.chw() == (a.chw().0, 1, 1);
        if a == b || scales {
            return Ok(a.clone());
        }
        Err(Mismatch::new("shape of input 1", format!("{a} or {}x1x1", a.chw().0), b))
    }
}

impl Reference for Mul {
    fn forward(&self, x: &[&Tensor<f64>], _params: &[&Tensor<f64>], _mode: Mode) -> Tensor<f64> {
        let (a, b) = (x[0], x[1]);
        let data = a.data.iter().enumerate().map(|(i, v)| v * b.data[partner(a.nchw(), b.nchw(), i)]).collect();
        Tensor { shape: a.shape.clone(), data }
    }

    fn backward(
        &self,
        x: &[&Tensor<f64>],
        _params: &[&Tensor<f64>],
        _y: &Tensor<f64>,
        dy: &Tensor<f64>,
        _mode: Mode,
    ) -> Gradients {
        let (a, b) = (x[0], x[1]);
        let (mut da, mut db) = (dy.clone(), Tensor::zeros(b.shape.clone()));
        for (i, dy) in dy.data.iter().enumerate() {
            let j = partner(a.nchw(), b.nchw(), i);
            da.data[i] = dy * b.data[j];
            db.data[j] += dy * a.data[i];
        }
        Gradients { inputs: vec![da, db], params: vec![] }
    }
}
