//! A network with its weights and metadata, as one file.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::container::{Container, Stored, scale_name, write};
use super::weights;
use crate::error::{Error, Result};
use crate::graph::{Graph, Node, Param, Params, Ranges, Tensors};
use crate::layers::{Layer, Loss};
use crate::quant;
use crate::vision::{Channels, Preprocess};

/// The version of model files that this build reads and writes.
pub const MODEL_VERSION: &str = "1";

/// A network with its weights and metadata.
///
/// # Examples
/// ```
/// use convoke::format::{Meta, Model, WeightFormat};
/// use convoke::graph::{Init, Params};
/// use convoke::zoo::{self, Options};
/// let graph = zoo::network("lenet5", Options::default())?;
/// let params = Params::init(&graph, Init::of(&graph), 1);
/// let model = Model { graph, params, meta: Meta::default() };
/// let bytes = model.to_bytes(WeightFormat::F32)?;
/// assert_eq!(Model::from_bytes(&bytes)?, model);
/// assert!(3 * model.to_bytes(WeightFormat::Int8)?.len() < bytes.len());
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The network.
    pub graph: Graph,
    /// The network's parameters.
    pub params: Params,
    /// Labels, preprocessing and provenance.
    pub meta: Meta,
}

/// The metadata of a file beside network and weights. Empty fields are not written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Meta {
    /// The names of the classes: one for each class, or none at all.
    pub labels: Vec<String>,
    /// The preprocessing of images; without it they are stretched to the input's size ([`Model::preprocess`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preprocess: Option<Preprocess>,
    /// The origin of the weights: command, seed, figures.
    pub provenance: BTreeMap<String, String>,
}

/// The number format in which a file stores weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightFormat {
    /// Single precision.
    F32,
    /// 8 bits with a scale for each output channel; single precision for vectors. Tensors that are held in 8 bits keep their
    /// quantized values.
    Int8,
    /// 8 bits for tensors that are held in 8 bits, single precision for all others.
    #[serde(skip)]
    AsHeld,
}

impl Model {
    /// Reads the model in these bytes. They may come from anyone: limits are checked before anything is allocated.
    ///
    /// # Errors
    /// Returns [`Error::Format`], [`Error::TooLarge`] or [`Error::Integrity`] for bytes that are no intact model,
    /// [`Error::Version`] for another version than [`MODEL_VERSION`], the errors of [`Graph::from_json`] for the network, and
    /// those of [`Params::new`] for the weights.
    pub fn from_bytes(bytes: &[u8]) -> Result<Model> {
        Self::of(&Container::read(&bytes)?)
    }

    /// Reads the model in this file.
    ///
    /// # Errors
    /// Returns the errors of [`Model::from_bytes`].
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

    /// Reads the network in this file, without its weights.
    ///
    /// # Errors
    /// Returns [`Error::Format`] for a file that is no model, [`Error::Version`] for another version than
    /// [`MODEL_VERSION`], and the errors of [`Graph::from_json`].
    pub(crate) fn graph_of(file: &Container) -> Result<Graph> {
        check_version(file.required("convoke")?, "model", MODEL_VERSION)?;
        file.require_hash()?;
        Graph::from_json(file.required("graph")?)
    }

    /// Reads the weights of `graph` in a plain safetensors file.
    ///
    /// # Errors
    /// Returns the errors of [`weights::read`] for the tensors.
    pub(crate) fn from_weights(file: &Container, graph: Graph) -> Result<Model> {
        let params = weights::of(&graph, file)?;
        Ok(Model { graph, params, meta: Meta::default() })
    }

    /// Returns the part of the network that the output of the layer `layer` depends on, with its weights and preprocessing.
    /// That output becomes the only one.
    ///
    /// # Errors
    /// Returns [`Error::Argument`] when there is no layer of this name.
    pub fn until(&self, layer: &str) -> Result<Model> {
        let meta = Meta { preprocess: self.meta.preprocess.clone(), ..Meta::default() };
        self.part(self.graph.until(layer)?, meta)
    }

    /// Returns the model without the auxiliary heads, which only training needs.
    ///
    /// # Errors
    /// Returns the errors of [`Graph::new`]; none of them occurs for a valid graph.
    pub fn without_auxiliary(&self) -> Result<Model> {
        self.part(self.graph.without_auxiliary()?, self.meta.clone())
    }

    /// Returns the model of `graph`, a part of the network.
    fn part(&self, graph: Graph, meta: Meta) -> Result<Model> {
        let tensors = graph.params().into_iter().map(|(name, _)| {
            let tensor = self.params.param(&name).clone();
            (name, tensor)
        });
        let params = Params::new(&graph, tensors.collect())?.calibrated(&graph, self.params.ranges());
        Ok(Model { graph, params, meta })
    }

    /// Returns the preprocessing of images: the file's, or stretching to the input's size without normalization.
    ///
    /// # Errors
    /// Returns [`Error::Argument`] when the file has none and the input is not `[1, H, W]` or `[3, H, W]`.
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

    /// Writes the model as a file. Equal models give equal bytes.
    ///
    /// # Errors
    /// Returns [`Error::Format`] unless there are no labels or one for each class, [`Error::Argument`] for preprocessing
    /// with values out of their ranges, and [`Error::TooLarge`] for a header of more than [`super::MAX_HEADER`] bytes.
    ///
    /// # Panics
    /// Panics for values that have not been read from their file ([`Param::Deferred`]).
    pub fn to_bytes(&self, weights: WeightFormat) -> Result<Vec<u8>> {
        self.meta.check(&self.graph)?;
        let mut tensors = vec![];
        for (name, param) in self.params.params() {
            let quantize = match weights {
                WeightFormat::F32 => false,
                WeightFormat::Int8 => param.shape().len() > 1,
                WeightFormat::AsHeld => param.is_quantized(),
            };
            match &**param {
                param if quantize => {
                    let [values, scales] = Stored::quantized(param.shape(), param.quantized().into_owned());
                    tensors.push((name.into(), values));
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
    /// Returns the name of a class: its label, or its number where there are no labels.
    pub fn label(&self, class: usize) -> String {
        self.labels.get(class).cloned().unwrap_or_else(|| class.to_string())
    }

    pub(super) fn check(&self, graph: &Graph) -> Result<()> {
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

/// Checks a version.
///
/// # Errors
/// Returns [`Error::Version`] unless `found` is `supported`.
pub(crate) fn check_version(found: &str, what: &str, supported: &str) -> Result<()> {
    if found == supported {
        return Ok(());
    }
    // The file may hold anything, so the message repeats only a part of it.
    let found = found.chars().take(20).collect();
    Err(Error::Version { what: what.into(), found, supported: supported.into() })
}

/// Returns plain data as JSON text.
pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data")
}

/// Reads the ranges of calibrated layers.
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

/// Reads all weights, as they are stored; scales become part of the tensors to which they belong.
fn weights(file: &Container) -> Result<Tensors> {
    let names = file.names().into_iter().filter(|name| !file.is_scale(name));
    names.map(|name| file.param(&name).map(|param| (name, Arc::new(param)))).collect()
}
