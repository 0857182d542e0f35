//! The operations of a plan.

use super::view::View;
use crate::graph::Value;
use crate::layers::Activation;

/// One forward operation: the layer of `node`, then `activation`.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Index into the graph's nodes.
    pub node: usize,
    /// The inputs. A concatenation has only those that are not already in place. The second input of a convolution is added
    /// to its result, before the activation.
    pub inputs: Vec<View>,
    /// For a concatenation, the first channel of each of `inputs` in the output.
    pub channels: Vec<usize>,
    /// The output.
    pub output: View,
    /// Rounds a convolution's result before the second input is added to it.
    pub requantize: Option<Activation>,
    /// Applied to the output as it is written.
    pub activation: Option<Activation>,
    /// In training, whether the parameters are not trained: a frozen batch normalization uses its running statistics.
    pub frozen: bool,
}

impl Step {
    /// Splits a convolution that rounds before it adds into a convolution that rounds and a sum, for kernels that cannot do
    /// both; `None` for all other steps.
    pub(crate) fn split_residual_add(&self) -> Option<[Step; 2]> {
        let (requantize, &[x, addend]) = (self.requantize?, &self.inputs[..]) else { return None };
        let conv = Step { inputs: vec![x], activation: Some(requantize), requantize: None, ..self.clone() };
        let sum = Step { inputs: vec![self.output, addend], requantize: None, ..self.clone() };
        Some([conv, sum])
    }
}

/// The destination of an input's gradient in a backward operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GradWrite {
    /// The input's gradient.
    pub view: View,
    /// Whether the gradient is added to the present one, because the backward operation of another reader ran before.
    pub accumulate: bool,
}

/// One backward operation, the derivative of `steps[step]`. If the step has a fused activation, `dy` is first multiplied,
/// in place, by the activation's derivative.
#[derive(Debug, Clone, PartialEq)]
pub struct BackwardStep {
    /// Index into [`super::Plan::steps`].
    pub step: usize,
    /// The steps that run forward before this operation, because their outputs were not kept: indices into
    /// [`super::Plan::steps`].
    pub recompute: Vec<usize>,
    /// The gradients to set to zero before this operation, because several writers add to parts of them.
    pub clear: Vec<View>,
    /// The gradient of the step's output.
    pub dy: View,
    /// For each input of the step, the destination of its gradient; `None` where no gradient is computed.
    pub dx: Vec<Option<GradWrite>>,
}

/// An output of the network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Head {
    /// The value in the graph.
    pub value: Value,
    /// The value's place in the arena.
    pub view: View,
    /// The place of the gradient, which the loss overwrites; `None` at inference.
    pub grad: Option<View>,
    /// The weight of this output in the training loss.
    pub loss_weight: f32,
}
