//! Reads and writes [ONNX](https://onnx.ai) files.
//!
//! # Reading
//! IR version 3 and later ([`MIN_IR_VERSION`]), operator sets 6 to 24 of the default domain ([`OPSETS`]; after 21 the
//! operators below only accept more types), weights inside the file, and one input whose first dimension is the batch.
//! One error lists everything in a file that Convoke does not have ([`Error::Unsupported`]).
//!
//! - Nodes that no output needs are not read, nor are outputs with the number of the likeliest class (`ArgMax`) beside
//!   others ([`Imported::left_out`]; [`read`] names them in the provenance).
//! - Convolutions and poolings have one or two spatial dimensions. Operators without a layer of their own are composed
//!   of several layers.
//! - Constants may have every type of real numbers.
//! - An image with its channels last that the file transposes first is taken with its channels first.
//! - Quantized values are held as the floats that they stand for, outputs too ([`Scale`]). Integer inputs are held as
//!   floats, which are exact up to 2^24.
//! - Hostile files: the number of records is limited before the file is decoded ([`MAX_RECORDS`]), tensors are
//!   allocated once the file has shown to hold their values, and [`Options::constant_bytes`] limits the constants that
//!   are computed from others.
//!
//! # Writing
//! Operator set 17, IR version 8, batch `N`; labels, preprocessing and provenance become the metadata properties
//! `convoke.*`, which [`read`] finds again.
//!
//! # Operators
#![doc = include_str!("operators.md")]

// From the bottom to the top, each file uses only files before it: proto, scan, number_types, const_tensor, decode,
// quantized_constant, node, value, builder, shape, adaptive, fold, ops, registry, import, meta, writer. In fold:
// elementwise, generate, movement, gemm, norm, pool, reduce, quantize. In ops: compose, window, conv, gemm, pool,
// reduce, norm, movement, pad, transpose, quantize, activation, elementwise.
mod adaptive;
mod builder;
mod const_tensor;
mod decode;
mod fold;
mod import;
mod meta;
mod node;
mod number_types;
mod ops;
mod proto;
mod quantized_constant;
mod registry;
mod scan;
mod shape;
mod value;
mod writer;

use std::collections::{BTreeSet, HashSet};

use prost::Message;
use prost::bytes::Bytes;

pub use decode::Constant;
pub use import::{Imported, Options};
pub use scan::MAX_RECORDS;
pub use value::Scale;
pub use writer::MAX_FILE;

use crate::error::{Error, Result};
use crate::format::Model;
use crate::tensor::Tensor;
use proto::{GraphProto, ModelProto};
use scan::MODEL;

/// The operator sets that are read.
pub const OPSETS: std::ops::RangeInclusive<i64> = 6..=24;

/// The earliest version of the file format that is read.
pub const MIN_IR_VERSION: i64 = 3;

/// Reads a file into a model, whose provenance names the program that wrote the file. [`Options`] are the defaults.
///
/// # Errors
/// [`Error::Format`] and [`Error::TooLarge`] for a file that is not valid, [`Error::Version`] for its IR version or
/// operator set, [`Error::Unsupported`] with everything in the file that Convoke does not have, and
/// [`Error::NotFinite`] for weights that are not finite.
///
/// # Examples
/// ```
/// use convoke::format::{Meta, Model, onnx};
/// use convoke::graph::{Init, Params};
/// use convoke::zoo;
///
/// let graph = zoo::network("lenet5", zoo::Options::default())?;
/// let params = Params::init(&graph, Init::He, 1);
/// let bytes = onnx::write(&Model { graph, params, meta: Meta::default() })?;
/// let model = onnx::read(bytes)?;
/// assert_eq!(model.graph.classes(), 10);
/// # Ok::<(), convoke::Error>(())
/// ```
pub fn read(bytes: Vec<u8>) -> Result<Model> {
    let length = bytes.len();
    let proto = decode(bytes.into())?;
    let imported = import(&proto, length, &Options::default())?;
    let mut meta = meta::read(&proto, &imported.graph)?;
    if !imported.left_out.is_empty() {
        meta.provenance.insert("left out".into(), format!("output {}", imported.left_out.join(", ")));
    }
    Ok(Model { graph: imported.graph, params: imported.params, meta })
}

/// Reads a file, from any source, into a network. Decoding copies no weights; they are copied once, into
/// [`Params`](crate::graph::Params).
///
/// # Errors
/// The errors of [`read`], [`Graph::new`](crate::graph::Graph::new) and
/// [`Params::new`](crate::graph::Params::new).
pub fn read_with(bytes: Vec<u8>, options: &Options) -> Result<Imported> {
    let length = bytes.len();
    import(&decode(bytes.into())?, length, options)
}

/// Computes the outputs of a file whose inputs are all [`Options::constants`]: the part of a network that is folded
/// while reading.
///
/// # Errors
/// The errors of [`read`]; [`Error::Unsupported`] for an output that is no constant.
pub fn fold(bytes: &[u8], options: &Options) -> Result<Vec<Tensor>> {
    let proto = decode(Bytes::copy_from_slice(bytes))?;
    let (opset, graph) = opset_and_graph(&proto)?;
    import::fold(graph, opset, constant_bytes(bytes.len(), options), options)
}

/// Writes a model. The input is called `input`, outputs have the names of the nodes that make them, and weights keep
/// their names. Weights are written as floats.
///
/// # Errors
/// [`Error::Format`] when labels or preprocessing do not fit the network; [`Error::TooLarge`] for a file of more than
/// [`MAX_FILE`] bytes or [`MAX_RECORDS`] records, which could not be read again.
pub fn write(model: &Model) -> Result<Vec<u8>> {
    model.meta.check(&model.graph)?;
    let bytes = writer::write(&model.graph, &model.params, meta::write(&model.meta))?;
    scan::check_model(&bytes)?;
    Ok(bytes)
}

/// Lists the operators that a file uses; names of other domains than ONNX's own begin with the domain, as in
/// `com.microsoft.QGemm`.
///
/// # Errors
/// [`Error::Format`] and [`Error::TooLarge`] for a file that is not valid.
pub fn operators(bytes: &[u8]) -> Result<BTreeSet<String>> {
    let graph = decode(Bytes::copy_from_slice(bytes))?.graph.unwrap_or_default();
    Ok(graph.node.iter().map(node::operator_name).collect())
}

/// Lists the operators that can be read, some only for constants; names of other domains begin with the domain, as
/// [`operators`] gives them.
pub fn supported_operators() -> BTreeSet<String> {
    registry::OPERATORS.iter().map(registry::Operator::full_name).collect()
}

/// Lists the inputs for which a file has no values, in the file's order.
///
/// # Errors
/// [`Error::Format`] and [`Error::TooLarge`] for a file that is not valid.
pub fn input_names(bytes: &[u8]) -> Result<Vec<String>> {
    let graph = decode(Bytes::copy_from_slice(bytes))?.graph.unwrap_or_default();
    let given: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    Ok(graph.input.iter().map(|i| i.name.clone()).filter(|name| !given.contains(name.as_str())).collect())
}

fn decode(bytes: Bytes) -> Result<ModelProto> {
    scan::check_model(&bytes)?;
    ModelProto::decode(bytes).map_err(|e| Error::format(MODEL, "a protobuf message `ModelProto`", e))
}

fn import(proto: &ModelProto, length: usize, options: &Options) -> Result<Imported> {
    let (opset, graph) = opset_and_graph(proto)?;
    import::import(graph, opset, constant_bytes(length, options), options)
}

/// Returns the bytes that the constants of a file of `length` bytes may take.
fn constant_bytes(length: usize, options: &Options) -> u64 {
    options.constant_bytes.unwrap_or(16 * length as u64 + (1 << 20))
}

/// Returns the version of the operator set, which must be one that is read, and the graph.
fn opset_and_graph(proto: &ModelProto) -> Result<(i64, &GraphProto)> {
    let version = |what: &str, found: i64, supported: String| Error::Version {
        what: format!("ONNX {what}"),
        found: found.to_string(),
        supported,
    };
    if proto.ir_version < MIN_IR_VERSION {
        return Err(version("IR", proto.ir_version, format!("{MIN_IR_VERSION} and later")));
    }
    let default_domain = proto.opset_import.iter().find(|o| node::is_default_domain(&o.domain));
    let opset = default_domain.map_or(0, |o| o.version);
    if !OPSETS.contains(&opset) {
        return Err(version("operator set", opset, format!("{} to {}", OPSETS.start(), OPSETS.end())));
    }
    let Some(graph) = &proto.graph else { return Err(Error::format(MODEL, "a graph", "none")) };
    Ok((opset, graph))
}
