//! The reference of a layer: its formula in double precision.

use crate::tensor::Tensor;

/// Whether a layer runs for inference or for training, and where its random numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Dropout is the identity; batch normalization uses its running statistics.
    Inference,
    /// Dropout draws [`crate::rng::word`]`(seed, stream, i)` for the value at NCHW position `i`; batch normalization
    /// uses the statistics of the batch.
    Training {
        /// The seed of the training step.
        seed: u32,
        /// The random stream of the layer.
        stream: u32,
    },
}

/// Gradients of the loss with respect to a layer's inputs and parameters.
#[derive(Debug, Clone)]
pub struct Gradients {
    /// A gradient for each input, in the order and shapes of the inputs.
    pub inputs: Vec<Tensor<f64>>,
    /// A gradient for each parameter, in the order and shapes of [`super::LayerDef::params`]. Zeros for running
    /// statistics, which are not trained.
    pub params: Vec<Tensor<f64>>,
}

impl Gradients {
    /// The gradients of a layer with one input and without parameters.
    pub(super) fn input(dx: Tensor<f64>) -> Self {
        Gradients { inputs: vec![dx], params: vec![] }
    }
}

/// A layer's formula, written down naively in double precision. Tests and the self-test compare the engines with it; no
/// engine runs it. All tensors carry the batch first (NCHW, or `[N, F]` for vectors).
///
/// # Panics
/// All methods may panic for tensors whose shapes [`super::LayerDef::output_shape`] would not accept.
pub trait Reference {
    /// Returns the output for the inputs `x` and the parameters `params`, in the order of [`super::LayerDef::params`].
    fn forward(&self, x: &[&Tensor<f64>], params: &[&Tensor<f64>], mode: Mode) -> Tensor<f64>;

    /// Returns the gradients of the loss, given the output `y = forward(x, params, mode)` and `dy`, the gradient of the
    /// loss with respect to `y`.
    fn backward(
        &self,
        x: &[&Tensor<f64>],
        params: &[&Tensor<f64>],
        y: &Tensor<f64>,
        dy: &Tensor<f64>,
        mode: Mode,
    ) -> Gradients;
}
