//! A graph of a file, node by node, to a network.

use std::collections::{BTreeMap, HashSet};

use super::builder::{GraphBuilder, ValueInfo};
use super::decode::{Constant, decode};
use super::node::{OnnxNode, ReadError, ReadResult, operator_name, unsupported};
use super::proto::{DataType, DimensionProto, GraphProto, NodeProto, ValueInfoProto};
use super::registry;
use super::scan::MODEL;
use super::value::{Activation, OnnxValue, Scale};
use crate::error::{Error, Result};
use crate::graph::reachable::{reachable, retain};
use crate::graph::{Graph, Node, Output, Params, Ranges, Tensors, Value};
use crate::layers::{Dropout, Layer, Slice};
use crate::quant::is_range;
use crate::tensor::quantized::INPUT_LEVELS;
use crate::tensor::{MAX_ELEMENTS, Shape, Tensor};

/// The network of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The network. Nodes keep their names where these are unique.
    pub graph: Graph,
    /// The weights.
    pub params: Params,
    /// The 8-bit scales of values that the file quantizes, by the name of the node that computes the value.
    pub scales: BTreeMap<String, Scale>,
    /// The outputs of the file that the network does not have: numbers of classes beside the outputs they come from.
    pub left_out: Vec<String>,
}

/// Options for reading a file.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Values for inputs that are to be constants of the network, by name. None by default.
    pub constants: BTreeMap<String, Constant>,
    /// Takes several inputs as one, stacked along channels, or all numbers in a row where the maps differ in size. Off
    /// by default: a file with several inputs is refused.
    pub stack_inputs: bool,
    /// The most bytes that may be allocated for constants, weights included; by default 16 times the file and a MiB.
    /// Files whose weights are made by `ConstantOfShape` need more.
    pub constant_bytes: Option<u64>,
}

/// Reads a graph into a network. `budget` is the number of bytes that constants may take.
pub(super) fn import(proto: &GraphProto, opset: i64, budget: u64, options: &Options) -> Result<Imported> {
    let mut importer = Importer::new(proto, opset, budget);
    importer.bind_constants(options)?;
    let input = importer.bind_inputs(options.stack_inputs)?;
    importer.read_nodes()?;
    importer.finish(input)
}

/// Computes the outputs of a graph that depends on constants only.
pub(super) fn fold(proto: &GraphProto, opset: i64, budget: u64, options: &Options) -> Result<Vec<Tensor>> {
    let mut importer = Importer::new(proto, opset, budget);
    importer.bind_constants(options)?;
    importer.read_nodes()?;
    importer.constant_outputs()
}

/// The state of reading one graph.
struct Importer<'a> {
    proto: &'a GraphProto,
    /// The nodes that the outputs depend on, in the file's order.
    nodes: Vec<&'a NodeProto>,
    /// The outputs that are read.
    outputs: Vec<&'a str>,
    opset: i64,
    builder: GraphBuilder<'a>,
    /// Messages about unsupported nodes, inputs and outputs, in the file's order.
    problems: Vec<String>,
}

impl<'a> Importer<'a> {
    fn new(proto: &'a GraphProto, opset: i64, budget: u64) -> Self {
        let outputs = outputs_to_read(proto);
        let nodes = needed_nodes(proto, &outputs);
        let inputs = nodes.iter().flat_map(|n| &n.input).map(String::as_str);
        let builder = GraphBuilder::new(inputs.chain(outputs.iter().copied()), budget);
        Importer { proto, nodes, outputs, opset, builder, problems: vec![] }
    }

    /// Gives initializers and the constants of the options their values.
    fn bind_constants(&mut self, options: &'a Options) -> Result<()> {
        for tensor in &self.proto.initializer {
            if self.builder.bind(&tensor.name, OnnxValue::Stored(tensor)).is_some() {
                return Err(Error::format("ONNX initializers", "unique names", format!("`{}` twice", tensor.name)));
            }
        }
        for (name, tensor) in &options.constants {
            self.builder.bind(name, OnnxValue::Stored(tensor.proto()));
        }
        Ok(())
    }

    /// Finds the inputs that are no constants, and returns the shape of the network's input. Before IR version 4,
    /// constants are listed as inputs too.
    fn bind_inputs(&mut self, stack: bool) -> Result<Shape> {
        let free = self.proto.input.iter().filter(|i| !self.builder.is_bound(&i.name));
        // Converters leave inputs that no node reads.
        let mut inputs: Vec<&ValueInfoProto> =
            free.clone().filter(|i| self.builder.remaining_uses(&i.name) > 0).collect();
        if inputs.is_empty() {
            inputs.extend(free.take(1));
        }
        match inputs[..] {
            [] => Err(Error::format(MODEL, "an input", "none")),
            [info] => self.bind_input(info),
            _ if stack => self.bind_stacked(&inputs),
            [first, ref rest @ ..] => {
                let rest: Vec<&str> = rest.iter().map(|i| i.name.as_str()).collect();
                let rest = rest.join("`, `");
                self.problem(format!("input `{}` (graph): expected one, got also `{rest}`", first.name));
                Err(self.unsupported_error())
            }
        }
    }

    fn bind_input(&mut self, info: &'a ValueInfoProto) -> Result<Shape> {
        let mut sample = self.sample_dims(info)?;
        if let [h, w, c @ 1..=4] = sample[..]
            && is_only_transposed_to_channels_first(&self.nodes, &self.outputs, &info.name)
        {
            self.builder.set_channels_first(&info.name);
            sample = vec![c, h, w];
        }
        // A sample of other dimensions than three becomes a vector, or a map whose channels are the first dimension.
        let shape = match sample[..] {
            [] | [_] => Shape::from([product(&sample)]),
            [c, h, w] => Shape::from([c, h, w]),
            [c, ref rest @ ..] => Shape::from([c, product(rest), 1]),
        };
        self.builder.add_input(shape.clone());
        self.bind_value(info, Activation::new(Value::INPUT, &sample));
        Ok(shape)
    }

    /// Binds several inputs to slices of one input.
    fn bind_stacked(&mut self, inputs: &[&'a ValueInfoProto]) -> Result<Shape> {
        let samples: Vec<Vec<usize>> = inputs.iter().map(|info| self.sample_dims(info)).collect::<Result<_>>()?;
        let are_maps = samples.iter().all(|s| s.len() == 3 && s[1..] == samples[0][1..]);
        let area = if are_maps { [samples[0][1], samples[0][2]] } else { [1, 1] };
        let channels = |sample: &[usize]| product(sample) / product(&area);
        let total = samples.iter().fold(0usize, |n, s| n.saturating_add(channels(s)));
        let shape = Shape::from([total, area[0], area[1]]);
        self.builder.add_input(shape.clone());
        let mut start = 0;
        for (info, sample) in inputs.iter().zip(&samples) {
            let end = start + channels(sample);
            let slice = Slice { start: [start, 0, 0], end: [end, area[0], area[1]], step: [1; 3] };
            let value = self.with_graph_node(&format!("{}.slice", info.name), |builder, node| {
                builder.emit(node, "", slice, &[Value::INPUT], vec![])
            });
            let value = value.map_err(|error| match error {
                ReadError::Invalid(error) => error,
                _ => Error::format(MODEL, "inputs that can be stacked", "others"),
            })?;
            self.bind_value(info, Activation::new(value, sample));
            start = end;
        }
        Ok(shape)
    }

    /// Calls a function with a node of the graph itself, which has a name but no operator.
    fn with_graph_node<T>(
        &mut self,
        name: &str,
        call: impl FnOnce(&mut GraphBuilder<'a>, &OnnxNode) -> ReadResult<T>,
    ) -> ReadResult<T> {
        let proto = NodeProto::default();
        let node = OnnxNode { proto: &proto, name: name.into(), opset: self.opset, moves_values: false };
        call(&mut self.builder, &node)
    }

    fn bind_value(&mut self, info: &'a ValueInfoProto, x: Activation) {
        let integers = [DataType::Uint8, DataType::Int8, DataType::Int32];
        let is_integer = integers.iter().any(|&t| elem_type(info) == i32::from(t));
        self.builder.bind(&info.name, if is_integer { OnnxValue::Integer(x) } else { OnnxValue::Float(x) });
    }

    /// Returns the shape of one sample of an input, and notes the batch size.
    fn sample_dims(&mut self, info: &ValueInfoProto) -> Result<Vec<usize>> {
        let sizes = input_sizes(info)?;
        self.builder.set_batch(sizes[0]);
        let what = || format!("ONNX input `{}`", info.name);
        let known = |d: &Option<i64>| d.and_then(|d| usize::try_from(d).ok());
        let sample: Option<Vec<usize>> = sizes[1..].iter().map(known).collect();
        let sample =
            sample.ok_or_else(|| Error::format(what(), "fixed dimensions after the batch", "a dynamic one"))?;
        let elements = Shape::new(sample.clone()).elements();
        if !(1..=MAX_ELEMENTS).contains(&elements) {
            let what = format!("ONNX input `{}`: elements", info.name);
            return Err(Error::TooLarge { what, actual: elements as u64, limit: MAX_ELEMENTS as u64 });
        }
        Ok(sample)
    }

    fn read_nodes(&mut self) -> Result<()> {
        for (i, proto) in std::mem::take(&mut self.nodes).into_iter().enumerate() {
            let mut names = std::iter::once(&proto.name).chain(&proto.output);
            let name = names.find(|name| !name.is_empty()).cloned();
            let name = name.unwrap_or_else(|| format!("{}_{i}", proto.op_type.to_lowercase()));
            let operator = registry::find(&proto.domain, &proto.op_type);
            let moves_values = operator.is_some_and(|operator| operator.moves_values);
            self.read_node(&OnnxNode { proto, name, opset: self.opset, moves_values })?;
        }
        Ok(())
    }

    /// Reads one node. An unsupported node is noted, and its outputs become unknown.
    fn read_node(&mut self, node: &OnnxNode<'a>) -> Result<()> {
        let of_node = || format!("node `{}` ({})", node.name, operator_name(node.proto));
        let (outputs, is_supported) = match registry::read(&mut self.builder, node) {
            Ok(outputs) => (outputs, true),
            Err(ReadError::Invalid(error)) => return Err(error),
            Err(ReadError::DependsOnUnsupported) => (vec![], false),
            Err(ReadError::Unsupported(reason)) => {
                self.problem(format!("{}: {reason}", of_node()));
                (vec![], false)
            }
        };
        let mut outputs = outputs.into_iter();
        for name in node.proto.output.iter().filter(|name| !name.is_empty()) {
            let value = outputs.next().unwrap_or(OnnxValue::Unknown);
            if is_supported && matches!(value, OnnxValue::Unknown) && self.builder.remaining_uses(name) > 0 {
                self.problem(format!("{}: output `{name}` is not computed", of_node()));
            }
            if self.builder.bind(name, value).is_some() {
                return Err(Error::format(MODEL, "values with one producer each", format!("`{name}` twice")));
            }
        }
        Ok(())
    }

    /// Notes something that is not supported.
    fn problem(&mut self, problem: String) {
        /// A hostile file could make any number of problems.
        const MAX_PROBLEMS: usize = 200;
        match self.problems.len() {
            n if n < MAX_PROBLEMS => self.problems.push(problem.chars().take(500).collect()),
            MAX_PROBLEMS => self.problems.push("and more".into()),
            _ => {}
        }
    }

    fn unsupported_error(&mut self) -> Error {
        Error::Unsupported { what: MODEL.into(), problems: std::mem::take(&mut self.problems) }
    }

    /// Ends in an error if something is not supported.
    fn check_supported(&mut self) -> Result<()> {
        if self.problems.is_empty() { Ok(()) } else { Err(self.unsupported_error()) }
    }

    /// Returns the graph's outputs, which must be constants.
    fn constant_outputs(mut self) -> Result<Vec<Tensor>> {
        let mut outputs = vec![];
        for name in std::mem::take(&mut self.outputs) {
            match self.with_graph_node(name, |builder, node| builder.take(node, name)) {
                Ok(OnnxValue::Stored(tensor)) => outputs.push(decode(tensor)?.into_tensor()),
                Ok(OnnxValue::Constant(constant)) => outputs.push(constant.into_tensor()),
                Ok(OnnxValue::QuantizedConstant(constant)) => outputs.push(constant.dequantize()),
                Err(ReadError::Invalid(error)) => return Err(error),
                _ => self.problem(format!("output `{name}` (graph): expected a constant")),
            }
        }
        self.check_supported()?;
        Ok(outputs)
    }

    fn finish(mut self, input: Shape) -> Result<Imported> {
        let mut outputs: Vec<Value> = vec![];
        let names = std::mem::take(&mut self.outputs);
        for name in &names {
            match self.with_graph_node(name, |builder, node| graph_output(builder, node, name)) {
                Ok(value) if outputs.contains(&value) => {}
                Ok(value) => outputs.push(value),
                Err(ReadError::Unsupported(reason)) => {
                    self.problem(format!("output `{name}` (graph): {reason}"));
                }
                Err(ReadError::DependsOnUnsupported) => {}
                Err(ReadError::Invalid(error)) => return Err(error),
            }
        }
        self.check_supported()?;
        let name = if self.proto.name.is_empty() { "onnx" } else { &self.proto.name };
        let (infos, tensors) = self.builder.finish();
        let Network { nodes, scales, outputs, tensors } = without_unused(infos, tensors, &outputs);
        let graph = Graph::new(name, input, nodes, outputs)?;
        let params = Params::new(&graph, tensors)?.calibrated(&graph, &ranges(&graph, &scales));
        let named = |(node, scale): (&Node, &Option<Scale>)| Some((node.name.clone(), (*scale)?));
        // The first scale belongs to the network's input.
        let scales = graph.nodes().iter().zip(&scales[1..]).filter_map(named).collect();
        let left_out = self.proto.output.iter().map(|o| &o.name).filter(|name| !names.contains(&name.as_str()));
        Ok(Imported { graph, params, scales, left_out: left_out.cloned().collect() })
    }
}

/// Returns the outputs that are read: all but numbers of classes, which follow from another output.
fn outputs_to_read(proto: &GraphProto) -> Vec<&str> {
    let all = || proto.output.iter().map(|output| output.name.as_str());
    let kept: Vec<&str> = all().filter(|name| !is_number_of_class(proto, name)).collect();
    if kept.is_empty() { all().collect() } else { kept }
}

/// Whether a value is the index of a largest element, possibly converted or in another shape.
fn is_number_of_class(proto: &GraphProto, name: &str) -> bool {
    let mut name = name;
    for node in proto.node.iter().rev() {
        if !node.output.iter().any(|output| output == name) {
            continue;
        }
        match (node.op_type.as_str(), node.input.first()) {
            ("ArgMax", _) => return true,
            ("Cast" | "Identity" | "Squeeze" | "Unsqueeze" | "Reshape" | "Flatten", Some(input)) => name = input,
            _ => return false,
        }
    }
    false
}

/// Returns the nodes that `outputs` depend on, in the file's order.
fn needed_nodes<'a>(proto: &'a GraphProto, outputs: &[&'a str]) -> Vec<&'a NodeProto> {
    let mut needed: HashSet<&str> = outputs.iter().copied().collect();
    let mut nodes: Vec<&NodeProto> = vec![];
    for node in proto.node.iter().rev() {
        if node.output.iter().any(|name| !name.is_empty() && needed.contains(name.as_str())) {
            needed.extend(node.input.iter().map(String::as_str));
            nodes.push(node);
        }
    }
    nodes.reverse();
    nodes
}

/// Takes an output of the graph: a vector where ONNX has a vector, and never the network's input itself.
fn graph_output(builder: &mut GraphBuilder, node: &OnnxNode, name: &str) -> ReadResult<Value> {
    let x = match builder.take(node, name)? {
        OnnxValue::Float(x) | OnnxValue::Integer(x) | OnnxValue::Quantized(x, _) => x,
        OnnxValue::Stored(_) | OnnxValue::Constant(_) | OnnxValue::QuantizedConstant(_) => {
            return unsupported("expected a value that depends on the input, got a constant");
        }
        _ => return unsupported("expected floats, got integers whose scale depends on them"),
    };
    let value = if x.dims.len() == 1 { builder.vector(node, &x)? } else { builder.preferred_alias(&x) };
    if value == Value::INPUT {
        return builder.emit(node, ".identity", Dropout { p: 0.0 }, &[value], vec![]);
    }
    Ok(value)
}

/// The parts of a network.
struct Network {
    nodes: Vec<Node>,
    /// The scale of each value, by [`Value::index`].
    scales: Vec<Option<Scale>>,
    outputs: Vec<Output>,
    tensors: Tensors,
}

/// Leaves out the nodes that no output depends on, with their weights.
fn without_unused(infos: Vec<ValueInfo>, mut tensors: Tensors, outputs: &[Value]) -> Network {
    let scales: Vec<Option<Scale>> = infos.iter().map(|info| info.scale).collect();
    let nodes: Vec<Node> = infos.into_iter().filter_map(|info| info.node).collect();
    let keep = reachable(&nodes, outputs.iter().copied());
    for (node, _) in nodes.iter().zip(&keep[1..]).filter(|(_, keep)| !**keep) {
        /// The names of all layers' parameters.
        const PARAMETERS: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];
        for parameter in PARAMETERS {
            tensors.remove(&format!("{}.{parameter}", node.name));
        }
    }
    // The input's scale stays even if no output depends on the input.
    let is_kept = |(i, _): &(usize, Option<Scale>)| *i == 0 || keep[*i];
    let scales = scales.into_iter().enumerate().filter(is_kept).map(|(_, scale)| scale).collect();
    let (nodes, map) = retain(nodes, &keep);
    // The first output is the main one; other outputs have no part in a loss.
    let weight = |i| if i == 0 { 1.0 } else { 0.0 };
    let output = |(i, v): (usize, &Value)| Output { value: map[v.index()], loss_weight: weight(i) };
    let outputs = outputs.iter().enumerate().map(output).collect();
    Network { nodes, scales, outputs, tensors }
}

/// Returns the range of the input of each convolution and linear layer whose input has a scale: the range that makes a
/// layer in integers use the file's scale. A quantized value less its zero point never exceeds [`INPUT_LEVELS`].
fn ranges(graph: &Graph, scales: &[Option<Scale>]) -> Ranges {
    let mut ranges = Ranges::default();
    for node in graph.nodes() {
        if let (Layer::Conv2d(_) | Layer::Linear(_), Some(scale)) = (&node.layer, scales[node.inputs[0].index()]) {
            let range = scale.scale * INPUT_LEVELS;
            if is_range(range) {
                ranges.insert(node.name.clone(), range);
            }
        }
    }
    ranges
}

fn product(dims: &[usize]) -> usize {
    dims.iter().product()
}

/// Whether all readers of an image with channels last are transposes that bring the channels first.
fn is_only_transposed_to_channels_first(nodes: &[&NodeProto], outputs: &[&str], name: &str) -> bool {
    let mut readers = nodes.iter().filter(|node| node.input.iter().any(|input| input == name)).peekable();
    let brings_channels_first = |node: &&NodeProto| {
        let perm = node.attribute.iter().find(|a| a.name == "perm");
        node.op_type == "Transpose" && perm.is_some_and(|perm| perm.ints == [0, 3, 1, 2])
    };
    readers.peek().is_some() && readers.all(brings_channels_first) && !outputs.contains(&name)
}

fn elem_type(info: &ValueInfoProto) -> i32 {
    info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()).map_or(0, |t| t.elem_type)
}

/// Returns the sizes of an input, the batch first; `None` for dynamic ones.
fn input_sizes(info: &ValueInfoProto) -> Result<Vec<Option<i64>>> {
    use DataType as D;
    const READ: [DataType; 6] = [D::Float, D::Float16, D::Double, D::Uint8, D::Int8, D::Int32];
    let what = || format!("ONNX input `{}`", info.name);
    let tensor = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let Some(shape) = tensor.and_then(|t| t.shape.as_ref()) else {
        return Err(Error::format(what(), "a tensor of known rank", "none"));
    };
    let kind = elem_type(info);
    if !READ.iter().any(|&t| kind == i32::from(t)) {
        let problem = format!("input `{}` (graph): expected floats, bytes or int32, got data type {kind}", info.name);
        return Err(Error::Unsupported { what: MODEL.into(), problems: vec![problem] });
    }
    if shape.dim.is_empty() || shape.dim.len() > 8 {
        return Err(Error::format(what(), "1 to 8 dimensions", shape.dim.len()));
    }
    // A dimension with a name is dynamic.
    let size = |d: &DimensionProto| d.dim_value.filter(|_| d.dim_param.is_none());
    Ok(shape.dim.iter().map(size).collect())
}
