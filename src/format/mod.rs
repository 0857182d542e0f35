//! Files: Convoke's own model file ([`Model`]), plain weights ([`weights`]), and ONNX.
//!
//! A Convoke model is one [safetensors](https://github.com/huggingface/safetensors) file that any safetensors tool can
//! open: tensors by name, and in `__metadata__`
//!
//! | key | value |
//! |---|---|
//! | `convoke` | the version of this table, `1` |
//! | `graph` | the network as JSON ([`crate::graph::Graph::to_json`]) |
//! | `labels` | names of the classes, a JSON array; may be missing |
//! | `preprocess` | how an image becomes an input ([`crate::vision::Preprocess`] as JSON); may be missing |
//! | `ranges` | the largest magnitude of each calibrated layer's inputs, a JSON object of numbers by layer; may be missing. On the CPU these layers may compute in 8 bits |
//! | `provenance` | the origin of the weights, a JSON object of strings; may be missing |
//! | `sha256` | the hash of the tensor bytes, in hexadecimal |
//!
//! Weights are F32, F16 or BF16, or I8 with an F32 tensor `<name>.scale` of one value for each output channel.
//!
//! Files may come from anyone: limits are checked before anything is allocated.

mod container;
mod model;
#[cfg(feature = "onnx")]
pub mod onnx;
pub mod weights;

pub(crate) use container::{Container, Stored, write};
pub use container::{MAX_HEADER, Source};
pub use model::{MODEL_VERSION, Meta, Model, WeightFormat};
pub(crate) use model::{check_version, json};
