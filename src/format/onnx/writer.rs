//! Networks as ONNX: operator set 17, IR version 8, batch `N`.
//!
//! Every layer becomes one operator, except channel shuffles (Reshape, Transpose, Reshape), permutations (Reshape,
//! Transpose), fake quantization (QuantizeLinear, DequantizeLinear) and adaptive poolings whose windows differ in size
//! (two products with matrices).

use std::collections::HashSet;

use prost::Message;

use super::adaptive::adaptive_matrix;
use super::meta::PRODUCER;
use super::proto::{
    AttributeProto, AttributeType, DataType, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use crate::error::{Error, Result};
use crate::graph::{Graph, INPUT, Node, Params, Value};
use crate::layers::{AvgPool2d, FakeQuantize, Layer, Permute, Window};
use crate::tensor::{Shape, Tensor};

/// The most bytes of a file that is written: the limit of protobuf messages.
pub const MAX_FILE: usize = i32::MAX as usize;

/// Writes a network with these metadata properties.
///
/// # Errors
/// [`Error::TooLarge`] for more than [`MAX_FILE`] bytes.
pub(super) fn write(graph: &Graph, params: &Params, metadata: Vec<StringStringEntryProto>) -> Result<Vec<u8>> {
    let mut writer = Writer::new(graph, params);
    (0..graph.nodes().len()).for_each(|i| writer.node(i));
    let info = |v: Value| value_info(graph.value_name(v), graph.shape(v));
    // Operator set 19 introduced dilated average pooling.
    let dilated = |n: &Node| matches!(&n.layer, Layer::AvgPool2d(p) if p.window.dilation != [1, 1]);
    let (ir_version, version) = if graph.nodes().iter().any(dilated) { (9, 19) } else { (8, 17) };
    let proto = GraphProto {
        node: writer.nodes,
        name: graph.name().into(),
        initializer: writer.initializers,
        input: vec![info(Value::INPUT)],
        output: graph.outputs().iter().map(|o| info(o.value)).collect(),
    };
    let model = ModelProto {
        ir_version,
        producer_name: PRODUCER.into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(proto),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version }],
        metadata_props: metadata,
    };
    let length = model.encoded_len();
    if length > MAX_FILE {
        let what = "ONNX file: bytes".into();
        return Err(Error::TooLarge { what, actual: length as u64, limit: MAX_FILE as u64 });
    }
    Ok(model.encode_to_vec())
}

/// The parts of a file under construction.
struct Writer<'a> {
    graph: &'a Graph,
    params: &'a Params,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    /// The names of values and weights so far.
    names: HashSet<String>,
}

impl<'a> Writer<'a> {
    fn new(graph: &'a Graph, params: &'a Params) -> Self {
        let names = std::iter::once(INPUT).chain(graph.nodes().iter().map(|n| n.name.as_str()));
        let names = names.map(str::to_string).collect();
        Writer { graph, params, nodes: vec![], initializers: vec![], names }
    }

    /// Writes the operators of a node.
    fn node(&mut self, i: usize) {
        let node = &self.graph.nodes()[i];
        let (x, y) = (self.graph.shape(node.inputs[0]).clone(), self.graph.shape(Value::of_node(i)).clone());
        match &node.layer {
            Layer::ChannelShuffle(layer) => self.shuffle(i, layer.groups, x.chw()),
            Layer::Permute(layer) => self.permute(i, layer),
            Layer::AdaptiveAvgPool2d(layer) => self.adaptive(i, layer.output, x.chw()),
            Layer::FakeQuantize(layer) => self.fake_quantize(i, layer),
            layer => {
                let (kind, attributes) = operator(layer, node.inputs.len(), &x, &y);
                let mut inputs = self.inputs(node);
                inputs.extend(self.weights(i));
                inputs.extend(self.extra_inputs(node));
                self.push(kind, &node.name, inputs, attributes);
            }
        }
    }

    fn inputs(&self, node: &Node) -> Vec<String> {
        node.inputs.iter().map(|&v| self.graph.value_name(v).to_string()).collect()
    }

    /// Stores a node's weights and returns their names.
    fn weights(&mut self, i: usize) -> Vec<String> {
        let node = &self.graph.nodes()[i];
        let (graph, params) = (self.graph, self.params);
        let specs = graph.node_params(node);
        let of_node = params.of_node(graph, i);
        specs
            .iter()
            .zip(of_node)
            .map(|(spec, t)| self.floats(format!("{}.{}", node.name, spec.name), &t.values()))
            .collect()
    }

    /// Stores attributes that are inputs in operator set 17, and returns their names.
    fn extra_inputs(&mut self, node: &Node) -> Vec<String> {
        let name = |what: &str| format!("{}.{what}", node.name);
        let three = |v: [usize; 3]| v.map(|v| v as i64).to_vec();
        match &node.layer {
            Layer::Clip(layer) => vec![self.scalar(name("min"), layer.min), self.scalar(name("max"), layer.max)],
            Layer::Dropout(layer) => vec![self.scalar(name("ratio"), layer.p)],
            Layer::Pad(layer) => {
                let pads = [vec![0], three(layer.before), vec![0], three(layer.after)].concat();
                vec![self.ints(name("pads"), pads), self.scalar(name("value"), layer.value)]
            }
            Layer::Slice(layer) => vec![
                self.ints(name("starts"), three(layer.start)),
                self.ints(name("ends"), three(layer.end)),
                self.ints(name("axes"), vec![1, 2, 3]),
                self.ints(name("steps"), three(layer.step)),
            ],
            _ => vec![],
        }
    }

    /// Writes a channel shuffle as Reshape, Transpose and Reshape.
    fn shuffle(&mut self, i: usize, groups: usize, (c, h, w): (usize, usize, usize)) {
        let node = &self.graph.nodes()[i];
        let name = |what: &str| format!("{}.{what}", node.name);
        let shape = |middle: &[usize]| {
            // A zero copies the batch size.
            [&[0], middle, &[h, w]].concat().into_iter().map(|d| d as i64).collect::<Vec<_>>()
        };
        let split = self.ints(name("split_shape"), shape(&[groups, c / groups]));
        let whole = self.ints(name("shape"), shape(&[c]));
        let (split_name, swapped_name) = (self.fresh(name("split")), self.fresh(name("swapped")));
        let mut inputs = self.inputs(node);
        inputs.push(split);
        self.push("Reshape", &split_name, inputs, vec![]);
        self.push("Transpose", &swapped_name, vec![split_name.clone()], vec![ints("perm", [0, 2, 1, 3, 4])]);
        self.push("Reshape", &node.name, vec![swapped_name, whole], vec![]);
    }

    /// Writes a permutation as Reshape and Transpose.
    fn permute(&mut self, i: usize, layer: &Permute) {
        let node = &self.graph.nodes()[i];
        let name = |what: &str| format!("{}.{what}", node.name);
        let [c, h, w] = layer.view.map(|d| d as i64);
        // A zero copies the batch size.
        let shape = self.ints(name("shape"), vec![0, c, h, w]);
        let view = self.fresh(name("view"));
        let mut inputs = self.inputs(node);
        inputs.push(shape);
        self.push("Reshape", &view, inputs, vec![]);
        let [c, h, w] = layer.order.map(|a| a as i64 + 1);
        self.push("Transpose", &node.name, vec![view], vec![ints("perm", [0, c, h, w])]);
    }

    /// Writes a quantization, which has the layer's name, and a dequantization, whose output has the layer's name: the
    /// reader names the layer after the first and its output after the second.
    fn fake_quantize(&mut self, i: usize, layer: &FakeQuantize) {
        let node = &self.graph.nodes()[i];
        let name = |what: &str| format!("{}.{what}", node.name);
        let scale = self.scalar(name("scale"), layer.scale);
        let zero_point = self.store(name("zero_point"), DataType::Uint8, &[], vec![layer.zero_point as u8]);
        let quantized = self.fresh(name("quantized"));
        let inputs = [self.inputs(node), vec![scale.clone(), zero_point.clone()]].concat();
        self.push("QuantizeLinear", &quantized, inputs, vec![]);
        self.nodes.last_mut().expect("just pushed").name.clone_from(&node.name);
        let back = self.fresh(name("dequantize"));
        self.push("DequantizeLinear", &node.name, vec![quantized, scale, zero_point], vec![]);
        self.nodes.last_mut().expect("just pushed").name = back;
    }

    /// Writes an adaptive average pooling: an AveragePool where all windows have one size, else a product with a matrix
    /// on each side.
    fn adaptive(&mut self, i: usize, [oh, ow]: [usize; 2], (_, h, w): (usize, usize, usize)) {
        let node = &self.graph.nodes()[i];
        let x = self.inputs(node).remove(0);
        if h % oh == 0 && w % ow == 0 {
            let size = [h / oh, w / ow].map(|v| v as i64);
            return self.push(
                "AveragePool",
                &node.name,
                vec![x],
                vec![ints("kernel_shape", size), ints("strides", size)],
            );
        }
        let rows = self.floats(format!("{}.rows", node.name), &adaptive_matrix(oh, h));
        let means = adaptive_matrix(ow, w);
        let mut transposed = Tensor::zeros([w, ow]);
        for (j, v) in transposed.data.iter_mut().enumerate() {
            *v = means.data[j % ow * w + j / ow];
        }
        let columns = self.floats(format!("{}.columns", node.name), &transposed);
        let middle = self.fresh(format!("{}.pooled_rows", node.name));
        self.push("MatMul", &middle, vec![rows, x], vec![]);
        self.push("MatMul", &node.name, vec![middle.clone(), columns], vec![]);
    }

    /// Appends an operator with one output; the operator and the output have this name.
    fn push(&mut self, kind: &str, name: &str, input: Vec<String>, attribute: Vec<AttributeProto>) {
        let (op_type, output) = (kind.into(), vec![name.into()]);
        self.nodes.push(NodeProto { input, output, name: name.into(), op_type, attribute, domain: String::new() });
    }

    /// Makes a name unique by appending `_`.
    fn fresh(&mut self, mut name: String) -> String {
        while !self.names.insert(name.clone()) {
            name.push('_');
        }
        name
    }

    /// Stores a tensor of little-endian values and returns its name.
    fn store(&mut self, name: String, kind: DataType, shape: &[usize], raw: Vec<u8>) -> String {
        let name = self.fresh(name);
        self.initializers.push(TensorProto {
            dims: shape.iter().map(|&d| d as i64).collect(),
            data_type: kind.into(),
            name: name.clone(),
            raw_data: Some(raw.into()),
            ..TensorProto::default()
        });
        name
    }

    fn floats(&mut self, name: String, tensor: &Tensor) -> String {
        let raw = tensor.data.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.store(name, DataType::Float, &tensor.shape, raw)
    }

    fn scalar(&mut self, name: String, value: f32) -> String {
        self.store(name, DataType::Float, &[], value.to_le_bytes().to_vec())
    }

    fn ints(&mut self, name: String, values: Vec<i64>) -> String {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.store(name, DataType::Int64, &[values.len()], raw)
    }
}

/// Returns the operator and attributes of a layer that becomes one operator, for an input of shape `x` and an output of
/// shape `y`.
fn operator(layer: &Layer, inputs: usize, x: &Shape, y: &Shape) -> (&'static str, Vec<AttributeProto>) {
    match layer {
        Layer::Conv2d(layer) => {
            let mut attributes = window(&layer.window, x);
            attributes.push(int("group", layer.groups as i64));
            ("Conv", attributes)
        }
        Layer::Linear(_) => ("Gemm", vec![int("transB", 1)]),
        Layer::MaxPool2d(layer) => ("MaxPool", pooling(&layer.window, x, y, true)),
        Layer::AvgPool2d(layer) => ("AveragePool", average(layer, x, y)),
        Layer::Relu(_) => ("Relu", vec![]),
        Layer::Sigmoid(_) => ("Sigmoid", vec![]),
        Layer::Tanh(_) => ("Tanh", vec![]),
        Layer::Softmax(_) => ("Softmax", vec![int("axis", 1)]),
        Layer::LogSoftmax(_) => ("LogSoftmax", vec![int("axis", 1)]),
        Layer::Dropout(_) => ("Dropout", vec![]),
        Layer::Flatten(_) => ("Flatten", vec![int("axis", 1)]),
        Layer::Add(_) => (if inputs == 2 { "Add" } else { "Sum" }, vec![]),
        Layer::Concat(_) => ("Concat", vec![int("axis", 1)]),
        Layer::GlobalAvgPool(_) => ("GlobalAveragePool", vec![]),
        Layer::BatchNorm2d(layer) => (
            "BatchNormalization",
            // ONNX's momentum is the weight of the old statistics, PyTorch's and Convoke's of the new ones.
            vec![float("epsilon", layer.epsilon), float("momentum", 1.0 - layer.momentum)],
        ),
        Layer::LocalResponseNorm(layer) => (
            "LRN",
            vec![
                int("size", layer.size as i64),
                float("alpha", layer.alpha),
                float("beta", layer.beta),
                float("bias", layer.k),
            ],
        ),
        Layer::LeakyRelu(layer) => ("LeakyRelu", vec![float("alpha", layer.slope)]),
        Layer::Clip(_) => ("Clip", vec![]),
        Layer::HardSigmoid(layer) => ("HardSigmoid", vec![float("alpha", layer.alpha), float("beta", layer.beta)]),
        Layer::HardSwish(_) => ("HardSwish", vec![]),
        Layer::Mul(_) => ("Mul", vec![]),
        Layer::Pad(_) => ("Pad", vec![]),
        Layer::Slice(_) => ("Slice", vec![]),
        Layer::AdaptiveAvgPool2d(_) | Layer::ChannelShuffle(_) | Layer::FakeQuantize(_) | Layer::Permute(_) => {
            unreachable!("written as several operators")
        }
    }
}

/// Returns the attributes that convolutions and poolings share; `pads` is the last.
fn window(window: &Window, x: &Shape) -> Vec<AttributeProto> {
    let (_, h, w) = x.chw();
    let pair = |v: [usize; 2]| v.map(|v| v as i64);
    vec![
        ints("kernel_shape", pair(window.kernel)),
        ints("strides", pair(window.stride)),
        ints("dilations", pair(window.dilation)),
        ints("pads", window.pads([h, w]).map(|v| v as i64)),
    ]
}

/// Returns the attributes of a pooling. Runtimes disagree about ceil mode, so the windows that it adds are written as
/// padding where padding does not change the result (`padding_is_free`) and is smaller than the kernel.
fn pooling(w: &Window, x: &Shape, y: &Shape, padding_is_free: bool) -> Vec<AttributeProto> {
    let (_, ih, iw) = x.chw();
    let (_, oh, ow) = y.chw();
    let mut pads = w.pads([ih, iw]);
    for (a, (input, output)) in [(ih, oh), (iw, ow)].into_iter().enumerate() {
        let needed = (output - 1) * w.stride[a] + w.extent(a);
        pads[a + 2] += needed.saturating_sub(input + pads[a] + pads[a + 2]);
    }
    let allowed = (0..2).all(|a| pads[a + 2] < w.kernel[a]);
    let mut attributes = window(w, x);
    if pads == w.pads([ih, iw]) {
        return attributes;
    }
    match padding_is_free && allowed {
        true => attributes[3] = ints("pads", pads.map(|v| v as i64)),
        false => attributes.push(int("ceil_mode", 1)),
    }
    attributes
}

/// Returns the attributes of an average pooling.
fn average(layer: &AvgPool2d, x: &Shape, y: &Shape) -> Vec<AttributeProto> {
    let (_, h, w) = x.chw();
    // Runtimes agree about windows without padding if `count_include_pad` is 0.
    let counts = layer.count_include_pad && layer.window.pads([h, w]) != [0; 4];
    let mut attributes = pooling(&layer.window, x, y, !counts);
    if layer.window.dilation == [1, 1] {
        attributes.retain(|a| a.name != "dilations");
    }
    attributes.push(int("count_include_pad", counts.into()));
    attributes
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.into(), kind: kind.into(), ..AttributeProto::default() }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), ..attribute(name, AttributeType::Int) }
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: Some(value), ..attribute(name, AttributeType::Float) }
}

fn ints<const N: usize>(name: &str, values: [i64; N]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, AttributeType::Ints) }
}

/// Describes an input or output of the graph: floats with the batch `N` first.
fn value_info(name: &str, shape: &Shape) -> ValueInfoProto {
    let batch = DimensionProto { dim_value: None, dim_param: Some("N".into()) };
    let size = |&d: &usize| DimensionProto { dim_value: Some(d as i64), dim_param: None };
    let dim = std::iter::once(batch).chain(shape.dims().iter().map(size)).collect();
    let tensor_type = TensorTypeProto { elem_type: DataType::Float.into(), shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}
