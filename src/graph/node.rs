//! The parts of a graph: values, nodes, outputs.

use crate::layers::Layer;

/// The name by which nodes refer to the network's input.
pub const INPUT: &str = "input";

/// A value of a graph: the input ([`Value::INPUT`]) or the output of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(usize);

impl Value {
    /// The network's input.
    pub const INPUT: Value = Value(0);

    /// Returns the output of the node at this index.
    pub fn of_node(index: usize) -> Self {
        Value(index + 1)
    }

    /// Returns the index of the node that produces the value; `None` for the input.
    pub fn node(self) -> Option<usize> {
        self.0.checked_sub(1)
    }

    /// Returns the value's position in tables of all values: 0 for the input, `i + 1` for the output of node i.
    pub fn index(self) -> usize {
        self.0
    }

    /// Returns the value at this position in tables of all values.
    pub(super) fn at(index: usize) -> Self {
        Value(index)
    }
}

/// A layer with a name and its inputs, which are earlier values.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The node's name, unique in its graph. Parameters are called `name.weight`, `name.bias`.
    pub name: String,
    /// The layer that the node computes.
    pub layer: Layer,
    /// The layer's inputs, in order.
    pub inputs: Vec<Value>,
}

/// A value that the network returns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Output {
    /// The value: logits for the networks of the zoo; see [`OutputKind`](super::OutputKind).
    pub value: Value,
    /// The weight of this output in the training loss, finite: 1 for the main head, less for auxiliary heads.
    pub loss_weight: f32,
}
