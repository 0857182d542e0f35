//! Networks written as code.

use super::network::Graph;
use super::node::{Node, Output, Value};
use crate::error::Result;
use crate::layers::{Add, Concat, Layer, Mul};
use crate::tensor::Shape;

/// A network under construction. Each method that appends a layer returns the value that the new node produces.
///
/// # Examples
/// ```
/// use convoke::graph::{Builder, Value};
/// use convoke::layers::{Conv2d, Flatten, Linear, Relu};
/// let mut b = Builder::new("tiny", [1, 8, 8]);
/// let x = b.add("conv", Conv2d::new(4, 3), Value::INPUT);
/// let x = b.add("relu", Relu {}, x);
/// let x = b.add("flatten", Flatten {}, x);
/// let x = b.add("fc", Linear::new(10), x);
/// assert_eq!(b.finish(x)?.classes(), 10);
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug)]
pub struct Builder {
    name: String,
    input: Shape,
    nodes: Vec<Node>,
    auxiliary: Vec<Output>,
}

impl Builder {
    /// Starts a network for samples of this shape, `[C, H, W]` or `[F]`.
    pub fn new(name: impl Into<String>, input: impl Into<Shape>) -> Self {
        Builder { name: name.into(), input: input.into(), nodes: vec![], auxiliary: vec![] }
    }

    /// Appends a layer with one input. Names must be unique; [`Builder::finish`] checks them.
    pub fn add(&mut self, name: impl Into<String>, layer: impl Into<Layer>, input: Value) -> Value {
        self.push(name.into(), layer.into(), vec![input])
    }

    /// Appends the sum of two or more values of one shape.
    pub fn sum(&mut self, name: impl Into<String>, inputs: &[Value]) -> Value {
        self.push(name.into(), Add {}.into(), inputs.to_vec())
    }

    /// Appends the product of two values. `by` has the shape of `x` or is `[C, 1, 1]`.
    pub fn product(&mut self, name: impl Into<String>, x: Value, by: Value) -> Value {
        self.push(name.into(), Mul {}.into(), vec![x, by])
    }

    /// Appends the concatenation of two or more values along channels.
    pub fn concat(&mut self, name: impl Into<String>, inputs: &[Value]) -> Value {
        self.push(name.into(), Concat {}.into(), inputs.to_vec())
    }

    /// Declares an auxiliary head. Training adds its loss, multiplied by `loss_weight`, to the main output's loss.
    pub fn auxiliary(&mut self, value: Value, loss_weight: f32) {
        self.auxiliary.push(Output { value, loss_weight });
    }

    /// Validates the network and returns it, with `output` as its main output.
    ///
    /// # Errors
    /// Returns [`crate::Error::Graph`] for names that are empty or not unique and for outputs that are not unique,
    /// [`crate::Error::Layer`] for a layer whose attributes or inputs do not fit, and [`crate::Error::TooLarge`] for a
    /// value or parameter with too many elements.
    pub fn finish(self, output: Value) -> Result<Graph> {
        let main = Output { value: output, loss_weight: 1.0 };
        let outputs = std::iter::once(main).chain(self.auxiliary).collect();
        Graph::new(self.name, self.input, self.nodes, outputs)
    }

    fn push(&mut self, name: String, layer: Layer, inputs: Vec<Value>) -> Value {
        self.nodes.push(Node { name, layer, inputs });
        Value::of_node(self.nodes.len() - 1)
    }
}
