//! The cost table of a network.

use super::network::Graph;
use super::node::{Node, Value};
use crate::tensor::Shape;

/// A node's row in the cost table.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Cost {
    /// The node's name.
    pub name: String,
    /// The kind of the node's layer.
    pub kind: &'static str,
    /// The shape of the node's output, for one sample.
    pub shape: Shape,
    /// The number of trainable values.
    pub parameters: u64,
    /// Multiply-accumulates for one sample.
    pub macs: u64,
}

impl Graph {
    /// Returns a row for each node, in execution order: shape, parameters, multiply-accumulates.
    ///
    /// # Examples
    /// ```
    /// use convoke::zoo::{self, Options};
    /// let costs = zoo::network("lenet5", Options::default())?.costs();
    /// assert_eq!(costs.iter().map(|row| row.parameters).sum::<u64>(), 61_706);
    /// # Ok::<(), convoke::Error>(())
    /// ```
    pub fn costs(&self) -> Vec<Cost> {
        let row = |(i, node): (usize, &Node)| {
            let shape = self.shape(Value::of_node(i));
            Cost {
                name: node.name.clone(),
                kind: node.layer.kind(),
                shape: shape.clone(),
                parameters: self
                    .node_params(node)
                    .iter()
                    .filter(|p| p.role.is_trained())
                    .map(|p| p.elements() as u64)
                    .sum(),
                macs: node.layer.def().macs(&self.input_shapes(node), shape),
            }
        };
        self.nodes().iter().enumerate().map(row).collect()
    }
}
