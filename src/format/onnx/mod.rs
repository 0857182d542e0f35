//! [ONNX](https://onnx.ai) files, in and out.
//!
//! Read: IR version 3 and later, operator sets 6 to 24 of the default domain (after 21 the operators below only accept
//! more types), weights inside the file, one input whose first dimension is the batch. What Convoke has no layer for is
//! listed all at once ([`Error::Unsupported`]). Operators: AveragePool, BatchNormalization, Cast, Clip, Concat, Constant,
//! ConstantOfShape, Conv, ConvInteger, DequantizeLinear, Dropout, DynamicQuantizeLinear, Flatten, Gather, Gemm,
//! GlobalAveragePool, GlobalMaxPool, HardSigmoid, HardSwish, Identity, LeakyRelu, LogSoftmax, LRN, MatMul, MaxPool, Add,
//! Sub, Mul, Div, Sum, Pad, PRelu, QLinearConv, QLinearMatMul, QuantizeLinear, ReduceMean, Relu, Reshape, Shape, Sigmoid,
//! Slice, Softmax, Split, Squeeze, Tanh, Transpose, Unsqueeze, and com.microsoft's QLinearAdd, QLinearConcat and
//! QLinearGlobalAveragePool. Quantized files are read as the networks of floats that they stand for.
//!
//! Hostile bytes: the number of records is limited before the file is decoded ([`MAX_RECORDS`]), tensors are only
//! allocated once the file has shown to hold their values, and what is computed from constants is limited by
//! [`Options::constant_bytes`].
//!
//! Written: operator set 17, IR version 8, batch `N`.

mod constants;
mod elementwise;
mod host;
mod linear;
mod node;
mod normalization;
mod operators;
mod pooling;
mod proto;
mod quantized;
mod reader;
mod scan;
mod shuffle;
mod views;
mod writer;

use std::collections::BTreeMap;

use prost::Message;
use prost::bytes::Bytes;

pub use scan::MAX_RECORDS;
pub use writer::write;

use crate::error::{Error, Result};
use crate::format::{Meta, Model};
use crate::graph::{Graph, Params};
use crate::tensor::Tensor;
use proto::{ModelProto, TensorProto};
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
    /// The 8-bit scales that a quantized file gives to values, by the name of the node (or `input`) that makes them.
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
        let host = host::Host::decode(&self.0)?;
        match (host.to_ints(), host) {
            (Some(ints), host) => Ok(Tensor { shape: host.shape, data: ints.into_iter().map(|v| v as f32).collect() }),
            (None, host) => Ok(host.into_floats().expect("what is not integers is floats")),
        }
    }
}

/// The network in an ONNX file, with the producer as provenance. See [`read_with`].
///
/// # Errors
/// Those of [`read_with`].
pub fn read(bytes: &[u8]) -> Result<Model> {
    let bytes = Bytes::copy_from_slice(bytes);
    let proto = decode(bytes.clone())?;
    let producer = format!("{} {}", proto.producer_name, proto.producer_version).trim().to_string();
    let imported = import(&proto, bytes.len(), &Options::default())?;
    let provenance = BTreeMap::from([("format".into(), "onnx".into()), ("producer".into(), producer)]);
    let meta = Meta { provenance, ..Meta::default() };
    Ok(Model { graph: imported.graph, params: imported.params, meta })
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
    let opset = opset(proto)?;
    let Some(graph) = &proto.graph else { return Err(Error::format(reader::WHAT, "a graph", "none")) };
    let budget = options.constant_bytes.unwrap_or(16 * length as u64 + (1 << 20));
    Reader::read(graph, opset, budget, options)
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
