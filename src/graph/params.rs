//! The parameters of a network, by name.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::init::Init;
use super::network::Graph;
use super::param::{Param, ReadParam};
use crate::error::{Error, Result};
use crate::layers::ParamSpec;
use crate::rng::Rng;
use crate::tensor::{Tensor, dims};

/// The calibrated range of each layer's input, by the layer's name: the largest magnitude that integer layers represent,
/// 1e-18 to 1e18.
pub type Ranges = BTreeMap<String, f32>;

/// Tensors by their full names, such as `conv1.weight`.
pub type Tensors = BTreeMap<String, Arc<Param>>;

/// The parameters of a network by full name, such as `conv1.weight`, and its calibrated ranges. A clone shares each tensor
/// until one of both is written to.
///
/// # Shapes
/// Weights of convolutions are `[out, in / groups, KH, KW]`, weights of linear layers `[out, in]` with `in` in the order
/// CHW; all other parameters are vectors.
///
/// # Examples
/// ```
/// use convoke::graph::{Init, Params};
/// use convoke::zoo::{self, Options};
/// let graph = zoo::network("lenet5", Options::default())?;
/// let mut params = Params::init(&graph, Init::of(&graph), 1);
/// assert_eq!(params.tensor("conv1.weight").shape, [6, 1, 5, 5]);
/// params.tensor_mut("conv1.bias").data.fill(0.5);
/// assert!(params.get("conv9.bias").is_none());
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Params {
    tensors: Tensors,
    ranges: Ranges,
}

impl Params {
    /// Initializes the parameters of `graph`. Equal seeds give equal parameters. Each tensor draws from a random stream of
    /// its own.
    pub fn init(graph: &Graph, init: Init, seed: u32) -> Self {
        let tensor = |(stream, (name, spec)): (usize, (String, ParamSpec))| {
            let mut tensor = Tensor::zeros(spec.shape.clone());
            init.fill(spec.role, &mut tensor.data, Rng::new(seed, stream as u32));
            (name, tensor.into())
        };
        Params { tensors: graph.params().into_iter().enumerate().map(tensor).collect(), ranges: Ranges::default() }
    }

    /// Makes the parameters of `graph` from these tensors, without ranges.
    ///
    /// # Errors
    /// Returns [`Error::Weights`], which lists all missing, unexpected and misshapen tensors, unless `tensors` has exactly
    /// the names and shapes of the graph's parameters. Returns [`Error::NotFinite`] for NaN or infinity. Deferred tensors
    /// are checked when they are read.
    pub fn new(graph: &Graph, mut tensors: Tensors) -> Result<Self> {
        let (mut missing, mut misshapen) = (vec![], vec![]);
        let mut params = vec![];
        for (name, spec) in graph.params() {
            match tensors.remove(&name) {
                None => missing.push(name),
                Some(t) if t.shape() != spec.shape => {
                    misshapen.push(format!("{name}: expected {}, got {}", dims(&spec.shape), dims(t.shape())));
                }
                Some(t) => {
                    params.push((name, t));
                }
            }
        }
        let unexpected: Vec<String> = tensors.into_keys().collect();
        if !(missing.is_empty() && unexpected.is_empty() && misshapen.is_empty()) {
            return Err(Error::Weights { graph: graph.name().into(), missing, unexpected, misshapen });
        }
        params.iter().try_for_each(|(name, tensor)| tensor.check(name))?;
        Ok(Params { tensors: params.into_iter().collect(), ranges: Ranges::default() })
    }

    /// Replaces the ranges by those in `ranges` that belong to layers of `graph`. Training drops all ranges, which no longer
    /// fit the changed weights.
    #[must_use]
    pub fn calibrated(mut self, graph: &Graph, ranges: &Ranges) -> Self {
        self.ranges = Ranges::default();
        for node in graph.nodes() {
            if let Some(range) = ranges.get(&node.name) {
                self.ranges.insert(node.name.clone(), *range);
            }
        }
        self
    }

    /// Returns the parameters with all values in memory: `read` is called for each tensor that is [`Param::Deferred`].
    ///
    /// # Errors
    /// Returns the errors of `read`, [`Error::Shape`] when a tensor in the file has changed its shape, and
    /// [`Error::NotFinite`] for NaN or infinity.
    pub fn read(&self, read: &ReadParam) -> Result<Self> {
        let read = |(name, param): (&str, &Arc<Param>)| {
            let param = param.read(read)?;
            param.check(name)?;
            Ok((name.to_string(), param))
        };
        let named = self.params().map(read);
        Ok(Params { tensors: named.collect::<Result<Tensors>>()?, ranges: self.ranges.clone() })
    }

    /// Returns the calibrated ranges; empty unless [`Params::calibrated`] has set some.
    pub fn ranges(&self) -> &Ranges {
        &self.ranges
    }

    /// Returns the tensor of this name, as it is held, or `None` where there is none.
    pub fn get(&self, name: &str) -> Option<&Arc<Param>> {
        self.tensors.get(name)
    }

    /// Returns the tensor of this name, as it is held. [`Params::get`] does not panic.
    ///
    /// # Panics
    /// Panics when there is no tensor of this name: the parameters then belong to another graph.
    pub fn param(&self, name: &str) -> &Arc<Param> {
        self.get(name).unwrap_or_else(|| panic!("no parameter `{name}`: these weights belong to another graph"))
    }

    /// Returns the values of the tensor of this name in single precision.
    ///
    /// # Panics
    /// Panics when there is no tensor of this name, and when its values have not been read ([`Param::Deferred`]).
    pub fn tensor(&self, name: &str) -> Cow<'_, Tensor> {
        self.param(name).values()
    }

    /// Returns the values of the tensor of this name for writing. Copies a tensor that a clone shares.
    ///
    /// # Panics
    /// Panics when there is no tensor of this name, and when its values have not been read ([`Param::Deferred`]).
    pub fn tensor_mut(&mut self, name: &str) -> &mut Tensor {
        let none = || panic!("no parameter `{name}`: these weights belong to another graph");
        Arc::make_mut(self.tensors.get_mut(name).unwrap_or_else(none)).values_mut()
    }

    /// Returns the tensors; drops the ranges.
    pub fn into_tensors(self) -> Tensors {
        self.tensors
    }

    /// Returns the values of all tensors in single precision, sorted by name.
    ///
    /// # Panics
    /// The iterator panics at a tensor whose values have not been read ([`Param::Deferred`]).
    pub fn iter(&self) -> impl Iterator<Item = (&str, Cow<'_, Tensor>)> {
        self.tensors.iter().map(|(name, t)| (name.as_str(), t.values()))
    }

    /// Returns all tensors as they are held, sorted by name.
    pub fn params(&self) -> impl Iterator<Item = (&str, &Arc<Param>)> {
        self.tensors.iter().map(|(name, param)| (name.as_str(), param))
    }

    /// Returns the parameters of the node at index `node`, in the order of its layer.
    ///
    /// # Panics
    /// Panics when the parameters belong to another graph.
    pub fn of_node<'a>(&'a self, graph: &Graph, node: usize) -> Vec<&'a Arc<Param>> {
        graph.param_names(node).map(|name| self.param(&name)).collect()
    }

    /// Returns whether `tensor` itself, and not an equal one, is stored under `name`.
    pub(crate) fn holds(&self, name: &str, tensor: &Arc<Param>) -> bool {
        self.tensors.get(name).is_some_and(|own| Arc::ptr_eq(own, tensor))
    }

    /// Drops the tensor `name`, which an engine holds in packed form and can return.
    pub(crate) fn release(&mut self, name: &str) {
        self.tensors.remove(name);
    }

    /// Stores a tensor that [`Params::release`] dropped.
    pub(crate) fn put_back(&mut self, name: String, tensor: Arc<Param>) {
        self.tensors.insert(name, tensor);
    }

    /// Returns the parameters with all quantized tensors dequantized.
    pub fn dequantized(&self) -> Self {
        let mut params = self.clone();
        for t in params.tensors.values_mut() {
            if let Param::Quantized { .. } = **t {
                *t = t.values().into_owned().into();
            }
        }
        params
    }

    /// Returns the number of values in all tensors.
    pub fn count(&self) -> usize {
        self.tensors.values().map(|t| t.shape().iter().product::<usize>()).sum()
    }
}
