//! The vocabulary of layers: shapes in, shape out, parameters, cost.

use std::fmt::Display;

use super::activation::Activation;
use crate::tensor::Shape;

/// The attribute or input of a layer that does not fit. [`crate::graph::Graph::new`] adds the layer's name and returns
/// both as [`crate::Error::Layer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The attribute or input.
    pub what: String,
    /// The values that would fit.
    pub expected: String,
    /// The value found.
    pub actual: String,
}

impl Mismatch {
    pub(crate) fn new(what: impl Display, expected: impl Display, actual: impl Display) -> Self {
        Mismatch { what: what.to_string(), expected: expected.to_string(), actual: actual.to_string() }
    }
}

/// How many inputs a layer takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// Exactly one.
    One,
    /// Two or more.
    Many,
}

/// The part that a parameter plays, which decides its initial value and its training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Initialized at random ([`crate::graph::Init`]); trained with weight decay.
    Weight {
        /// Inputs that reach one output through the weights, at least 1.
        fan_in: usize,
        /// Outputs that one input reaches through the weights, at least 1.
        fan_out: usize,
    },
    /// Initialized with zeros; trained without weight decay.
    Bias,
    /// Initialized with ones; trained without weight decay.
    Scale,
    /// Initialized with zeros; follows the means of the batches and is not trained.
    RunningMean,
    /// Initialized with ones; follows the variances of the batches and is not trained.
    RunningVariance,
}

impl Role {
    /// Returns whether the optimizer changes parameters of this role.
    pub fn is_trained(self) -> bool {
        !matches!(self, Role::RunningMean | Role::RunningVariance)
    }

    /// Returns whether weight decay applies to parameters of this role.
    pub fn decays(self) -> bool {
        matches!(self, Role::Weight { .. })
    }
}

/// A parameter tensor of a layer: name, shape and role, without values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamSpec {
    /// `weight`, `bias`, `running_mean` or `running_var`: the last part of the parameter's full name.
    pub name: &'static str,
    /// OIHW for convolutions, `[out, in]` for linear layers, one value for each output channel for the others.
    pub shape: Vec<usize>,
    /// The part that the parameter plays.
    pub role: Role,
}

impl ParamSpec {
    /// A bias of `n` values.
    pub(super) fn bias(n: usize) -> Self {
        ParamSpec { name: "bias", shape: vec![n], role: Role::Bias }
    }

    /// Returns the number of values; saturates instead of overflowing.
    pub fn elements(&self) -> usize {
        Shape::new(self.shape.clone()).elements()
    }
}

/// The properties of a layer that do not depend on values. All shapes are of one sample, without the batch.
pub trait LayerDef {
    /// Returns how many inputs the layer takes; one unless the layer says otherwise.
    fn arity(&self) -> Arity {
        Arity::One
    }

    /// Returns the shape of the output for inputs of these shapes.
    ///
    /// # Errors
    /// A [`Mismatch`] when an attribute is out of its range or an input shape does not fit.
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch>;

    /// Returns the parameters in their order (weight, bias, running statistics) for inputs of these shapes, which
    /// [`LayerDef::output_shape`] must have accepted. Empty for layers without parameters.
    fn params(&self, _inputs: &[Shape]) -> Vec<ParamSpec> {
        vec![]
    }

    /// Returns the multiply-accumulates for one sample. As in papers, only convolutions and linear layers count; 0 for
    /// all others.
    fn macs(&self, _inputs: &[Shape], _output: &Shape) -> u64 {
        0
    }

    /// Returns the layer's element-wise function if other layers can apply the function to their output as they write
    /// it; `None` for all layers but those that implement [`super::ActivationLayer`].
    fn activation(&self) -> Option<Activation> {
        None
    }
}

/// Returns the only element of `inputs`.
///
/// # Errors
/// A [`Mismatch`] for any other number of inputs.
pub(super) fn only<T>(inputs: &[T]) -> Result<&T, Mismatch> {
    match inputs {
        [one] => Ok(one),
        _ => Err(Mismatch::new("inputs", 1, inputs.len())),
    }
}

/// Returns `(channels, height, width)` of a layer's only input.
///
/// # Errors
/// A [`Mismatch`] for any other number of inputs, and for an input that is not a feature map.
pub(super) fn only_map(inputs: &[Shape]) -> Result<(usize, usize, usize), Mismatch> {
    let shape = only(inputs)?;
    if shape.is_map() { Ok(shape.chw()) } else { Err(Mismatch::new("input shape", "CxHxW", shape)) }
}
