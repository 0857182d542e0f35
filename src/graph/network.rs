//! A network: named layers over named values, validated once, then read-only.

use super::names::first_duplicate;
use super::node::{INPUT, Node, Output, Value};
use super::reachable::{reachable, retain};
use crate::error::{Error, Result};
use crate::layers::{Arity, Mismatch, ParamSpec};
use crate::tensor::{MAX_ELEMENTS, Shape, dims};

/// The most nodes a graph may have (ResNet-152 has about 520).
pub const MAX_NODES: usize = 16_384;

/// A validated network: nodes in execution order, with the shape of each value. [`super::Builder`] writes one as code,
/// [`crate::zoo::network`] makes one by name, [`Graph::from_json`] reads one.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    name: String,
    input: Shape,
    nodes: Vec<Node>,
    outputs: Vec<Output>,
    shapes: Vec<Shape>,
}

impl Graph {
    /// Checks the network and computes the shape of each value. `input` is the shape of one sample, `[C, H, W]` or `[F]`;
    /// the first of `outputs` is the main one.
    ///
    /// # Errors
    /// Returns [`Error::Graph`] unless there are 1 to [`MAX_NODES`] nodes with unique names whose inputs are earlier
    /// values, and at least one output, all of them different. Returns [`Error::Layer`] for a layer whose attributes or
    /// inputs do not fit, and [`Error::TooLarge`] for a value or parameter of more than [`MAX_ELEMENTS`] elements.
    pub fn new(name: impl Into<String>, input: Shape, nodes: Vec<Node>, outputs: Vec<Output>) -> Result<Self> {
        let mut graph = Graph { name: name.into(), input, nodes, outputs, shapes: vec![] };
        graph.check_structure()?;
        graph.shapes = graph.infer_shapes()?;
        Ok(graph)
    }

    /// Returns the network's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the shape of one input sample, `[C, H, W]` or `[F]`.
    pub fn input(&self) -> &Shape {
        &self.input
    }

    /// Returns the nodes in execution order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Returns the outputs, the main one first.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// Returns the shape of a value, for one sample.
    pub fn shape(&self, value: Value) -> &Shape {
        &self.shapes[value.index()]
    }

    /// Returns all values: the input, then the output of each node.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = Value> + use<> {
        (0..=self.nodes.len()).map(Value::at)
    }

    /// Returns the number of classes: the elements of the main output.
    pub fn classes(&self) -> usize {
        self.shape(self.outputs[0].value).elements()
    }

    /// Returns the name of a value in files and messages: [`INPUT`] or its node's name.
    pub fn value_name(&self, value: Value) -> &str {
        value.node().map_or(INPUT, |i| &self.nodes[i].name)
    }

    /// Returns the shapes of a node's inputs.
    pub fn input_shapes(&self, node: &Node) -> Vec<Shape> {
        node.inputs.iter().map(|&v| self.shape(v).clone()).collect()
    }

    /// Returns the parameters of a node, in the order of its layer.
    pub fn node_params(&self, node: &Node) -> Vec<ParamSpec> {
        node.layer.def().params(&self.input_shapes(node))
    }

    /// Returns the full names of the parameters of the node at index `node`, in the order of its layer.
    pub fn param_names(&self, node: usize) -> impl Iterator<Item = String> {
        let node = &self.nodes[node];
        self.node_params(node).into_iter().map(|p| format!("{}.{}", node.name, p.name))
    }

    /// Returns all parameters with their full names, such as `conv1.weight`, in execution order.
    pub fn params(&self) -> Vec<(String, ParamSpec)> {
        let of_node = |node: &Node| {
            let name = node.name.clone();
            self.node_params(node).into_iter().map(move |p| (format!("{name}.{}", p.name), p))
        };
        self.nodes.iter().flat_map(of_node).collect()
    }

    /// Returns the part of the network that the output of the node `name` depends on. That output becomes the only one.
    ///
    /// # Errors
    /// Returns [`Error::Argument`] when there is no node of this name.
    pub fn until(&self, name: &str) -> Result<Graph> {
        let Some(last) = self.nodes.iter().position(|n| n.name == name) else {
            return Err(Error::argument("layer", format!("the name of a layer of `{}`", self.name), name));
        };
        self.part(Value::of_node(last))
    }

    /// Returns the part of the network that its main output depends on, without the auxiliary heads that help training.
    ///
    /// # Errors
    /// Returns the errors of [`Graph::new`]; none of them occurs for a part of a valid graph.
    pub fn without_auxiliary(&self) -> Result<Graph> {
        self.part(self.outputs[0].value)
    }

    /// Returns the part of the network that `output` depends on.
    fn part(&self, output: Value) -> Result<Graph> {
        let keep = reachable(&self.nodes, [output]);
        let (nodes, moved) = retain(self.nodes.clone(), &keep);
        let outputs = vec![Output { value: moved[output.index()], loss_weight: 1.0 }];
        Graph::new(self.name.clone(), self.input.clone(), nodes, outputs)
    }

    /// Returns, for each value by [`Value::index`], the indices of the nodes that read it.
    pub fn consumers(&self) -> Vec<Vec<usize>> {
        let mut consumers = vec![vec![]; self.nodes.len() + 1];
        for (i, node) in self.nodes.iter().enumerate() {
            for v in &node.inputs {
                consumers[v.index()].push(i);
            }
        }
        consumers
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
        if let Some(name) = first_duplicate(&mut names) {
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
