//! [ONNX](https://onnx.ai) files, in and out.
//!
//! Read: IR version 3 and later, operator sets 6 to 24 of the default domain (after 21 the operators below only accept
//! more types), weights inside the file, one input whose first dimension is the batch. What Convoke has no layer for is
//! listed all at once ([`Error::Unsupported`]). Operators: Abs, AveragePool, BatchNormalization, Cast, Clip, Concat,
//! Constant, ConstantOfShape, Conv, ConvInteger, DequantizeLinear, Dropout, DynamicQuantizeLinear, Elu, Flatten, Gather,
//! Gemm, GlobalAveragePool, GlobalMaxPool, HardSigmoid, HardSwish, Identity, InstanceNormalization, LeakyRelu,
//! LogSoftmax, LRN, MatMul, MatMulInteger, Max, MaxPool, Min, Add, Sub, Mul, Div, Sum, Neg, Pad, Pow, PRelu,
//! QLinearConv, QLinearMatMul, QuantizeLinear, Reciprocal, ReduceMean, ReduceSum, Relu, Reshape, Selu, Shape, Sigmoid,
//! Slice, Softmax, Split, Sqrt, Squeeze, Tanh, Transpose, Unsqueeze, and com.microsoft's QGemm, QLinearAdd,
//! QLinearAveragePool, QLinearConcat and QLinearGlobalAveragePool; convolutions and poolings in one or two dimensions.
//! What no layer computes by itself is composed of several. An image with its channels last that is at once transposed is
//! taken with its channels first, as everything else here.
//!
//! Constants are computed in every type of real numbers, by those of these operators that shapes and weights need.
//!
//! Quantized values are held as the floats that their codes stand for, outputs too (`quantized.rs`). Integers that
//! a network is given are held as floats, which are exact up to 2^24.
//!
//! Hostile bytes: the number of records is limited before the file is decoded ([`MAX_RECORDS`]), tensors are only
//! allocated once the file has shown to hold their values, and what is computed from constants is limited by
//! [`Options::constant_bytes`].
//!
//! Written: operator set 17, IR version 8, batch `N`; labels, preprocessing and provenance as metadata properties
//! `convoke.*`, which [`read`] finds again.

mod arithmetic;
mod coded;
mod constants;
mod elementwise;
mod host;
mod linear;
mod maxima;
mod meta;
mod node;
mod normalization;
mod numbers;
mod operators;
mod pooling;
mod proto;
mod quantized;
mod reader;
mod scan;
mod shuffle;
mod views;
mod writer;

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use prost::bytes::Bytes;

pub use scan::MAX_RECORDS;
pub use writer::MAX_FILE;

use crate::error::{Error, Result};
use crate::format::Model;
use crate::graph::{Graph, Params};
use crate::tensor::Tensor;
use proto::{GraphProto, ModelProto, TensorProto};
use reader::Reader;

/// The operator sets that are read.
pub const OPSETS: std::ops::RangeInclusive<i64> = 6..=24;

/// The earliest version of the file format that is read.
pub const MIN_IR_VERSION: i64 = 3;

/// What a file says of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The network. Nodes keep their names where these are unique.
    pub graph: Graph,
    /// Its weights.
    pub params: Params,
    /// The 8-bit scales of values that are rounded as a quantized file says, by the name of the node that makes them.
    pub scales: BTreeMap<String, Scale>,
}

/// How a value is held in 8 bits: `x = (q - zero_point) * scale`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// The distance between neighbouring values.
    pub scale: f32,
    /// The code of zero.
    pub zero_point: i64,
    /// Whether codes are -128 to 127 rather than 0 to 255.
    pub signed: bool,
}

/// How a file is read.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Values for inputs that are constants of the network.
    pub constants: BTreeMap<String, Constant>,
    /// Take several inputs stacked along channels as one (or, where their maps differ in size, all their numbers).
    pub stack_inputs: bool,
    /// The most bytes of constants, weights included, that may be allocated; 16 times the file and a MiB by default.
    /// Files whose weights are made by `ConstantOfShape` need more.
    pub constant_bytes: Option<u64>,
}

/// A tensor in ONNX's own form (`TensorProto`, the `.pb` files of its tests).
#[derive(Debug, Clone, PartialEq)]
pub struct Constant(TensorProto);

impl Constant {
    /// The tensor in these bytes.
    ///
    /// # Errors
    /// [`Error::Format`] when they are none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        scan::check_tensor(bytes)?;
        let decoded = TensorProto::decode(Bytes::copy_from_slice(bytes));
        decoded.map(Constant).map_err(|e| Error::format("ONNX tensor", "a message `TensorProto`", e))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its values as floats.
    ///
    /// # Errors
    /// [`Error::Format`] when they are no numbers or not inside the file.
    pub fn to_tensor(&self) -> Result<Tensor> {
        Ok(host::Host::decode(&self.0)?.into_tensor())
    }
}

/// The network in an ONNX file, with the producer as provenance. See [`read_with`].
///
/// # Errors
/// Those of [`read_with`].
pub fn read(bytes: Vec<u8>) -> Result<Model> {
    let length = bytes.len();
    let proto = decode(bytes.into())?;
    let imported = import(&proto, length, &Options::default())?;
    let meta = meta::read(&proto, &imported.graph)?;
    Ok(Model { graph: imported.graph, params: imported.params, meta })
}

/// The model as an ONNX file. Its input is called `input`, its outputs as the nodes that make them, its weights by their
/// own names.
///
/// # Errors
/// [`Error::Format`] when labels or preprocessing do not fit the network; [`Error::TooLarge`] for a model of more than
/// [`MAX_FILE`] bytes, which protobuf cannot hold, or of more than [`MAX_RECORDS`] records, which would not be read again.
pub fn write(model: &Model) -> Result<Vec<u8>> {
    model.meta.check(&model.graph)?;
    let bytes = writer::write(&model.graph, &model.params, meta::write(&model.meta))?;
    scan::check(&bytes)?;
    Ok(bytes)
}

/// What a file computes from constants alone, all of its inputs being [`Options::constants`]: the part of a network that
/// is folded while reading.
///
/// # Errors
/// Those of [`read_with`].
pub fn fold(bytes: &[u8], options: &Options) -> Result<Vec<Tensor>> {
    let proto = decode(Bytes::copy_from_slice(bytes))?;
    let (opset, graph) = checked(&proto)?;
    Reader::fold(graph, opset, budget(bytes.len(), options), options)
}

/// The network in an ONNX file, which may come from anyone. The file is not copied; weights are, into [`Params`].
///
/// # Errors
/// [`Error::Format`] and [`Error::TooLarge`] for the file, [`Error::Version`] for its IR version and operator set,
/// [`Error::Unsupported`] with everything in it that Convoke does not have, and those of [`Graph::new`] and
/// [`Params::new`].
pub fn read_with(bytes: Vec<u8>, options: &Options) -> Result<Imported> {
    let length = bytes.len();
    import(&decode(bytes.into())?, length, options)
}

/// The operators that a file uses, those of other domains than ONNX's own with it.
///
/// # Errors
/// [`Error::Format`] and [`Error::TooLarge`] for the file.
pub fn operators(bytes: &[u8]) -> Result<BTreeSet<String>> {
    let graph = decode(Bytes::copy_from_slice(bytes))?.graph.unwrap_or_default();
    Ok(graph.node.iter().map(node::kind).collect())
}

/// The names of the inputs for which a file has no values, in its order.
///
/// # Errors
/// [`Error::Format`] and [`Error::TooLarge`] for the file.
pub fn input_names(bytes: &[u8]) -> Result<Vec<String>> {
    let graph = decode(Bytes::copy_from_slice(bytes))?.graph.unwrap_or_default();
    let given: std::collections::HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    Ok(graph.input.iter().map(|i| i.name.clone()).filter(|name| !given.contains(name.as_str())).collect())
}

fn decode(bytes: Bytes) -> Result<ModelProto> {
    scan::check(&bytes)?;
    ModelProto::decode(bytes).map_err(|e| Error::format(reader::WHAT, "a protobuf message `ModelProto`", e))
}

fn import(proto: &ModelProto, length: usize, options: &Options) -> Result<Imported> {
    let (opset, graph) = checked(proto)?;
    Reader::read(graph, opset, budget(length, options), options)
}

fn budget(length: usize, options: &Options) -> u64 {
    options.constant_bytes.unwrap_or(16 * length as u64 + (1 << 20))
}

/// The graph and the version of its operators, if that is one that is read.
fn checked(proto: &ModelProto) -> Result<(i64, &GraphProto)> {
    let opset = opset(proto)?;
    let Some(graph) = &proto.graph else { return Err(Error::format(reader::WHAT, "a graph", "none")) };
    Ok((opset, graph))
}

fn opset(proto: &ModelProto) -> Result<i64> {
    let version = |what: &str, found: i64, supported: String| Error::Version {
        what: format!("ONNX {what}"),
        found: found.to_string(),
        supported,
    };
    if proto.ir_version < MIN_IR_VERSION {
        return Err(version("IR", proto.ir_version, format!("{MIN_IR_VERSION} and later")));
    }
    let own = proto.opset_import.iter().find(|o| matches!(o.domain.as_str(), "" | "ai.onnx"));
    let found = own.map_or(0, |o| o.version);
    if !OPSETS.contains(&found) {
        return Err(version("operator set", found, format!("{} to {}", OPSETS.start(), OPSETS.end())));
    }
    Ok(found)
}
