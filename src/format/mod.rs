//! Bytes to networks and back.
//!
//! A Convoke model is one [safetensors](https://github.com/huggingface/safetensors) file that any safetensors tool can
//! open: tensors by name, and in `__metadata__`
//!
//! | key | value |
//! |---|---|
//! | `convoke` | the version of this table, `1` |
//! | `graph` | the network as JSON ([`Graph::to_json`]) |
//! | `labels` | names of the classes, a JSON array; may be missing |
//! | `preprocess` | how an image becomes an input ([`Preprocess`] as JSON); may be missing |
//! | `ranges` | the largest magnitude of inputs that counts, a JSON object of numbers by layer; may be missing. On the CPU these layers may compute in 8 bits |
//! | `provenance` | where the weights came from, a JSON object of strings; may be missing |
//! | `sha256` | of the tensor bytes, in hexadecimal |
//!
//! Weights are F32, F16 or BF16, or I8 with an F32 tensor `<name>.scale` of one value for each output channel.

mod container;
#[cfg(feature = "onnx")]
pub mod onnx;
pub mod weights;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

pub(crate) use container::{Container, Stored, write};
pub use container::{MAX_HEADER, Source};

use crate::error::{Error, Result};
use crate::graph::{Graph, Node, Param, Params, Ranges, Tensors};
use crate::layers::{Layer, Loss};
use crate::quant;
use crate::vision::{Channels, Preprocess};
use container::scale_name;

/// The version of the file that this build reads and writes.
pub const MODEL_VERSION: &str = "1";

/// A network with its weights, and what is needed to use them.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The network.
    pub graph: Graph,
    /// Its weights.
    pub params: Params,
    /// What else the file says.
    pub meta: Meta,
}

/// What a file says beside network and weights. Empty fields are not written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Meta {
    /// Names of the classes, one for each or none.
    pub labels: Vec<String>,
    /// How an image becomes an input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preprocess: Option<Preprocess>,
    /// Where the weights came from: command, seed, figures.
    pub provenance: BTreeMap<String, String>,
}

/// How weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weights {
    /// Exactly.
    F32,
    /// In 8 bits with a scale for each output channel; vectors exactly. What is held in 8 bits keeps its codes.
    Int8,
    /// Exactly, and in 8 bits what is held so.
    #[serde(skip)]
    AsHeld,
}

impl Model {
    /// The model in these bytes, which may come from anyone: limits are checked before anything is allocated.
    ///
    /// # Errors
    /// [`Error::Format`], [`Error::TooLarge`] and [`Error::Integrity`] for the file, [`Error::Version`] for one of
    /// another version, those of [`Graph::from_json`] for the network and those of [`Params::new`] for the weights.
    pub fn from_bytes(bytes: &[u8]) -> Result<Model> {
        Self::of(&Container::read(&bytes)?)
    }

    /// The model in this file.
    ///
    /// # Errors
    /// As [`Model::from_bytes`].
    pub(crate) fn of(file: &Container) -> Result<Model> {
        let graph = Self::graph_of(file)?;
        let params = Params::new(&graph, weights(file)?)?.calibrated(&graph, &ranges(file, &graph)?);
        let meta = Meta {
            labels: file.json("labels")?,
            preprocess: file.json("preprocess")?,
            provenance: file.json("provenance")?,
        };
        meta.check(&graph)?;
        Ok(Model { graph, params, meta })
    }

    /// Its network alone.
    ///
    /// # Errors
    /// As [`Model::from_bytes`], without those of weights.
    pub(crate) fn graph_of(file: &Container) -> Result<Graph> {
        check_version(file.required("convoke")?, "model", MODEL_VERSION)?;
        file.require_hash()?;
        Graph::from_json(file.required("graph")?)
    }

    /// The weights of `graph` in a plain safetensors file.
    ///
    /// # Errors
    /// As [`Model::from_bytes`], without those of metadata.
    #[cfg(all(feature = "bindings", target_arch = "wasm32"))]
    pub(crate) fn from_weights(file: &Container, graph: Graph) -> Result<Model> {
        let params = weights::of(&graph, file)?;
        Ok(Model { graph, params, meta: Meta::default() })
    }

    /// The part of the network that ends in this layer's output, with its weights: what the layer gives out is what it
    /// answers.
    ///
    /// # Errors
    /// [`Error::Argument`] when there is no such layer.
    pub fn until(&self, layer: &str) -> Result<Model> {
        let meta = Meta { preprocess: self.meta.preprocess.clone(), ..Meta::default() };
        self.part(self.graph.until(layer)?, meta)
    }

    /// The network without the auxiliary heads that only training needs.
    ///
    /// # Errors
    /// Those of [`Graph::without_auxiliary`].
    pub fn without_auxiliary(&self) -> Result<Model> {
        self.part(self.graph.without_auxiliary()?, self.meta.clone())
    }

    /// A part of the network with its weights.
    fn part(&self, graph: Graph, meta: Meta) -> Result<Model> {
        let tensors = graph.params().into_iter().map(|(name, _)| {
            let tensor = self.params.param(&name).clone();
            (name, tensor)
        });
        let params = Params::new(&graph, tensors.collect())?.calibrated(&graph, self.params.ranges());
        Ok(Model { graph, params, meta })
    }

    /// How an image becomes an input: what the file says, or stretched to the input's size.
    ///
    /// # Errors
    /// [`Error::Argument`] when the input is not an image.
    pub fn preprocess(&self) -> Result<Preprocess> {
        if let Some(preprocess) = &self.meta.preprocess {
            return Ok(preprocess.clone());
        }
        let (channels, size) = match *self.graph.input().dims() {
            [1, h, w] => (Channels::Gray, [h, w]),
            [3, h, w] => (Channels::Rgb, [h, w]),
            _ => {
                let expected = format!("numbers of {} (this network sees no images)", self.graph.input());
                return Err(Error::argument("input", expected, "an image"));
            }
        };
        Ok(Preprocess { channels, size: Some(size), ..Preprocess::default() })
    }

    /// The model as a file. The same model gives the same bytes.
    ///
    /// # Errors
    /// [`Error::Format`] when labels or preprocessing do not fit the network.
    pub fn to_bytes(&self, weights: Weights) -> Result<Vec<u8>> {
        self.meta.check(&self.graph)?;
        let mut tensors = vec![];
        for (name, param) in self.params.params() {
            let coded = match weights {
                Weights::F32 => false,
                Weights::Int8 => param.shape().len() > 1,
                Weights::AsHeld => param.is_quantized(),
            };
            match &**param {
                param if coded => {
                    let [codes, scales] = Stored::quantized(param.shape(), param.quantized().into_owned());
                    tensors.push((name.into(), codes));
                    tensors.push((scale_name(name), scales));
                }
                Param::Floats(tensor) => tensors.push((name.into(), Stored::f32(&tensor.shape, &tensor.data))),
                param => {
                    let tensor = param.values().into_owned();
                    tensors.push((name.into(), Stored::owned(&tensor.shape, tensor.data)));
                }
            }
        }
        write(tensors, self.metadata())
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        let Meta { labels, preprocess, provenance } = &self.meta;
        let mut metadata =
            BTreeMap::from([("convoke".into(), MODEL_VERSION.into()), ("graph".into(), self.graph.to_json())]);
        if !labels.is_empty() {
            metadata.insert("labels".into(), json(labels));
        }
        if let Some(preprocess) = preprocess {
            metadata.insert("preprocess".into(), json(preprocess));
        }
        let mut ranges = Map::new();
        for (layer, range) in self.params.ranges().iter() {
            ranges.insert(layer.clone(), (*range).into());
        }
        if !ranges.is_empty() {
            metadata.insert("ranges".into(), json(&Json::Object(ranges)));
        }
        if !provenance.is_empty() {
            metadata.insert("provenance".into(), json(provenance));
        }
        metadata
    }
}

impl Meta {
    /// The name of a class: its label, or its number where there are no labels.
    pub fn label(&self, class: usize) -> String {
        self.labels.get(class).cloned().unwrap_or_else(|| class.to_string())
    }

    fn check(&self, graph: &Graph) -> Result<()> {
        // One output tells two classes apart.
        let classes = Loss::BinaryCrossEntropy.classes(graph.classes());
        if !self.labels.is_empty() && self.labels.len() != classes {
            let expected = format!("{classes} names, one for each class");
            return Err(Error::format("metadata `labels`", expected, self.labels.len()));
        }
        match &self.preprocess {
            Some(preprocess) => preprocess.validate(),
            None => Ok(()),
        }
    }
}

/// Refuses versions other than the one supported.
pub(crate) fn check_version(found: &str, what: &str, supported: &str) -> Result<()> {
    if found == supported {
        return Ok(());
    }
    // What a file claims is repeated only in part: it may be anything.
    let found = found.chars().take(20).collect();
    Err(Error::Version { what: what.into(), found, supported: supported.into() })
}

/// Plain data as JSON text.
pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data")
}

/// The ranges of calibrated layers.
fn ranges(file: &Container, graph: &Graph) -> Result<Ranges> {
    let mut ranges = Ranges::default();
    for (layer, value) in file.json::<Map<String, Json>>("ranges")? {
        let has_weights = |n: &Node| n.name == layer && matches!(n.layer, Layer::Conv2d(_) | Layer::Linear(_));
        if !graph.nodes().iter().any(has_weights) {
            let expected = "ranges of the network's convolutions and linear layers";
            return Err(Error::format("metadata `ranges`", expected, format!("`{layer}`")));
        }
        match value.as_f64().map(|range| range as f32).filter(|&range| quant::is_range(range)) {
            Some(range) => {
                ranges.insert(layer, range);
            }
            None => {
                let what = format!("metadata `ranges` of `{layer}`");
                return Err(Error::format(what, "a number above 0", json(&value)));
            }
        }
    }
    Ok(ranges)
}

/// Every weight, in single precision or in codes; scales are part of the tensor they belong to.
fn weights(file: &Container) -> Result<Tensors> {
    let names = file.names().into_iter().filter(|name| !file.is_scale(name));
    names.map(|name| file.param(&name).map(|param| (name, Arc::new(param)))).collect()
}
