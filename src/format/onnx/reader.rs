//! ONNX values to Convoke's: names, constants, activations and the nodes that are made on the way.

use std::collections::HashMap;
use std::sync::Arc;

use super::coded::Coded;
use super::host::Host;
use super::node::{Op, Step, Stop, unsupported};
use super::proto::{DataType, DimensionProto, DimensionValue, GraphProto, NodeProto, TensorProto, ValueInfoProto};
use super::{Imported, Options, Scale, linear, operators};
use crate::error::{Error, Result};
use crate::graph::reachable;
use crate::graph::value_range::is_nonnegative;
use crate::graph::{Graph, INPUT, MAX_NODES, Node, Output, Param, Params, Ranges, Tensors, Value};
use crate::layers::{Dropout, Flatten, Layer, Permute, Slice};
use crate::quant;
use crate::tensor::quantized;
use crate::tensor::{MAX_ELEMENTS, Shape, Tensor, dims};

/// The batch size in shape arithmetic: no real dimension is so large, and its sums and products with real ones stay
/// exact, so what depends on it is seen at once.
pub(super) const BATCH: i64 = 1 << 36;

/// A value that depends on the network's input.
///
/// Its shape is ONNX's. As Convoke knows only maps and vectors, other shapes are views: the numbers of `forms`, in
/// their order.
#[derive(Debug, Clone)]
pub(super) struct Activation {
    /// Values of the graph that hold exactly these numbers, for example before and after a flatten.
    pub forms: Vec<Value>,
    /// The shape of one sample.
    pub dims: Vec<usize>,
    /// Whether no other ONNX value has these forms.
    pub fresh: bool,
}

impl Activation {
    pub(super) fn new(value: Value, dims: &[usize]) -> Self {
        Activation { forms: vec![value], dims: dims.to_vec(), fresh: true }
    }

    /// The same numbers in another shape.
    pub(super) fn view(&self, dims: Vec<usize>) -> Self {
        Activation { forms: self.forms.clone(), dims, fresh: false }
    }

    pub(super) fn elements(&self) -> usize {
        self.dims.iter().product()
    }

    /// The shape with the batch, as messages show it.
    pub(super) fn text(&self) -> String {
        std::iter::once("N".to_string()).chain(self.dims.iter().map(usize::to_string)).collect::<Vec<_>>().join("x")
    }
}

/// What a name of the file stands for.
#[derive(Debug, Clone)]
pub(super) enum Val<'a> {
    /// In the file, not yet decoded.
    Stored(&'a TensorProto),
    /// Computed while reading.
    Const(Host),
    /// The same, of weights in 8 bits.
    Coded(Coded),
    /// Computed by the network.
    Act(Activation),
    /// Integers that the network is given or computes exactly, held as floats.
    Codes(Activation),
    /// Computed by the network, in 8 bits with this scale.
    Quantized(Activation, Scale),
    /// Integers with a scale that depends on the values: see [`super::quantized`]. The value that was quantized.
    Dynamic(Activation, Value),
    /// The scale (floats) or zero point (integers) of the [`Val::Dynamic`] of a value, times a constant.
    DynamicScale(Value, Host),
    /// The output of a node that is not supported.
    Unknown,
}

/// The state of reading one graph.
pub(super) struct Reader<'a> {
    values: HashMap<&'a str, Val<'a>>,
    /// How often each name is still to be read.
    uses: HashMap<&'a str, usize>,
    nodes: Vec<Node>,
    shapes: Vec<Shape>,
    /// How many nodes read each value.
    readers: Vec<usize>,
    /// Which values are known to hold positive numbers and zero only.
    never_negative: Vec<bool>,
    tensors: Tensors,
    /// The names of nodes, each with the number that the next of this name gets.
    names: HashMap<String, usize>,
    /// The scale with which each value is a multiple of a step, where the file gives it one.
    scales: Vec<Option<Scale>>,
    /// The batch size that the file says, if it says one.
    batch: Option<i64>,
    /// An input that the file has with its channels last, and the network with its channels first.
    channels_first: Option<&'a str>,
    /// Bytes that may still be allocated for constants.
    budget: u64,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    /// Reads a whole graph.
    pub(super) fn read(proto: &'a GraphProto, opset: i64, budget: u64, options: &'a Options) -> Result<Imported> {
        let mut reader = Reader::new(proto, budget);
        reader.bind_initializers(proto, options)?;
        let input = reader.bind_inputs(proto, options.stack_inputs)?;
        reader.nodes(proto, opset)?;
        reader.finish(proto, input)
    }

    /// The outputs of a graph that depends on constants only.
    pub(super) fn fold(proto: &'a GraphProto, opset: i64, budget: u64, options: &'a Options) -> Result<Vec<Tensor>> {
        let mut reader = Reader::new(proto, budget);
        reader.bind_initializers(proto, options)?;
        reader.nodes(proto, opset)?;
        let mut outputs = vec![];
        for info in &proto.output {
            let op = Op { proto: &NodeProto::default(), name: info.name.clone(), opset };
            match reader.take(&op, &info.name) {
                Ok(Val::Stored(tensor)) => outputs.push(Host::decode(tensor)?.into_tensor()),
                Ok(Val::Const(host)) => outputs.push(host.into_tensor()),
                Ok(Val::Coded(coded)) => outputs.push(coded.floats()),
                Err(Stop::Invalid(error)) => return Err(error),
                _ => reader.problem(format!("output `{}` (graph): expected a constant", info.name)),
            }
        }
        reader.refuse()?;
        Ok(outputs)
    }

    fn nodes(&mut self, proto: &'a GraphProto, opset: i64) -> Result<()> {
        for (i, node) in proto.node.iter().enumerate() {
            let base = [node.name.as_str()].into_iter().chain(node.output.iter().map(String::as_str));
            let base = base.into_iter().find(|name| !name.is_empty());
            let name = base.map_or_else(|| format!("{}_{i}", node.op_type.to_lowercase()), str::to_string);
            self.node(&Op { proto: node, name, opset })?;
        }
        Ok(())
    }

    /// Ends in an error if something is not supported.
    fn refuse(&mut self) -> Result<()> {
        match std::mem::take(&mut self.problems) {
            problems if problems.is_empty() => Ok(()),
            problems => Err(Error::Unsupported { what: WHAT.into(), problems }),
        }
    }

    fn new(proto: &'a GraphProto, budget: u64) -> Self {
        let mut uses = HashMap::new();
        let inputs = proto.node.iter().flat_map(|n| &n.input);
        for name in inputs.chain(proto.output.iter().map(|o| &o.name)) {
            *uses.entry(name.as_str()).or_insert(0) += 1;
        }
        Reader {
            values: HashMap::new(),
            uses,
            nodes: vec![],
            shapes: vec![],
            readers: vec![0],
            never_negative: vec![false],
            tensors: Tensors::default(),
            names: HashMap::from([(INPUT.to_string(), 2)]),
            scales: vec![None],
            batch: None,
            channels_first: None,
            budget,
            problems: vec![],
        }
    }

    fn bind_initializers(&mut self, proto: &'a GraphProto, options: &'a Options) -> Result<()> {
        for tensor in &proto.initializer {
            if self.values.insert(&tensor.name, Val::Stored(tensor)).is_some() {
                return Err(Error::format("ONNX initializers", "unique names", format!("`{}` twice", tensor.name)));
            }
        }
        for (name, tensor) in &options.constants {
            self.values.insert(name, Val::Stored(&tensor.0));
        }
        Ok(())
    }

    /// Finds the inputs that are no constants; from IR version 4 on, only such inputs are listed, before, all are.
    fn bind_inputs(&mut self, proto: &'a GraphProto, stack: bool) -> Result<Shape> {
        let free = proto.input.iter().filter(|i| !self.values.contains_key(i.name.as_str()));
        // Converters leave inputs behind that nobody reads.
        let mut inputs: Vec<&ValueInfoProto> = free.clone().filter(|i| self.left(&i.name) > 0).collect();
        if inputs.is_empty() {
            inputs.extend(free.take(1));
        }
        match inputs[..] {
            [] => Err(Error::format("ONNX model", "an input", "none")),
            [info] => self.bind_input(proto, info),
            _ if stack => self.bind_stacked(&inputs),
            [first, ref rest @ ..] => {
                let rest: Vec<&str> = rest.iter().map(|i| i.name.as_str()).collect();
                self.problem(format!("input `{}` (graph): expected one, got also `{}`", first.name, rest.join("`, `")));
                self.refuse()?;
                unreachable!("there is a problem")
            }
        }
    }

    fn bind_input(&mut self, proto: &'a GraphProto, info: &'a ValueInfoProto) -> Result<Shape> {
        let mut sample = self.sample(info)?;
        if let [h, w, c @ 1..=4] = sample[..]
            && is_only_transposed(proto, &info.name)
        {
            self.channels_first = Some(&info.name);
            sample = vec![c, h, w];
        }
        // Without two spatial dimensions, at least the channels are channels.
        let shape = match sample[..] {
            [] | [_] => Shape::from([product(&sample)]),
            [c, h, w] => Shape::from([c, h, w]),
            [c, ref rest @ ..] => Shape::from([c, product(rest), 1]),
        };
        self.shapes.push(shape.clone());
        self.bind_value(info, Activation::new(Value::INPUT, &sample));
        Ok(shape)
    }

    /// Binds several inputs to slices of one, stacked along channels (or, where their maps differ, as numbers).
    fn bind_stacked(&mut self, inputs: &[&'a ValueInfoProto]) -> Result<Shape> {
        let samples: Vec<Vec<usize>> = inputs.iter().map(|info| self.sample(info)).collect::<Result<_>>()?;
        let maps = samples.iter().all(|s| s.len() == 3 && s[1..] == samples[0][1..]);
        let area = if maps { [samples[0][1], samples[0][2]] } else { [1, 1] };
        let channels = |sample: &[usize]| product(sample) / product(&area);
        let total = samples.iter().fold(0usize, |n, s| n.saturating_add(channels(s)));
        let shape = Shape::from([total, area[0], area[1]]);
        self.shapes.push(shape.clone());
        let mut start = 0;
        for (info, sample) in inputs.iter().zip(&samples) {
            let end = start + channels(sample);
            let slice = Slice { start: [start, 0, 0], end: [end, area[0], area[1]], step: [1; 3] };
            let op = Op { proto: &NodeProto::default(), name: format!("{}.slice", info.name), opset: 0 };
            let value = match self.emit(&op, "", slice, &[Value::INPUT], vec![]) {
                Ok(value) => value,
                Err(Stop::Invalid(error)) => return Err(error),
                Err(_) => return Err(Error::format(WHAT, "inputs that can be stacked", "others")),
            };
            self.bind_value(info, Activation::new(value, sample));
            start = end;
        }
        Ok(shape)
    }

    /// Whether a transpose of this name was done before the network began.
    pub(super) fn is_transposed(&self, name: Option<&str>) -> bool {
        name.is_some() && self.channels_first == name
    }

    fn bind_value(&mut self, info: &'a ValueInfoProto, x: Activation) {
        let integers = [DataType::Uint8, DataType::Int8, DataType::Int32];
        let is_integer = integers.iter().any(|&t| elem_type(info) == i32::from(t));
        self.values.insert(&info.name, if is_integer { Val::Codes(x) } else { Val::Act(x) });
    }

    /// The shape of one sample of an input; notes the batch size.
    fn sample(&mut self, info: &ValueInfoProto) -> Result<Vec<usize>> {
        let sizes = input_sizes(info)?;
        self.batch = sizes[0];
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

    /// Reads one node; what is not supported is noted and its outputs become unknown.
    fn node(&mut self, op: &Op<'a>) -> Result<()> {
        let (outputs, known) = match operators::read(self, op) {
            Ok(outputs) => (outputs, true),
            Err(Stop::Invalid(error)) => return Err(error),
            Err(stop) => {
                if let Stop::Unsupported(reason) = stop {
                    self.problem(format!("node `{}` ({}): {reason}", op.name, op.kind()));
                }
                (vec![], false)
            }
        };
        let mut outputs = outputs.into_iter();
        for name in op.proto.output.iter().filter(|name| !name.is_empty()) {
            let value = outputs.next().unwrap_or(Val::Unknown);
            if known && matches!(value, Val::Unknown) && self.left(name) > 0 {
                self.problem(format!("node `{}` ({}): output `{name}` is not computed", op.name, op.kind()));
            }
            if self.values.insert(name, value).is_some() {
                return Err(Error::format("ONNX model", "values with one producer each", format!("`{name}` twice")));
            }
        }
        Ok(())
    }

    pub(super) fn problem(&mut self, problem: String) {
        /// No message needs more; a hostile file could make many.
        const LISTED: usize = 200;
        match self.problems.len() {
            n if n < LISTED => self.problems.push(problem.chars().take(500).collect()),
            LISTED => self.problems.push("and more".into()),
            _ => {}
        }
    }

    fn finish(mut self, proto: &'a GraphProto, input: Shape) -> Result<Imported> {
        let mut outputs: Vec<Value> = vec![];
        for info in &proto.output {
            let op = Op { proto: &NodeProto::default(), name: info.name.clone(), opset: 0 };
            match self.output(&op, &info.name) {
                Ok(value) if outputs.contains(&value) => {}
                Ok(value) => outputs.push(value),
                Err(Stop::Unsupported(reason)) => self.problem(format!("output `{}` (graph): {reason}", info.name)),
                Err(Stop::Unknown) => {}
                Err(Stop::Invalid(error)) => return Err(error),
            }
        }
        self.refuse()?;
        let outputs = self.drop_unused(outputs);
        let name = if proto.name.is_empty() { "onnx" } else { &proto.name };
        let graph = Graph::new(name, input, self.nodes, outputs)?;
        let params = Params::new(&graph, self.tensors)?;
        let params = params.calibrated(&graph, &ranges(&graph, &self.scales));
        let named = |(i, scale): (usize, Option<Scale>)| Some((graph.nodes()[i].name.clone(), scale?));
        let scales = self.scales.into_iter().skip(1).enumerate().filter_map(named).collect();
        Ok(Imported { graph, params, scales })
    }

    /// The value of a graph output: a vector where ONNX has one, and not the input itself.
    fn output(&mut self, op: &Op, name: &'a str) -> Step<Value> {
        let x = match self.take(op, name)? {
            Val::Act(x) | Val::Codes(x) | Val::Quantized(x, _) => x,
            Val::Stored(_) | Val::Const(_) | Val::Coded(_) => {
                return unsupported("expected a value that depends on the input, got a constant");
            }
            _ => return unsupported("expected floats, got integers whose scale depends on them"),
        };
        let value = if x.dims.len() == 1 { self.vector(op, &x)? } else { self.best_form(&x) };
        if value == Value::INPUT {
            return self.emit(op, ".identity", Dropout { p: 0.0 }, &[value], vec![]);
        }
        Ok(value)
    }

    /// Nodes that no output needs are left out, with their weights.
    fn drop_unused(&mut self, outputs: Vec<Value>) -> Vec<Output> {
        let keep = reachable::reachable(&self.nodes, outputs.iter().copied());
        for (node, _) in self.nodes.iter().zip(&keep[1..]).filter(|(_, keep)| !**keep) {
            for suffix in PARAMETERS {
                self.tensors.remove(&format!("{}.{suffix}", node.name));
            }
        }
        let mut kept = keep.iter();
        self.scales.retain(|_| *kept.next().expect("one for each value"));
        let (nodes, map) = reachable::retain(std::mem::take(&mut self.nodes), &keep);
        self.nodes = nodes;
        // The first output is the main one; others are given out, but have no part in a loss.
        let weight = |i| if i == 0 { 1.0 } else { 0.0 };
        outputs.iter().enumerate().map(|(i, v)| Output { value: map[v.index()], loss_weight: weight(i) }).collect()
    }

    /// Whether a name stands for a value that is known while reading.
    pub(super) fn is_constant(&self, name: &str) -> bool {
        matches!(self.values.get(name), Some(Val::Stored(_) | Val::Const(_) | Val::Coded(_)))
    }

    /// Whether a name stands for integers that the network is given.
    pub(super) fn is_codes(&self, name: &str) -> bool {
        matches!(self.values.get(name), Some(Val::Codes(_)))
    }

    /// An output of a node, held as its first input is if the node only moves values.
    pub(super) fn held(&self, op: &Op<'a>, output: Val<'a>) -> Val<'a> {
        let input = op.input(0).filter(|_| operators::only_moves(op)).and_then(|name| self.values.get(name));
        match (input, output) {
            (Some(Val::Codes(_)), Val::Act(x)) => Val::Codes(x),
            (Some(Val::Quantized(_, scale)), Val::Act(x)) => Val::Quantized(x, *scale),
            (_, output) => output,
        }
    }

    /// Whether a name stands for dynamically quantized values or their scale.
    pub(super) fn is_dynamic(&self, name: &str) -> bool {
        matches!(self.values.get(name), Some(Val::Dynamic(..) | Val::DynamicScale(..)))
    }

    /// Takes a value by name; a constant that nobody else reads is moved out.
    pub(super) fn take(&mut self, op: &Op, name: &str) -> Step<Val<'a>> {
        let Some((key, value)) = self.values.get_key_value(name) else {
            return Err(op.invalid("input", "a value that an earlier node or initializer makes", format!("`{name}`")));
        };
        let left = self.uses.get_mut(key).map_or(0, |n| {
            *n = n.saturating_sub(1);
            *n
        });
        let value = match value {
            Val::Unknown => return Err(Stop::Unknown),
            Val::Const(_) | Val::Coded(_) if left == 0 => self.values.insert(key, Val::Unknown).expect("found above"),
            Val::Const(host) => {
                charge(&mut self.budget, Host::bytes(&host.shape, 8))?;
                value.clone()
            }
            Val::Coded(coded) => {
                charge(&mut self.budget, Host::bytes(coded.shape(), 1))?;
                value.clone()
            }
            other => other.clone(),
        };
        Ok(value)
    }

    /// Input `i` of a node, which must be there.
    pub(super) fn input(&mut self, op: &Op<'a>, i: usize) -> Step<Val<'a>> {
        match op.input(i) {
            Some(name) => self.take(op, name),
            None => Err(op.invalid(format!("input {i}"), "a value", "none")),
        }
    }

    /// Input `i`, if it is there, as a constant.
    pub(super) fn maybe_constant(&mut self, op: &Op<'a>, i: usize) -> Step<Option<Host>> {
        let Some(name) = op.input(i) else { return Ok(None) };
        match self.take(op, name)? {
            Val::Stored(proto) => self.decode(proto).map(Some),
            Val::Const(host) => Ok(Some(host)),
            Val::Coded(coded) => self.uncoded(&coded).map(Some),
            _ => unsupported(format!("input {i} (`{name}`): expected a constant, got a value computed by the network")),
        }
    }

    /// Weights in 8 bits as floats.
    pub(super) fn uncoded(&mut self, coded: &Coded) -> Step<Host> {
        self.charge(coded.shape(), 4)?;
        Ok(coded.floats().into())
    }

    /// Input `i` as the weights of a layer, its outputs first: a matrix `[in, out]` is to be transposed.
    pub(super) fn layer_weights(&mut self, op: &Op<'a>, i: usize, transposed: bool) -> Step<Arc<Param>> {
        match op.input(i).and_then(|name| self.values.get(name)) {
            Some(Val::Coded(_)) => {
                let Val::Coded(coded) = self.input(op, i)? else { unreachable!("just seen") };
                self.coded_weights(&coded, transposed)
            }
            _ => {
                let weight = self.weights(op, i)?;
                linear::outputs_first(self, weight, transposed)
            }
        }
    }

    /// The same of weights in 8 bits.
    pub(super) fn coded_weights(&mut self, coded: &Coded, transposed: bool) -> Step<Arc<Param>> {
        self.charge(coded.shape(), 1)?;
        if let Some(param) = coded.param(transposed) {
            return Ok(param);
        }
        self.charge(coded.shape(), 4)?;
        linear::outputs_first(self, coded.floats(), transposed)
    }

    /// The type of input `i`, where it stands in the file.
    pub(super) fn stored_kind(&self, op: &Op<'a>, i: usize) -> Option<DataType> {
        match self.values.get(op.input(i)?) {
            Some(Val::Stored(proto)) => DataType::try_from(proto.data_type).ok(),
            _ => None,
        }
    }

    /// Input `i` as a constant that must be there.
    pub(super) fn constant(&mut self, op: &Op<'a>, i: usize) -> Step<Host> {
        let none = || op.invalid(format!("input {i}"), "a value", "none");
        self.maybe_constant(op, i)?.ok_or_else(none)
    }

    /// Input `i` as constant floats.
    pub(super) fn weights(&mut self, op: &Op<'a>, i: usize) -> Step<Tensor> {
        let host = self.constant(op, i)?;
        host.into_floats().ok_or_else(|| op.invalid(format!("input {i}"), "floats", "integers"))
    }

    /// Input `i`, if there, as constant integers.
    pub(super) fn maybe_ints(&mut self, op: &Op<'a>, i: usize) -> Step<Option<Vec<i64>>> {
        let Some(host) = self.maybe_constant(op, i)? else { return Ok(None) };
        host.to_ints().ok_or_else(|| op.invalid(format!("input {i}"), "integers", "floats")).map(Some)
    }

    /// Input `i` as a value computed by the network.
    pub(super) fn activation(&mut self, op: &Op<'a>, i: usize) -> Step<Activation> {
        match self.input(op, i)? {
            Val::Act(x) => Ok(x),
            Val::Codes(x) if operators::only_moves(op) => Ok(x),
            // What is padded with would be a code.
            Val::Quantized(x, _) if operators::only_moves(op) && op.proto.op_type != "Pad" => Ok(x),
            Val::Stored(_) | Val::Const(_) | Val::Coded(_) => {
                unsupported(format!("input {i}: expected a value computed by the network, got a constant"))
            }
            _ => unsupported(format!("input {i}: expected floats, got quantized values")),
        }
    }

    pub(super) fn decode(&mut self, proto: &TensorProto) -> Step<Host> {
        // What the file holds bounds what is decoded once; a tensor may be used often, so each time counts.
        let bytes = proto.raw_data.as_ref().map_or(0, |b| b.len()) as u64;
        charge(&mut self.budget, bytes.max(Host::bytes(&[proto.float_data.len() + proto.int32_data.len()], 4)))?;
        Ok(Host::decode(proto)?)
    }

    /// Counts bytes of a constant that is about to be computed.
    pub(super) fn charge(&mut self, shape: &[usize], width: usize) -> Step {
        // A zero must not hide a product that overflows.
        let largest = shape.iter().filter(|&&d| d > 0).fold(1usize, |n, &d| n.saturating_mul(d));
        if largest > MAX_ELEMENTS {
            return unsupported(format!("a constant of shape {}", dims(shape)));
        }
        Ok(charge(&mut self.budget, Host::bytes(shape, width))?)
    }

    /// Appends a layer whose parameters are these tensors, in the layer's order, and returns its output.
    pub(super) fn emit(
        &mut self,
        op: &Op,
        suffix: &str,
        layer: impl Into<Layer>,
        inputs: &[Value],
        params: Vec<Arc<Param>>,
    ) -> Step<Value> {
        self.append(op, suffix, layer.into(), inputs, params)
    }

    /// Not once for each type of layer.
    fn append(
        &mut self,
        op: &Op,
        suffix: &str,
        layer: Layer,
        inputs: &[Value],
        params: Vec<Arc<Param>>,
    ) -> Step<Value> {
        if self.nodes.len() == MAX_NODES {
            let what = "ONNX model: layers".into();
            return Err(Error::TooLarge { what, actual: MAX_NODES as u64 + 1, limit: MAX_NODES as u64 }.into());
        }
        let shapes: Vec<Shape> = inputs.iter().map(|v| self.shapes[v.index()].clone()).collect();
        let shape = layer
            .def()
            .output_shape(&shapes)
            .map_err(|m| Stop::Unsupported(format!("{}: expected {}, got {}", m.what, m.expected, m.actual)))?;
        if shape.elements() > MAX_ELEMENTS {
            let what = format!("ONNX node `{}`: elements of its output", op.name);
            return Err(Error::TooLarge { what, actual: shape.elements() as u64, limit: MAX_ELEMENTS as u64 }.into());
        }
        let name = self.unique(format!("{}{suffix}", op.name));
        let specs = layer.def().params(&shapes);
        assert_eq!(specs.len(), params.len(), "operators give every parameter");
        let scale = self.moved_scale(&layer, inputs);
        let node = Node { name, layer, inputs: inputs.to_vec() };
        let never_negative = is_nonnegative(&node, |v| self.is_never_negative(v), Some(&params));
        for (spec, param) in specs.iter().zip(params) {
            if spec.shape != param.shape() {
                let expected = dims(&spec.shape);
                return Err(op.invalid(format!("shape of `{}`", spec.name), expected, dims(param.shape())));
            }
            self.tensors.insert(format!("{}.{}", node.name, spec.name), param);
        }
        inputs.iter().for_each(|v| self.readers[v.index()] += 1);
        self.nodes.push(node);
        self.shapes.push(shape);
        self.readers.push(0);
        self.never_negative.push(never_negative);
        self.scales.push(scale);
        Ok(Value::of_node(self.nodes.len() - 1))
    }

    /// Appends a layer and returns its output in the shape that the layer gives it.
    pub(super) fn push(
        &mut self,
        op: &Op,
        layer: impl Into<Layer>,
        inputs: &[Value],
        params: Vec<Arc<Param>>,
    ) -> Step<Activation> {
        let value = self.append(op, "", layer.into(), inputs, params)?;
        Ok(self.whole(value))
    }

    /// A value in its own shape.
    fn whole(&self, value: Value) -> Activation {
        Activation::new(value, self.shapes[value.index()].dims())
    }

    /// Appends a layer that keeps the shape, whatever it is in ONNX.
    pub(super) fn push_elementwise(&mut self, op: &Op, layer: impl Into<Layer>, x: &Activation) -> Step<Activation> {
        self.elementwise(op, "", layer.into(), x)
    }

    /// The same of a part of a node.
    pub(super) fn elementwise(&mut self, op: &Op, suffix: &str, layer: Layer, x: &Activation) -> Step<Activation> {
        let value = self.append(op, suffix, layer, &[self.best_form(x)], vec![])?;
        Ok(Activation::new(value, &x.dims))
    }

    /// A name that no other node has.
    fn unique(&mut self, base: String) -> String {
        let mut name = base.clone();
        while self.names.contains_key(&name) {
            let next = self.names.entry(base.clone()).or_insert(2);
            name = format!("{base}_{next}");
            *next += 1;
        }
        self.names.insert(name.clone(), 2);
        name
    }

    /// The form that has the shape of the view, or the latest.
    pub(super) fn best_form(&self, x: &Activation) -> Value {
        let exact = x.forms.iter().find(|v| self.shapes[v.index()].dims() == x.dims);
        exact.or(x.forms.last()).copied().expect("an activation has a form")
    }

    pub(super) fn shape(&self, value: Value) -> &Shape {
        &self.shapes[value.index()]
    }

    /// The value as a map `CxHxW`.
    pub(super) fn map(&mut self, op: &Op, x: &Activation) -> Step<Value> {
        match x.dims[..] {
            [c, h, w] => self.seen_as(op, x, [c, h, w]),
            _ => unsupported(format!("input shape: expected a map NxCxHxW, got {}", x.text())),
        }
    }

    /// The value as a map: itself, a line `CxL` as `CxLx1`, or numbers `F` as `Fx1x1`.
    pub(super) fn frame(&mut self, op: &Op, x: &Activation) -> Step<Value> {
        match x.dims[..] {
            [c] => self.seen_as(op, x, [c, 1, 1]),
            [c, l] => self.seen_as(op, x, [c, l, 1]),
            _ => self.map(op, x),
        }
    }

    /// A map whose channels are the first dimension of a sample, whatever the others are.
    pub(super) fn channelled(&mut self, op: &Op, x: &Activation) -> Step<Value> {
        match x.dims[..] {
            [c, h, w] => self.seen_as(op, x, [c, h, w]),
            [c, ref rest @ ..] => self.seen_as(op, x, [c, product(rest), 1]),
            [] => unsupported("expected channels, got a number for each sample"),
        }
    }

    /// The numbers as a map of this shape.
    fn seen_as(&mut self, op: &Op, x: &Activation, shape: [usize; 3]) -> Step<Value> {
        let is_it = |v: &&Value| self.shapes[v.index()].dims() == shape;
        match x.forms.iter().find(is_it) {
            Some(&value) => Ok(value),
            None => self.permuted(op, ".map", x, shape, [0, 1, 2]),
        }
    }

    /// The numbers as a map of this shape, whose axes then change places.
    pub(super) fn permuted(
        &mut self,
        op: &Op,
        suffix: &str,
        x: &Activation,
        view: [usize; 3],
        order: [usize; 3],
    ) -> Step<Value> {
        self.emit(op, suffix, Permute { view, order }, &[x.forms[0]], vec![])
    }

    /// The values as a vector; a flatten is added where they are a map.
    pub(super) fn vector(&mut self, op: &Op, x: &Activation) -> Step<Value> {
        match x.forms.iter().find(|v| !self.shapes[v.index()].is_map()) {
            Some(&value) => Ok(value),
            None => self.emit(op, ".flatten", Flatten {}, &[x.forms[0]], vec![]),
        }
    }

    /// How often values of this name are still to be read.
    pub(super) fn left(&self, name: &str) -> usize {
        self.uses.get(name).copied().unwrap_or(0)
    }

    /// The node that made a value which nothing else has read, and its weights, to change both.
    pub(super) fn producer(&mut self, value: Value) -> Option<(&mut Node, &mut Tensors)> {
        let i = value.node().filter(|_| self.readers[value.index()] == 0)?;
        self.never_negative[value.index()] = false;
        self.scales[value.index()] = None;
        Some((&mut self.nodes[i], &mut self.tensors))
    }

    /// Whether a dimension is the batch: the arithmetic's, or the one that the file says.
    pub(super) fn is_batch(&self, dim: i64) -> bool {
        dim == BATCH || self.batch == Some(dim)
    }

    /// Whether a value is known to hold positive numbers and zero only.
    pub(super) fn is_never_negative(&self, value: Value) -> bool {
        self.never_negative[value.index()]
    }

    /// The scale of which a value is multiples, if the file gives it one.
    pub(super) fn scale(&self, value: Value) -> Option<Scale> {
        self.scales[value.index()]
    }

    /// Notes the scale of a value that was just made.
    pub(super) fn note_scale(&mut self, x: &Activation, scale: Scale) {
        x.forms.iter().for_each(|v| self.scales[v.index()] = Some(scale));
    }

    /// What a ReLU, or a clip to more than `largest`, was given: for whom values end at zero and `largest` anyway.
    pub(super) fn before_bounds(&self, x: &Activation, largest: f32) -> Activation {
        let node = self.best_form(x).node().map(|i| &self.nodes[i]);
        let bounds = |node: &&Node| match &node.layer {
            Layer::Relu(_) => true,
            Layer::Clip(clip) => clip.min == 0.0 && clip.max >= largest,
            _ => false,
        };
        node.filter(bounds).map_or_else(|| x.clone(), |node| Activation::new(node.inputs[0], &x.dims))
    }

    /// The scale of the output of a layer that gives values of its inputs, and zero, and no others.
    fn moved_scale(&self, layer: &Layer, inputs: &[Value]) -> Option<Scale> {
        use Layer as L;
        let moves = matches!(layer, L::MaxPool2d(_) | L::Relu(_) | L::Dropout(_) | L::Flatten(_) | L::Concat(_))
            || matches!(layer, L::Slice(_) | L::ChannelShuffle(_) | L::Permute(_));
        let scale = self.scale(*inputs.first()?);
        scale.filter(|_| moves && inputs.iter().all(|&v| self.scale(v) == scale))
    }
}

/// The file, in messages.
pub(super) const WHAT: &str = "ONNX model";

fn product(dims: &[usize]) -> usize {
    dims.iter().product()
}

/// The ranges of layers' inputs with which a step between codes is the file's, so that they are rounded as it means. A
/// code less its zero point is never beyond the levels.
fn ranges(graph: &Graph, scales: &[Option<Scale>]) -> Ranges {
    let mut ranges = Ranges::default();
    for node in graph.nodes() {
        if let (Layer::Conv2d(_) | Layer::Linear(_), Some(scale)) = (&node.layer, scales[node.inputs[0].index()]) {
            let range = scale.scale * quantized::INPUT_LEVELS;
            if quant::is_range(range) {
                ranges.insert(node.name.clone(), range);
            }
        }
    }
    ranges
}

/// The last names of every layer's parameters.
const PARAMETERS: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];

fn charge(budget: &mut u64, bytes: u64) -> Result<()> {
    let too_large = || Error::TooLarge { what: "ONNX model: bytes of constants".into(), actual: bytes, limit: *budget };
    *budget = budget.checked_sub(bytes).ok_or_else(too_large)?;
    Ok(())
}

/// Whether all that reads a value brings its last axis, the channels of an image, before the others.
fn is_only_transposed(proto: &GraphProto, name: &str) -> bool {
    let mut readers = proto.node.iter().filter(|node| node.input.iter().any(|input| input == name)).peekable();
    let forward = |node: &NodeProto| {
        let perm = node.attribute.iter().find(|a| a.name == "perm");
        node.op_type == "Transpose" && perm.is_some_and(|perm| perm.ints == [0, 3, 1, 2])
    };
    readers.peek().is_some() && readers.all(forward) && proto.output.iter().all(|output| output.name != name)
}

fn elem_type(info: &ValueInfoProto) -> i32 {
    info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()).map_or(0, |t| t.elem_type)
}

/// The sizes of an input, the batch first; `None` for dynamic ones.
fn input_sizes(info: &ValueInfoProto) -> Result<Vec<Option<i64>>> {
    let what = || format!("ONNX input `{}`", info.name);
    let tensor = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let Some(shape) = tensor.and_then(|t| t.shape.as_ref()) else {
        return Err(Error::format(what(), "a tensor of known rank", "none"));
    };
    use DataType as D;
    let read = [D::Float, D::Float16, D::Double, D::Uint8, D::Int8, D::Int32];
    if !read.iter().any(|&t| elem_type(info) == i32::from(t)) {
        let problem = format!(
            "input `{}` (graph): expected floats, bytes or int32, got data type {}",
            info.name,
            elem_type(info)
        );
        return Err(Error::Unsupported { what: WHAT.into(), problems: vec![problem] });
    }
    if shape.dim.is_empty() || shape.dim.len() > 8 {
        return Err(Error::format(what(), "1 to 8 dimensions", shape.dim.len()));
    }
    let size = |d: &DimensionProto| match d.value {
        Some(DimensionValue::Value(v)) => Some(v),
        _ => None,
    };
    Ok(shape.dim.iter().map(size).collect())
}

/// Floats as a constant of rank 1.
pub(super) fn vector_of(data: Vec<f32>) -> Tensor {
    Tensor { shape: vec![data.len()], data }
}
