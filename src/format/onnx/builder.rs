//! The graph under construction, and the values that the names of a file stand for.

mod constants;
mod maps;

use std::collections::HashMap;
use std::sync::Arc;

use super::const_tensor::ConstTensor;
use super::node::{OnnxNode, ReadError, ReadResult, unsupported};
use super::value::{Activation, BATCH, OnnxValue, Scale};
use crate::error::{Error, Result};
use crate::graph::value_range::is_nonnegative;
use crate::graph::{INPUT, MAX_NODES, Node, Param, Tensors, Value};
use crate::layers::Layer;
use crate::tensor::{MAX_ELEMENTS, Shape, dims};

/// A graph value, the network's input or a node's output, with the facts that are known of it.
pub(super) struct ValueInfo {
    /// The node that computes the value; `None` for the network's input.
    pub node: Option<Node>,
    /// The shape of one sample.
    pub shape: Shape,
    /// The number of nodes that read the value.
    pub readers: usize,
    /// Whether all elements are known to be zero or positive.
    pub is_never_negative: bool,
    /// The scale whose multiples the elements are, if the file quantizes the value.
    pub scale: Option<Scale>,
}

/// Builds a graph from the nodes of a file, in their order.
pub(super) struct GraphBuilder<'a> {
    /// The values of the file by name.
    values: HashMap<&'a str, OnnxValue<'a>>,
    /// The number of times that each name is still to be read.
    remaining_uses: HashMap<&'a str, usize>,
    /// The values of the graph by [`Value::index`].
    infos: Vec<ValueInfo>,
    tensors: Tensors,
    /// The names of nodes, each with the number that the next node of this name gets.
    names: HashMap<String, usize>,
    /// The batch size that the file declares, if it declares one.
    batch: Option<i64>,
    /// The name of an input that the file has with its channels last and the network with its channels first.
    channels_first: Option<&'a str>,
    budget: Budget,
}

/// The bytes that may still be allocated for constants.
struct Budget(u64);

impl Budget {
    fn charge(&mut self, bytes: u64) -> Result<()> {
        let what = || "ONNX model: bytes of constants".into();
        let too_large = || Error::TooLarge { what: what(), actual: bytes, limit: self.0 };
        self.0 = self.0.checked_sub(bytes).ok_or_else(too_large)?;
        Ok(())
    }
}

/// The names of a file.
impl<'a> GraphBuilder<'a> {
    /// Starts without any value. `names_read` has each name as often as nodes and graph outputs read it; `budget` is
    /// the number of bytes that constants may take.
    pub(super) fn new(names_read: impl Iterator<Item = &'a str>, budget: u64) -> Self {
        let mut remaining_uses = HashMap::new();
        for name in names_read {
            *remaining_uses.entry(name).or_insert(0) += 1;
        }
        GraphBuilder {
            values: HashMap::new(),
            remaining_uses,
            infos: vec![],
            tensors: Tensors::default(),
            names: HashMap::from([(INPUT.to_string(), 2)]),
            batch: None,
            channels_first: None,
            budget: Budget(budget),
        }
    }

    /// Gives a name its value; returns the value that the name had before.
    pub(super) fn bind(&mut self, name: &'a str, value: OnnxValue<'a>) -> Option<OnnxValue<'a>> {
        self.values.insert(name, value)
    }

    /// Whether a name has a value.
    pub(super) fn is_bound(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// The number of times that a name is still to be read.
    pub(super) fn remaining_uses(&self, name: &str) -> usize {
        self.remaining_uses.get(name).copied().unwrap_or(0)
    }

    /// Whether the inputs that a node has just taken are read by no other node.
    pub(super) fn is_last_reader(&self, node: &OnnxNode) -> bool {
        node.proto.input.iter().all(|name| self.remaining_uses(name) == 0)
    }

    /// Whether input `i` is known while reading; true for an input that is left out.
    pub(super) fn is_constant(&self, node: &OnnxNode, i: usize) -> bool {
        let constant = |value: Option<&OnnxValue>| {
            use OnnxValue::{Constant, QuantizedConstant, Stored};
            matches!(value, Some(Stored(_) | Constant(_) | QuantizedConstant(_)))
        };
        node.input(i).is_none_or(|name| constant(self.values.get(name)))
    }

    /// Whether all inputs are known while reading.
    pub(super) fn is_all_constant(&self, node: &OnnxNode) -> bool {
        (0..node.input_count()).all(|i| self.is_constant(node, i))
    }

    /// Returns the value of input `i` without taking it.
    pub(super) fn peek(&self, node: &OnnxNode, i: usize) -> Option<&OnnxValue<'a>> {
        self.values.get(node.input(i)?)
    }

    /// Takes a value by name; a constant without further readers is moved out of the table.
    pub(super) fn take(&mut self, node: &OnnxNode, name: &str) -> ReadResult<OnnxValue<'a>> {
        let Some((key, value)) = self.values.get_key_value(name) else {
            return Err(node.invalid(
                "input",
                "a value that an earlier node or initializer makes",
                format!("`{name}`"),
            ));
        };
        let left = self.remaining_uses.get_mut(key).map_or(0, |n| {
            *n = n.saturating_sub(1);
            *n
        });
        let copied = match value {
            OnnxValue::Unknown => return Err(ReadError::DependsOnUnsupported),
            OnnxValue::Constant(_) | OnnxValue::QuantizedConstant(_) if left == 0 => {
                return Ok(self.values.insert(key, OnnxValue::Unknown).expect("found above"));
            }
            OnnxValue::Constant(constant) => ConstTensor::byte_size(&constant.shape, 8),
            OnnxValue::QuantizedConstant(constant) => ConstTensor::byte_size(constant.shape(), 1),
            _ => 0,
        };
        self.budget.charge(copied)?;
        Ok(value.clone())
    }

    /// Takes input `i`, which must not be left out.
    pub(super) fn input(&mut self, node: &OnnxNode, i: usize) -> ReadResult<OnnxValue<'a>> {
        match node.input(i) {
            Some(name) => self.take(node, name),
            None => Err(node.invalid(format!("input {i}"), "a value", "none")),
        }
    }

    /// Takes input `i` as floats that the network computes. Operators that move values also get integers and quantized
    /// values, which are moved as they are held.
    pub(super) fn activation(&mut self, node: &OnnxNode, i: usize) -> ReadResult<Activation> {
        match self.input(node, i)? {
            OnnxValue::Float(x) => Ok(x),
            OnnxValue::Integer(x) | OnnxValue::Quantized(x, _) if node.moves_values => Ok(x),
            OnnxValue::Stored(_) | OnnxValue::Constant(_) | OnnxValue::QuantizedConstant(_) => {
                unsupported(format!("input {i}: expected a value computed by the network, got a constant"))
            }
            _ => unsupported(format!("input {i}: expected floats, got quantized values")),
        }
    }

    /// Returns an output of a node in the form in which its first input is held, if the operator moves values.
    pub(super) fn held_like_input(&self, node: &OnnxNode, output: OnnxValue<'a>) -> OnnxValue<'a> {
        let input = self.peek(node, 0).filter(|_| node.moves_values);
        match (input, output) {
            (Some(OnnxValue::Integer(_)), OnnxValue::Float(x)) => OnnxValue::Integer(x),
            (Some(OnnxValue::Quantized(_, scale)), OnnxValue::Float(x)) => OnnxValue::Quantized(x, *scale),
            (_, output) => output,
        }
    }
}

/// The network's input.
impl<'a> GraphBuilder<'a> {
    /// Adds the network's input, once and before any node.
    pub(super) fn add_input(&mut self, shape: Shape) {
        debug_assert!(self.infos.is_empty(), "the input comes first");
        self.infos.push(ValueInfo { node: None, shape, readers: 0, is_never_negative: false, scale: None });
    }

    /// Notes the batch size that the file declares; `None` for a dynamic one.
    pub(super) fn set_batch(&mut self, batch: Option<i64>) {
        self.batch = batch;
    }

    /// Whether a dimension of a shape is the batch size: [`BATCH`], or the size that the file declares.
    pub(super) fn is_batch(&self, dim: i64) -> bool {
        dim == BATCH || self.batch == Some(dim)
    }

    /// Notes that the network takes this input with its channels first, so that transposing it has no effect.
    pub(super) fn set_channels_first(&mut self, name: &'a str) {
        self.channels_first = Some(name);
    }

    /// Whether a name is the input of [`GraphBuilder::set_channels_first`].
    pub(super) fn is_channels_first(&self, name: Option<&str>) -> bool {
        name.is_some() && self.channels_first == name
    }
}

/// Nodes.
impl GraphBuilder<'_> {
    /// Adds a layer with its parameters, in the layer's order, and returns its output. The new node is named after the
    /// file's node, followed by `suffix`.
    pub(super) fn emit(
        &mut self,
        node: &OnnxNode,
        suffix: &str,
        layer: impl Into<Layer>,
        inputs: &[Value],
        params: Vec<Arc<Param>>,
    ) -> ReadResult<Value> {
        let layer = layer.into();
        // The input has no node.
        if self.infos.len() > MAX_NODES {
            let what = "ONNX model: layers".into();
            return Err(Error::TooLarge { what, actual: MAX_NODES as u64 + 1, limit: MAX_NODES as u64 }.into());
        }
        let shapes: Vec<Shape> = inputs.iter().map(|&v| self.shape(v).clone()).collect();
        let shape = layer
            .def()
            .output_shape(&shapes)
            .map_err(|m| ReadError::Unsupported(format!("{}: expected {}, got {}", m.what, m.expected, m.actual)))?;
        if shape.elements() > MAX_ELEMENTS {
            let what = format!("ONNX node `{}`: elements of its output", node.name);
            return Err(Error::TooLarge { what, actual: shape.elements() as u64, limit: MAX_ELEMENTS as u64 }.into());
        }
        let name = self.unique_name(format!("{}{suffix}", node.name));
        let specs = layer.def().params(&shapes);
        assert_eq!(specs.len(), params.len(), "operators give every parameter");
        let scale = self.kept_scale(&layer, inputs);
        let graph_node = Node { name, layer, inputs: inputs.to_vec() };
        let is_never_negative = is_nonnegative(&graph_node, |v| self.is_never_negative(v), Some(&params));
        for (spec, param) in specs.iter().zip(params) {
            if spec.shape != param.shape() {
                let expected = dims(&spec.shape);
                return Err(node.invalid(format!("shape of `{}`", spec.name), expected, dims(param.shape())));
            }
            self.tensors.insert(format!("{}.{}", graph_node.name, spec.name), param);
        }
        inputs.iter().for_each(|v| self.infos[v.index()].readers += 1);
        self.infos.push(ValueInfo { node: Some(graph_node), shape, readers: 0, is_never_negative, scale });
        Ok(Value::of_node(self.infos.len() - 2))
    }

    /// Adds a layer like [`GraphBuilder::emit`] and returns its output in the shape that the layer gives it.
    pub(super) fn emit_activation(
        &mut self,
        node: &OnnxNode,
        suffix: &str,
        layer: impl Into<Layer>,
        inputs: &[Value],
        params: Vec<Arc<Param>>,
    ) -> ReadResult<Activation> {
        let value = self.emit(node, suffix, layer, inputs, params)?;
        Ok(Activation::new(value, self.shape(value).dims()))
    }

    /// Adds a layer without parameters that keeps the shape and treats all elements alike, whatever their shape is.
    pub(super) fn emit_elementwise(
        &mut self,
        node: &OnnxNode,
        suffix: &str,
        layer: impl Into<Layer>,
        x: &Activation,
    ) -> ReadResult<Activation> {
        let value = self.emit(node, suffix, layer, &[self.preferred_alias(x)], vec![])?;
        Ok(Activation::new(value, &x.dims))
    }

    fn unique_name(&mut self, base: String) -> String {
        let mut name = base.clone();
        while self.names.contains_key(&name) {
            let next = self.names.entry(base.clone()).or_insert(2);
            name = format!("{base}_{next}");
            *next += 1;
        }
        self.names.insert(name.clone(), 2);
        name
    }

    /// Returns the shape of one sample.
    pub(super) fn shape(&self, value: Value) -> &Shape {
        &self.infos[value.index()].shape
    }

    /// Returns the node that computes a value; `None` for the network's input.
    pub(super) fn producer(&self, value: Value) -> Option<&Node> {
        self.infos[value.index()].node.as_ref()
    }

    /// Returns the node that computes a value, and all weights, in order to change both: the caller then tells
    /// [`GraphBuilder::forget_sign_and_scale`]. `None` for the network's input and for a value that a node has read.
    pub(super) fn unread_producer(&mut self, value: Value) -> Option<(&mut Node, &mut Tensors)> {
        let info = self.infos.get_mut(value.index()).filter(|info| info.readers == 0)?;
        Some((info.node.as_mut()?, &mut self.tensors))
    }

    /// Forgets sign and scale of a value whose node has changed.
    pub(super) fn forget_sign_and_scale(&mut self, value: Value) {
        let info = &mut self.infos[value.index()];
        (info.is_never_negative, info.scale) = (false, None);
    }

    /// Ends the construction: the network's input and the nodes' outputs, and all weights.
    pub(super) fn finish(self) -> (Vec<ValueInfo>, Tensors) {
        (self.infos, self.tensors)
    }
}

/// Signs and scales.
impl GraphBuilder<'_> {
    /// Whether all elements of a value are known to be zero or positive.
    pub(super) fn is_never_negative(&self, value: Value) -> bool {
        self.infos[value.index()].is_never_negative
    }

    /// Returns the scale whose multiples a value is, if the file quantizes it.
    pub(super) fn scale(&self, value: Value) -> Option<Scale> {
        self.infos[value.index()].scale
    }

    /// Notes the scale of an activation that was just made.
    pub(super) fn set_scale(&mut self, x: &Activation, scale: Scale) {
        x.aliases.iter().for_each(|v| self.infos[v.index()].scale = Some(scale));
    }

    /// Returns the scale of a layer's output: the inputs' scale, if it is one and the layer's output holds values of
    /// its inputs and zeros only.
    fn kept_scale(&self, layer: &Layer, inputs: &[Value]) -> Option<Scale> {
        use Layer as L;
        let moves = matches!(layer, L::MaxPool2d(_) | L::Relu(_) | L::Dropout(_) | L::Flatten(_) | L::Concat(_))
            || matches!(layer, L::Slice(_) | L::ChannelShuffle(_) | L::Permute(_));
        let scale = self.scale(*inputs.first()?);
        scale.filter(|_| moves && inputs.iter().all(|&v| self.scale(v) == scale))
    }
}
