//! The weights of a network, by name, and their seeded initialisation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Graph;
use crate::error::{Error, Result};
use crate::layers::{Layer, ParamSpec, Role};
use crate::rng::Rng;
use crate::tensor::{Tensor, dims};

/// How weights start. Biases start at zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// Normal with variance 2 / fan-in (He et al., 2015): for ReLU networks.
    He,
    /// Uniform with variance 2 / (fan-in + fan-out) (Glorot and Bengio, 2010): for tanh and sigmoid networks.
    Xavier,
}

impl Init {
    /// He where the graph has a ReLU, Xavier where it has none.
    pub fn of(graph: &Graph) -> Self {
        let relu = graph.nodes().iter().any(|n| matches!(n.layer, Layer::Relu(_)));
        if relu { Init::He } else { Init::Xavier }
    }

    fn fill(self, role: Role, values: &mut [f32], mut rng: Rng) {
        match (role, self) {
            (Role::Bias | Role::RunningMean, _) => values.fill(0.0),
            (Role::Scale | Role::RunningVariance, _) => values.fill(1.0),
            (Role::Weight { fan_in, .. }, Init::He) => {
                let deviation = (2.0 / fan_in as f32).sqrt();
                values.iter_mut().for_each(|v| *v = deviation * rng.normal());
            }
            (Role::Weight { fan_in, fan_out }, Init::Xavier) => {
                let bound = (6.0 / (fan_in + fan_out) as f32).sqrt();
                values.iter_mut().for_each(|v| *v = rng.range(-bound, bound));
            }
        }
    }
}

/// The largest magnitude of a layer's inputs that counts, by the layer's name: what it takes to compute it in integers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ranges(Vec<(String, f32)>);

impl Ranges {
    /// That of this layer, if it is known.
    pub fn get(&self, layer: &str) -> Option<f32> {
        self.iter().find(|(name, _)| *name == layer).map(|(_, range)| range)
    }

    /// Sets that of this layer, which has none.
    pub fn insert(&mut self, layer: String, range: f32) {
        self.0.push((layer, range));
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f32)> {
        self.0.iter().map(|(name, range)| (name.as_str(), *range))
    }
}

impl FromIterator<(String, f32)> for Ranges {
    fn from_iter<I: IntoIterator<Item = (String, f32)>>(ranges: I) -> Self {
        Ranges(ranges.into_iter().collect())
    }
}

/// Tensors by full name, `conv1.weight`. Linear weights are `[out, in]` with `in` in CHW order, convolutions OIHW.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Params {
    tensors: BTreeMap<String, Tensor>,
    ranges: Ranges,
}

impl Params {
    /// Fresh weights: the same seed gives the same weights. Each tensor draws from its own stream.
    pub fn init(graph: &Graph, init: Init, seed: u32) -> Self {
        let tensor = |(stream, (name, spec)): (usize, (String, ParamSpec))| {
            let mut tensor = Tensor::zeros(spec.shape.clone());
            init.fill(spec.role, &mut tensor.data, Rng::new(seed, stream as u32));
            (name, tensor)
        };
        Params { tensors: graph.params().into_iter().enumerate().map(tensor).collect(), ranges: Ranges::default() }
    }

    /// Exactly these tensors, which must be those that `graph` has.
    ///
    /// # Errors
    /// [`Error::Weights`], which lists every missing, unexpected and misshapen tensor;
    /// [`Error::NotFinite`] for NaN or infinity.
    pub fn new(graph: &Graph, mut tensors: BTreeMap<String, Tensor>) -> Result<Self> {
        let (mut missing, mut misshapen) = (vec![], vec![]);
        let mut params = BTreeMap::new();
        for (name, spec) in graph.params() {
            match tensors.remove(&name) {
                None => missing.push(name),
                Some(t) if t.shape != spec.shape => {
                    misshapen.push(format!("{name}: expected {}, got {}", dims(&spec.shape), dims(&t.shape)));
                }
                Some(t) => {
                    params.insert(name, t);
                }
            }
        }
        let unexpected: Vec<String> = tensors.into_keys().collect();
        if !(missing.is_empty() && unexpected.is_empty() && misshapen.is_empty()) {
            return Err(Error::Weights { graph: graph.name().into(), missing, unexpected, misshapen });
        }
        for (name, tensor) in &params {
            if let Some(index) = tensor.data.iter().position(|v| !v.is_finite()) {
                return Err(Error::NotFinite { what: format!("tensor `{name}`"), index, value: tensor.data[index] });
            }
        }
        Ok(Params { tensors: params, ranges: Ranges::default() })
    }

    /// The same weights with these ranges, as far as they are of layers of `graph`. Weights that are changed by
    /// training lose them.
    #[must_use]
    pub fn calibrated(mut self, graph: &Graph, ranges: &Ranges) -> Self {
        self.ranges = Ranges::default();
        for node in graph.nodes() {
            if let Some(range) = ranges.get(&node.name) {
                self.ranges.insert(node.name.clone(), range);
            }
        }
        self
    }

    /// The ranges of layers that have been calibrated.
    pub fn ranges(&self) -> &Ranges {
        &self.ranges
    }

    /// The tensor of this name, which the graph says exists.
    ///
    /// # Panics
    /// When it does not: `Params` are only made for a graph.
    pub fn get(&self, name: &str) -> &Tensor {
        self.tensors.get(name).unwrap_or_else(|| panic!("no parameter `{name}`: these weights belong to another graph"))
    }

    /// The same, to write to.
    pub fn get_mut(&mut self, name: &str) -> &mut Tensor {
        self.tensors
            .get_mut(name)
            .unwrap_or_else(|| panic!("no parameter `{name}`: these weights belong to another graph"))
    }

    /// The tensors themselves.
    pub fn into_tensors(self) -> BTreeMap<String, Tensor> {
        self.tensors
    }

    /// All tensors, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, t)| (name.as_str(), t))
    }

    /// The parameters of one node, in the order of its layer: weight, bias.
    pub fn of_node<'a>(&'a self, graph: &Graph, node: usize) -> Vec<&'a Tensor> {
        let node = &graph.nodes()[node];
        graph.node_params(node).iter().map(|p| self.get(&format!("{}.{}", node.name, p.name))).collect()
    }

    /// The number of values.
    pub fn count(&self) -> usize {
        self.tensors.values().map(|t| t.data.len()).sum()
    }
}
