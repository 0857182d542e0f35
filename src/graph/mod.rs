//! What a network is: named layers over named values, validated once, then read-only.

mod builder;
mod file;
mod params;
pub(crate) mod reachable;
pub mod reference;
pub(crate) mod value_range;

pub use builder::Builder;
pub use file::GRAPH_VERSION;
pub use params::{Init, Param, Params, Ranges, Read, Tensors};

use crate::error::{Error, Result};
use crate::layers::{Arity, Layer, Mismatch, ParamSpec};
use crate::tensor::{MAX_ELEMENTS, Shape, dims};

/// The most nodes a graph may have (ResNet-152 has about 520).
pub const MAX_NODES: usize = 16_384;

/// The name by which nodes refer to the network's input.
pub const INPUT: &str = "input";

/// A value of a graph: the input ([`Value::INPUT`]) or a node's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(usize);

impl Value {
    /// The network's input.
    pub const INPUT: Value = Value(0);

    /// The output of the node at this index.
    pub fn of_node(index: usize) -> Self {
        Value(index + 1)
    }

    /// The index of the node that produces it; `None` for the input.
    pub fn node(self) -> Option<usize> {
        self.0.checked_sub(1)
    }

    /// Position in tables of all values: 0 is the input, `i + 1` node i's output.
    pub fn index(self) -> usize {
        self.0
    }
}

/// A layer with a name and its inputs, which are earlier values.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Unique in its graph; parameters are called `name.weight`, `name.bias`.
    pub name: String,
    /// What it computes.
    pub layer: Layer,
    /// From what.
    pub inputs: Vec<Value>,
}

/// A value that the network gives out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Output {
    /// The value: logits, for the networks of the zoo.
    pub value: Value,
    /// Its weight in the training loss: 1 for the main head, less for auxiliary heads.
    pub loss_weight: f32,
}

/// A validated network: nodes in execution order, with the shape of every value.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    name: String,
    input: Shape,
    nodes: Vec<Node>,
    outputs: Vec<Output>,
    shapes: Vec<Shape>,
}

/// A node's row in the cost table.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Cost {
    /// The node's name.
    pub name: String,
    /// Its layer's kind.
    pub kind: &'static str,
    /// The shape of its output, for one sample.
    pub shape: Shape,
    /// Trainable values.
    pub parameters: u64,
    /// Multiply-accumulates for one sample.
    pub macs: u64,
}

/// A name that is there twice, if there is one.
pub(crate) fn twice<'a>(names: &mut [&'a str]) -> Option<&'a str> {
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

impl Graph {
    /// Checks that names are unique, inputs are earlier values, and shapes fit; computes every shape.
    ///
    /// # Errors
    /// [`Error::Graph`] for the structure, [`Error::Layer`] for a layer whose attributes or inputs do not fit.
    pub fn new(name: impl Into<String>, input: Shape, nodes: Vec<Node>, outputs: Vec<Output>) -> Result<Self> {
        let mut graph = Graph { name: name.into(), input, nodes, outputs, shapes: vec![] };
        graph.check_structure()?;
        graph.shapes = graph.infer_shapes()?;
        Ok(graph)
    }

    /// The network's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The shape of one input sample, `[C, H, W]`.
    pub fn input(&self) -> &Shape {
        &self.input
    }

    /// The nodes in execution order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The outputs, the main one first.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The shape of a value, for one sample.
    pub fn shape(&self, value: Value) -> &Shape {
        &self.shapes[value.index()]
    }

    /// How many values there are: the input and one for each node.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = Value> + use<> {
        (0..=self.nodes.len()).map(Value)
    }

    /// The number of classes: elements of the main output.
    pub fn classes(&self) -> usize {
        self.shape(self.outputs[0].value).elements()
    }

    /// A value's name in files and messages.
    pub fn value_name(&self, value: Value) -> &str {
        value.node().map_or(INPUT, |i| &self.nodes[i].name)
    }

    /// The input shapes of a node.
    pub fn input_shapes(&self, node: &Node) -> Vec<Shape> {
        node.inputs.iter().map(|&v| self.shape(v).clone()).collect()
    }

    /// The parameters of a node, by their last name.
    pub fn node_params(&self, node: &Node) -> Vec<ParamSpec> {
        node.layer.def().params(&self.input_shapes(node))
    }

    /// The full names of a node's parameters, in the order of its layer: weight, bias.
    pub fn param_names(&self, node: usize) -> impl Iterator<Item = String> {
        let node = &self.nodes[node];
        self.node_params(node).into_iter().map(|p| format!("{}.{}", node.name, p.name))
    }

    /// Every parameter with its full name, in order.
    pub fn params(&self) -> Vec<(String, ParamSpec)> {
        let of_node = |node: &Node| {
            let name = node.name.clone();
            self.node_params(node).into_iter().map(move |p| (format!("{name}.{}", p.name), p))
        };
        self.nodes.iter().flat_map(of_node).collect()
    }

    /// The part of the network that this node's output depends on.
    ///
    /// # Errors
    /// [`Error::Argument`] when there is no such node.
    pub fn until(&self, name: &str) -> Result<Graph> {
        let Some(last) = self.nodes.iter().position(|n| n.name == name) else {
            return Err(Error::argument("layer", format!("the name of a layer of `{}`", self.name), name));
        };
        self.part(Value::of_node(last))
    }

    /// The network as it classifies: its main output and what that depends on. Auxiliary heads help training only.
    ///
    /// # Errors
    /// Those of [`Graph::new`], which a part of a valid graph does not meet.
    pub fn without_auxiliary(&self) -> Result<Graph> {
        self.part(self.outputs[0].value)
    }

    /// The nodes that `output` depends on, in their order.
    fn part(&self, output: Value) -> Result<Graph> {
        let keep = reachable::reachable(&self.nodes, [output]);
        let (nodes, moved) = reachable::retain(self.nodes.clone(), &keep);
        let outputs = vec![Output { value: moved[output.index()], loss_weight: 1.0 }];
        Graph::new(self.name.clone(), self.input.clone(), nodes, outputs)
    }

    /// The nodes that read each value, by [`Value::index`].
    pub fn consumers(&self) -> Vec<Vec<usize>> {
        let mut consumers = vec![vec![]; self.nodes.len() + 1];
        for (i, node) in self.nodes.iter().enumerate() {
            for v in &node.inputs {
                consumers[v.index()].push(i);
            }
        }
        consumers
    }

    /// One row for each node: shape, parameters, multiply-accumulates.
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
        self.nodes.iter().enumerate().map(row).collect()
    }

    fn error(&self, reason: impl Into<String>) -> Error {
        Error::Graph { graph: self.name.clone(), reason: reason.into() }
    }

    fn check_structure(&self) -> Result<()> {
        if self.nodes.is_empty() || self.nodes.len() > MAX_NODES {
            return Err(self.error(format!("expected 1 to {MAX_NODES} nodes, got {}", self.nodes.len())));
        }
        let mut names: Vec<&str> = self.nodes.iter().map(|node| node.name.as_str()).collect();
        names.extend(["", INPUT]);
        if let Some(name) = twice(&mut names) {
            return Err(self.error(format!("name `{name}` of a node is empty or not unique")));
        }
        for (i, node) in self.nodes.iter().enumerate() {
            if let Some(v) = node.inputs.iter().find(|v| v.index() > i) {
                return Err(self.error(format!("node `{}`: input {} is not an earlier value", node.name, v.index())));
            }
            let count = node.inputs.len();
            let (fits, expected) = match node.layer.def().arity() {
                Arity::One => (count == 1, "1 input"),
                Arity::Many => (count >= 2, "at least 2 inputs"),
            };
            if !fits {
                return Err(self.error(format!("node `{}`: expected {expected}, got {count}", node.name)));
            }
        }
        if self.outputs.is_empty() || self.outputs.iter().any(|o| o.value.index() > self.nodes.len()) {
            return Err(self.error("expected at least one output, each a value of the graph"));
        }
        let mut is_output = vec![false; self.nodes.len() + 1];
        is_output[Value::INPUT.index()] = true;
        if self.outputs.iter().any(|o| std::mem::replace(&mut is_output[o.value.index()], true)) {
            return Err(self.error("expected outputs that differ from each other and from the input"));
        }
        if self.outputs.iter().any(|o| !o.loss_weight.is_finite()) {
            return Err(self.error("expected finite loss weights"));
        }
        Ok(())
    }

    fn infer_shapes(&self) -> Result<Vec<Shape>> {
        if !matches!(self.input.dims().len(), 1 | 3) || !(1..=MAX_ELEMENTS).contains(&self.input.elements()) {
            return Err(self.error(format!("input shape: expected CxHxW or F, got {}", dims(self.input.dims()))));
        }
        let mut shapes = vec![self.input.clone()];
        for node in &self.nodes {
            let inputs: Vec<Shape> = node.inputs.iter().map(|v| shapes[v.index()].clone()).collect();
            let at = |m: Mismatch| Error::Layer {
                layer: node.name.clone(),
                what: m.what,
                expected: m.expected,
                actual: m.actual,
            };
            let shape = node.layer.def().output_shape(&inputs).map_err(at)?;
            let largest = node.layer.def().params(&inputs).iter().map(ParamSpec::elements).max().unwrap_or(0);
            if shape.elements() > MAX_ELEMENTS || largest > MAX_ELEMENTS {
                return Err(Error::TooLarge {
                    what: format!("layer `{}`: elements of its output or weights", node.name),
                    actual: shape.elements().max(largest) as u64,
                    limit: MAX_ELEMENTS as u64,
                });
            }
            shapes.push(shape);
        }
        Ok(shapes)
    }
}
