//! Fully connected layer.

use serde::{Deserialize, Serialize};

use super::definition::{LayerDef, Mismatch, ParamSpec, Role, only};
use super::reference::{Gradients, Mode, Reference};
use crate::tensor::{Shape, Tensor};

/// Fully connected layer (the notes' section 1.3): `y[o] = b[o] + sum over i of w[o, i] * x[i]`.
///
/// # Shapes
/// Input `[F]`, a vector ([`super::Flatten`] makes one of a feature map); output `[out_features]`. Parameters: `weight`
/// `[out_features, F]` and, with a bias, `bias` `[out_features]`.
///
/// # Examples
/// ```
/// use convoke::layers::{LayerDef, Linear};
/// use convoke::tensor::Shape;
/// let (linear, input) = (Linear::new(10), [Shape::from([84])]);
/// assert_eq!(linear.output_shape(&input)?, Shape::from([10]));
/// assert_eq!(linear.params(&input)[0].shape, [10, 84]);
/// # Ok::<(), convoke::layers::Mismatch>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// The number of outputs, at least 1.
    pub out_features: usize,
    /// Whether a bias is added; true by default.
    pub bias: bool,
}

impl Linear {
    /// Returns a layer with `out_features` outputs and a bias.
    pub const fn new(out_features: usize) -> Self {
        Linear { out_features, bias: true }
    }
}

impl LayerDef for Linear {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        let input = only(inputs)?;
        if input.is_map() {
            return Err(Mismatch::new("input shape", "a vector (flatten before it)", input));
        }
        if self.out_features == 0 {
            return Err(Mismatch::new("output features", "at least 1", 0));
        }
        Ok(Shape::from([self.out_features]))
    }

    fn params(&self, inputs: &[Shape]) -> Vec<ParamSpec> {
        let input = inputs[0].elements();
        let weight = ParamSpec {
            name: "weight",
            shape: vec![self.out_features, input],
            role: Role::Weight { fan_in: input, fan_out: self.out_features },
        };
        std::iter::once(weight).chain(self.bias.then(|| ParamSpec::bias(self.out_features))).collect()
    }

    fn macs(&self, inputs: &[Shape], output: &Shape) -> u64 {
        (inputs[0].elements() as u64).saturating_mul(output.elements() as u64)
    }
}

impl Reference for Linear {
    fn forward(&self, x: &[&Tensor<f64>], params: &[&Tensor<f64>], _mode: Mode) -> Tensor<f64> {
        let (x, weight) = (x[0], params[0]);
        let features = weight.shape[1];
        let mut y = Tensor::zeros([x.shape[0], self.out_features]);
        for (i, y) in y.data.iter_mut().enumerate() {
            let (s, o) = (i / self.out_features, i % self.out_features);
            let row = &weight.data[o * features..][..features];
            let dot: f64 = row.iter().zip(&x.data[s * features..]).map(|(w, x)| w * x).sum();
            *y = dot + params.get(1).map_or(0.0, |bias| bias.data[o]);
        }
        y
    }

    fn backward(
        &self,
        x: &[&Tensor<f64>],
        params: &[&Tensor<f64>],
        _y: &Tensor<f64>,
        dy: &Tensor<f64>,
        _mode: Mode,
    ) -> Gradients {
        let (x, weight) = (x[0], params[0]);
        let features = weight.shape[1];
        let mut dx = Tensor::zeros(x.shape.clone());
        let mut dw = Tensor::zeros(weight.shape.clone());
        let mut db = Tensor::zeros([self.out_features]);
        for (i, &dy) in dy.data.iter().enumerate() {
            let (s, o) = (i / self.out_features, i % self.out_features);
            db.data[o] += dy;
            for f in 0..features {
                dx.data[s * features + f] += weight.data[o * features + f] * dy;
                dw.data[o * features + f] += x.data[s * features + f] * dy;
            }
        }
        let params = if self.bias { vec![dw, db] } else { vec![dw] };
        Gradients { inputs: vec![dx], params }
    }
}
