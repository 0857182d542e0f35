//! Layers that are nothing but an [`Activation`]: one implementation of their shape and their reference.

use super::activation::Activation;
use super::definition::{LayerDef, Mismatch, only};
use super::reference::{Gradients, Mode, Reference};
use crate::tensor::{Shape, Tensor};

/// A layer that applies an [`Activation`] to each value of its only input. Implementing this trait is all that such a
/// layer needs: [`LayerDef`] and [`Reference`] follow, and the planner fuses the layer into the one before it.
///
/// # Shapes
/// The output has the shape of the input, a feature map or a vector.
///
/// # Examples
/// ```
/// use convoke::layers::{Activation, ActivationLayer, Layer, LeakyRelu};
/// let layer = LeakyRelu { slope: 0.1 };
/// assert_eq!(ActivationLayer::activation(&layer), Activation::LeakyRelu { slope: 0.1 });
/// assert_eq!(Layer::from(layer).activation(), Some(Activation::LeakyRelu { slope: 0.1 }));
/// ```
pub trait ActivationLayer {
    /// Returns the function that the layer applies.
    fn activation(&self) -> Activation;

    /// Checks the layer's attributes; accepts all of them unless the layer says otherwise.
    ///
    /// # Errors
    /// A [`Mismatch`] for an attribute out of its range.
    fn check(&self) -> Result<(), Mismatch> {
        Ok(())
    }
}

impl<T: ActivationLayer> LayerDef for T {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        self.check()?;
        only(inputs).cloned()
    }

    fn activation(&self) -> Option<Activation> {
        Some(ActivationLayer::activation(self))
    }
}

impl<T: ActivationLayer> Reference for T {
    fn forward(&self, x: &[&Tensor<f64>], _params: &[&Tensor<f64>], _mode: Mode) -> Tensor<f64> {
        let activation = ActivationLayer::activation(self);
        x[0].map(|&v| activation.apply(v))
    }

    fn backward(
        &self,
        _x: &[&Tensor<f64>],
        _params: &[&Tensor<f64>],
        y: &Tensor<f64>,
        dy: &Tensor<f64>,
        _mode: Mode,
    ) -> Gradients {
        let activation = ActivationLayer::activation(self);
        let data = y.data.iter().zip(&dy.data).map(|(&y, &dy)| dy * activation.derivative(y)).collect();
        Gradients::input(Tensor { shape: y.shape.clone(), data })
    }
}
