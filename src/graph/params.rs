//! The weights of a network, by name, and their seeded initialisation.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Graph;
use crate::error::{Error, Result};
use crate::layers::{Layer, ParamSpec, Role};
use crate::rng::Rng;
use crate::tensor::quantized::{self, Quantized};
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

/// The calibrated range of each layer's input, by the layer's name: the largest magnitude that integer layers represent.
pub type Ranges = BTreeMap<String, f32>;

/// Reads the tensor of this name from the file that [`Param::Deferred`] ones are in.
pub type Read<'a> = dyn Fn(&str) -> Result<Param> + 'a;

/// A tensor of weights. Two are equal when they have the same values, or are the same one of a file.
#[derive(Debug, Clone)]
pub enum Param {
    /// In single precision.
    Floats(Tensor),
    /// Quantized to 8 bits.
    Quantized {
        /// The dimensions, outermost first.
        shape: Vec<usize>,
        /// The 8-bit values in row-major order, and a scale for each entry of the first dimension.
        quantized: Quantized,
    },
    /// Not yet read from its file.
    Deferred {
        /// The dimensions, outermost first.
        shape: Vec<usize>,
        /// The tensor's name in the file.
        name: String,
        /// Whether the file stores the tensor in 8 bits.
        quantized: bool,
    },
    /// A tensor whose rows, the entries of its first dimension, are each multiplied by a factor.
    RowScaled {
        /// The tensor before scaling.
        base: Arc<Param>,
        /// One factor for each row.
        factors: Vec<f64>,
    },
}

impl Param {
    /// The dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        match self {
            Param::Floats(tensor) => &tensor.shape,
            Param::Quantized { shape, .. } | Param::Deferred { shape, .. } => shape,
            Param::RowScaled { base, .. } => base.shape(),
        }
    }

    /// The same, to call it by another shape of as many values.
    pub fn shape_mut(&mut self) -> &mut Vec<usize> {
        match self {
            Param::Floats(tensor) => &mut tensor.shape,
            Param::Quantized { shape, .. } | Param::Deferred { shape, .. } => shape,
            Param::RowScaled { .. } => &mut self.values_mut().shape,
        }
    }

    /// Whether its values are stored in 8 bits.
    pub fn is_quantized(&self) -> bool {
        matches!(self, Param::Quantized { .. } | Param::Deferred { quantized: true, .. })
    }

    /// The same, no longer in a file, but not checked yet.
    ///
    /// # Errors
    /// Those of `read`; [`Error::Shape`] when the file is no longer what it was.
    pub(crate) fn read(self: &Arc<Self>, read: &Read) -> Result<Arc<Param>> {
        match &**self {
            Param::Deferred { shape, name, .. } => {
                let mut param = read(name)?;
                let form = |shape: &[usize]| (shape.first().copied(), shape.iter().product::<usize>());
                if form(param.shape()) != form(shape) {
                    let (expected, actual) = (dims(shape), dims(param.shape()));
                    return Err(Error::Shape { tensor: name.clone(), expected, actual });
                }
                param.shape_mut().clone_from(shape);
                Ok(Arc::new(param))
            }
            Param::RowScaled { base, factors } => {
                Ok(Arc::new(Param::RowScaled { base: base.read(read)?, factors: factors.clone() }))
            }
            _ => Ok(self.clone()),
        }
    }

    /// The values in single precision.
    ///
    /// # Panics
    /// When it is still in its file.
    pub fn values(&self) -> Cow<'_, Tensor> {
        match self {
            Param::Floats(tensor) => Cow::Borrowed(tensor),
            Param::Quantized { shape, quantized: Quantized { values, scales } } => {
                Cow::Owned(Tensor { shape: shape.clone(), data: quantized::dequantize(values, scales) })
            }
            Param::Deferred { name, .. } => panic!("`{name}` has not been read"),
            Param::RowScaled { .. } => Cow::Owned(Arc::new(self.clone()).into_values()),
        }
    }

    /// The form in 8 bits: its own codes, where it has some.
    ///
    /// # Panics
    /// As [`Param::values`].
    pub fn quantized(&self) -> Cow<'_, Quantized> {
        match self {
            Param::Quantized { quantized, .. } => Cow::Borrowed(quantized),
            Param::RowScaled { base, factors } if base.is_quantized() => {
                let Quantized { values, mut scales } = base.quantized().into_owned();
                scales.iter_mut().zip(factors).for_each(|(s, factor)| *s = (f64::from(*s) * factor) as f32);
                Cow::Owned(Quantized { values, scales })
            }
            _ => Cow::Owned(quantized::quantize(&self.values())),
        }
    }

    /// The same of one that nobody else may have any longer: then it is scaled in its place.
    pub(crate) fn into_values(self: Arc<Self>) -> Tensor {
        match Arc::unwrap_or_clone(self) {
            Param::Floats(tensor) => tensor,
            Param::RowScaled { base, factors } => {
                let mut tensor = base.into_values();
                let row = tensor.data.len() / factors.len();
                tensor.data.chunks_exact_mut(row).zip(factors).for_each(|(row, factor)| scale_row(row, factor));
                tensor
            }
            other => other.values().into_owned(),
        }
    }

    /// The same, to write to.
    pub fn values_mut(&mut self) -> &mut Tensor {
        if !matches!(self, Param::Floats(_)) {
            *self = Param::Floats(self.values().into_owned());
        }
        let Param::Floats(tensor) = self else { unreachable!("it became floats") };
        tensor
    }

    /// # Errors
    /// [`Error::NotFinite`] for NaN or infinity; `name` says where.
    pub(crate) fn check(&self, name: &str) -> Result<()> {
        match self.not_finite() {
            Some((index, value)) => Err(Error::NotFinite { what: format!("tensor `{name}`"), index, value }),
            None => Ok(()),
        }
    }

    /// The first value that is not finite. Of codes, the first of the channel.
    fn not_finite(&self) -> Option<(usize, f32)> {
        match self {
            Param::Floats(Tensor { data, .. }) => {
                let index = if is_finite(data) { None } else { data.iter().position(|v| !v.is_finite()) }?;
                Some((index, data[index]))
            }
            Param::Quantized { quantized: Quantized { values, scales }, .. } => {
                // A file's codes may be one beyond the levels.
                let channel = scales.iter().position(|s| !(s * (quantized::WEIGHT_LEVELS + 1.0)).is_finite())?;
                Some((channel * (values.len() / scales.len()), scales[channel]))
            }
            Param::Deferred { .. } => None,
            Param::RowScaled { base, factors } => {
                let row = factors.iter().position(|factor| !factor.is_finite());
                row.map(|row| (row, factors[row] as f32)).or_else(|| base.not_finite())
            }
        }
    }
}

/// Every weight of a network passes here when it is loaded.
#[cfg_attr(optimize_attribute, optimize(speed))]
fn scale_row(row: &mut [f32], factor: f64) {
    row.iter_mut().for_each(|w| *w = (f64::from(*w) * factor) as f32);
}

/// Whether all of them are: the largest of the bits that say how large they are tells. Every weight of a network passes
/// here when it is loaded.
#[cfg_attr(optimize_attribute, optimize(speed))]
fn is_finite(values: &[f32]) -> bool {
    values.iter().fold(0, |largest, v| (v.to_bits() & i32::MAX as u32).max(largest)) < f32::INFINITY.to_bits()
}

impl PartialEq for Param {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Param::Deferred { name: a, .. }, Param::Deferred { name: b, .. }) => a == b,
            (Param::Deferred { .. }, _) | (_, Param::Deferred { .. }) => false,
            _ => self.values() == other.values(),
        }
    }
}

impl From<Tensor> for Arc<Param> {
    fn from(tensor: Tensor) -> Self {
        Arc::new(Param::Floats(tensor))
    }
}

/// Tensors by their full names, such as `conv1.weight`.
pub type Tensors = BTreeMap<String, Arc<Param>>;

/// The weights of a network. Linear weights are `[out, in]` with `in` in CHW order, convolutions OIHW. A clone shares
/// tensors until one is written to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Params {
    tensors: Tensors,
    ranges: Ranges,
}

impl Params {
    /// Fresh weights: the same seed gives the same weights. Each tensor draws from its own stream.
    pub fn init(graph: &Graph, init: Init, seed: u32) -> Self {
        let tensor = |(stream, (name, spec)): (usize, (String, ParamSpec))| {
            let mut tensor = Tensor::zeros(spec.shape.clone());
            init.fill(spec.role, &mut tensor.data, Rng::new(seed, stream as u32));
            (name, tensor.into())
        };
        Params { tensors: graph.params().into_iter().enumerate().map(tensor).collect(), ranges: Ranges::default() }
    }

    /// Exactly these tensors, which must be those that `graph` has.
    ///
    /// # Errors
    /// [`Error::Weights`], which lists every missing, unexpected and misshapen tensor;
    /// [`Error::NotFinite`] for NaN or infinity.
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
        let unexpected: Vec<String> = tensors.iter().map(|(name, _)| name.to_string()).collect();
        if !(missing.is_empty() && unexpected.is_empty() && misshapen.is_empty()) {
            return Err(Error::Weights { graph: graph.name().into(), missing, unexpected, misshapen });
        }
        params.iter().try_for_each(|(name, tensor)| tensor.check(name))?;
        Ok(Params { tensors: params.into_iter().collect(), ranges: Ranges::default() })
    }

    /// The same weights with these ranges, as far as they are of layers of `graph`. Weights that are changed by
    /// training lose them.
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

    /// The same, with nothing left in the file.
    ///
    /// # Errors
    /// As [`Param::read`], and [`Error::NotFinite`].
    #[cfg(all(feature = "bindings", target_arch = "wasm32"))]
    pub(crate) fn read(&self, read: &Read) -> Result<Self> {
        let read = |(name, param): (&String, &Arc<Param>)| {
            let param = param.read(read)?;
            param.check(name)?;
            Ok((name.to_string(), param))
        };
        let named = self.tensors.iter().map(read);
        Ok(Params { tensors: named.collect::<Result<Tensors>>()?, ranges: self.ranges.clone() })
    }

    /// The ranges of layers that have been calibrated.
    pub fn ranges(&self) -> &Ranges {
        &self.ranges
    }

    /// The tensor of this name, which the graph says exists.
    ///
    /// # Panics
    /// When it does not: `Params` are only made for a graph.
    pub fn param(&self, name: &str) -> &Arc<Param> {
        self.tensors.get(name).unwrap_or_else(|| panic!("no parameter `{name}`: these weights belong to another graph"))
    }

    /// Its values in single precision.
    ///
    /// # Panics
    /// As [`Params::param`].
    pub fn tensor(&self, name: &str) -> Cow<'_, Tensor> {
        self.param(name).values()
    }

    /// The same, to write to.
    ///
    /// # Panics
    /// As [`Params::param`].
    pub fn tensor_mut(&mut self, name: &str) -> &mut Tensor {
        let none = || panic!("no parameter `{name}`: these weights belong to another graph");
        Arc::make_mut(self.tensors.get_mut(name).unwrap_or_else(none)).values_mut()
    }

    /// The tensors themselves.
    pub fn into_tensors(self) -> Tensors {
        self.tensors
    }

    /// The values of all tensors, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Cow<'_, Tensor>)> {
        self.tensors.iter().map(|(name, t)| (name.as_str(), t.values()))
    }

    /// All tensors, sorted by name.
    pub fn params(&self) -> impl Iterator<Item = (&str, &Arc<Param>)> {
        self.tensors.iter().map(|(name, param)| (name.as_str(), param))
    }

    /// The parameters of one node, in the order of its layer: weight, bias.
    pub fn of_node<'a>(&'a self, graph: &Graph, node: usize) -> Vec<&'a Arc<Param>> {
        graph.param_names(node).map(|name| self.param(&name)).collect()
    }

    /// Whether this tensor, not one like it, has the name here.
    pub(crate) fn holds(&self, name: &str, tensor: &Arc<Param>) -> bool {
        self.tensors.get(name).is_some_and(|own| Arc::ptr_eq(own, tensor))
    }

    /// Drops a tensor that the engine can return.
    pub(crate) fn release(&mut self, name: &str) {
        self.tensors.remove(name);
    }

    /// Puts back a tensor that [`Params::release`] dropped.
    pub(crate) fn put_back(&mut self, name: String, tensor: Arc<Param>) {
        self.tensors.insert(name, tensor);
    }

    /// The same weights, those in codes as floats.
    pub fn dequantized(&self) -> Self {
        let mut params = self.clone();
        for t in params.tensors.values_mut() {
            if let Param::Quantized { .. } = **t {
                *t = t.values().into_owned().into();
            }
        }
        params
    }

    /// The number of values.
    pub fn count(&self) -> usize {
        self.tensors.iter().map(|(_, t)| t.shape().iter().product::<usize>()).sum()
    }
}
