//! The weights of a network, by name, and their seeded initialisation.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Graph;
use crate::error::{Error, Result};
use crate::layers::{Layer, ParamSpec, Role};
use crate::quant::{self, Quantized};
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

/// Reads the tensor of this name from the file that [`Param::Filed`] ones are in.
pub type Read<'a> = dyn Fn(&str) -> Result<Param> + 'a;

/// A tensor of weights. Two are equal when they have the same values, or are the same one of a file.
#[derive(Debug, Clone)]
pub enum Param {
    /// In single precision.
    Floats(Tensor),
    /// In 8 bits.
    Codes {
        /// The dimensions, outermost first.
        shape: Vec<usize>,
        /// As many codes, and a scale for each entry of the first dimension.
        codes: Quantized,
    },
    /// Still in its file.
    Filed {
        /// The dimensions, outermost first.
        shape: Vec<usize>,
        /// What the file calls it.
        name: String,
        /// Whether it is in 8 bits there.
        codes: bool,
    },
    /// Another, whose entries of the first dimension are multiplied with a factor each.
    Scaled {
        /// The other.
        of: Arc<Param>,
        /// The factors.
        factors: Vec<f64>,
    },
}

impl Param {
    /// The dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        match self {
            Param::Floats(tensor) => &tensor.shape,
            Param::Codes { shape, .. } | Param::Filed { shape, .. } => shape,
            Param::Scaled { of, .. } => of.shape(),
        }
    }

    /// The same, to call it by another shape of as many values.
    pub fn shape_mut(&mut self) -> &mut Vec<usize> {
        match self {
            Param::Floats(tensor) => &mut tensor.shape,
            Param::Codes { shape, .. } | Param::Filed { shape, .. } => shape,
            Param::Scaled { .. } => &mut self.values_mut().shape,
        }
    }

    /// Whether its values are stored in 8 bits.
    pub fn in_codes(&self) -> bool {
        matches!(self, Param::Codes { .. } | Param::Filed { codes: true, .. })
    }

    /// The same, no longer in a file, but not checked yet.
    ///
    /// # Errors
    /// Those of `read`; [`Error::Shape`] when the file is no longer what it was.
    pub(crate) fn read(self: &Arc<Self>, read: &Read) -> Result<Arc<Param>> {
        match &**self {
            Param::Filed { shape, name, .. } => {
                let mut param = read(name)?;
                let form = |shape: &[usize]| (shape.first().copied(), shape.iter().product::<usize>());
                if form(param.shape()) != form(shape) {
                    let (expected, actual) = (dims(shape), dims(param.shape()));
                    return Err(Error::Shape { tensor: name.clone(), expected, actual });
                }
                param.shape_mut().clone_from(shape);
                Ok(Arc::new(param))
            }
            Param::Scaled { of, factors } => {
                Ok(Arc::new(Param::Scaled { of: of.read(read)?, factors: factors.clone() }))
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
            Param::Codes { shape, codes: Quantized { values, scales } } => {
                Cow::Owned(Tensor { shape: shape.clone(), data: quant::dequantize(values, scales) })
            }
            Param::Filed { name, .. } => panic!("`{name}` has not been read"),
            Param::Scaled { .. } => Cow::Owned(Arc::new(self.clone()).into_values()),
        }
    }

    /// The form in 8 bits: its own codes, where it has some.
    ///
    /// # Panics
    /// As [`Param::values`].
    pub fn quantized(&self) -> Cow<'_, Quantized> {
        match self {
            Param::Codes { codes, .. } => Cow::Borrowed(codes),
            Param::Scaled { of, factors } if of.in_codes() => {
                let Quantized { values, mut scales } = of.quantized().into_owned();
                scales.iter_mut().zip(factors).for_each(|(s, factor)| *s = (f64::from(*s) * factor) as f32);
                Cow::Owned(Quantized { values, scales })
            }
            _ => Cow::Owned(quant::quantize(&self.values())),
        }
    }

    /// The same of one that nobody else may have any longer: then it is scaled in its place.
    pub(crate) fn into_values(self: Arc<Self>) -> Tensor {
        match Arc::unwrap_or_clone(self) {
            Param::Floats(tensor) => tensor,
            Param::Scaled { of, factors } => {
                let mut tensor = of.into_values();
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
            Param::Codes { codes: Quantized { values, scales }, .. } => {
                // A file's codes may be one beyond the levels.
                let channel = scales.iter().position(|s| !(s * (quant::WEIGHT_LEVELS + 1.0)).is_finite())?;
                Some((channel * (values.len() / scales.len()), scales[channel]))
            }
            Param::Filed { .. } => None,
            Param::Scaled { of, factors } => {
                let row = factors.iter().position(|factor| !factor.is_finite());
                row.map(|row| (row, factors[row] as f32)).or_else(|| of.not_finite())
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
            (Param::Filed { name: a, .. }, Param::Filed { name: b, .. }) => a == b,
            (Param::Filed { .. }, _) | (_, Param::Filed { .. }) => false,
            _ => self.values() == other.values(),
        }
    }
}

impl From<Tensor> for Arc<Param> {
    fn from(tensor: Tensor) -> Self {
        Arc::new(Param::Floats(tensor))
    }
}

/// Tensors by full name, `conv1.weight`, sorted. (A tree of them would be a tenth of the code that deals with weights.)
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tensors(Vec<(String, Arc<Param>)>);

impl Tensors {
    fn place(&self, name: &str) -> std::result::Result<usize, usize> {
        self.0.binary_search_by(|(own, _)| own.as_str().cmp(name))
    }

    /// The tensor of this name, if there is one.
    pub fn get(&self, name: &str) -> Option<&Arc<Param>> {
        self.place(name).ok().map(|i| &self.0[i].1)
    }

    /// The same, to write to.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Arc<Param>> {
        self.place(name).ok().map(|i| &mut self.0[i].1)
    }

    /// Sets the tensor of this name.
    pub fn insert(&mut self, name: String, tensor: Arc<Param>) {
        match self.place(&name) {
            Ok(i) => self.0[i].1 = tensor,
            Err(i) => self.0.insert(i, (name, tensor)),
        }
    }

    /// Takes the tensor of this name out, if there is one.
    pub fn remove(&mut self, name: &str) -> Option<Arc<Param>> {
        self.place(name).ok().map(|i| self.0.remove(i).1)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<Param>)> {
        self.0.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }
}

impl FromIterator<(String, Arc<Param>)> for Tensors {
    fn from_iter<I: IntoIterator<Item = (String, Arc<Param>)>>(named: I) -> Self {
        let mut tensors = Tensors::default();
        named.into_iter().for_each(|(name, tensor)| tensors.insert(name, tensor));
        tensors
    }
}

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
                self.ranges.insert(node.name.clone(), range);
            }
        }
        self
    }

    /// The same, with nothing left in the file.
    ///
    /// # Errors
    /// As [`Param::read`], and [`Error::NotFinite`].
    #[cfg(feature = "bindings")]
    pub(crate) fn read(&self, read: &Read) -> Result<Self> {
        let read = |(name, param): (&str, &Arc<Param>)| {
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
    pub fn share(&self, name: &str) -> &Arc<Param> {
        self.tensors.get(name).unwrap_or_else(|| panic!("no parameter `{name}`: these weights belong to another graph"))
    }

    /// Its values in single precision.
    ///
    /// # Panics
    /// As [`Params::share`].
    pub fn get(&self, name: &str) -> Cow<'_, Tensor> {
        self.share(name).values()
    }

    /// The same, to write to.
    ///
    /// # Panics
    /// As [`Params::share`].
    pub fn get_mut(&mut self, name: &str) -> &mut Tensor {
        let none = || panic!("no parameter `{name}`: these weights belong to another graph");
        Arc::make_mut(self.tensors.get_mut(name).unwrap_or_else(none)).values_mut()
    }

    /// The tensors themselves.
    pub fn into_tensors(self) -> Tensors {
        self.tensors
    }

    /// The values of all tensors, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Cow<'_, Tensor>)> {
        self.tensors.iter().map(|(name, t)| (name, t.values()))
    }

    /// All tensors, sorted by name.
    pub fn iter_shared(&self) -> impl Iterator<Item = (&str, &Arc<Param>)> {
        self.tensors.iter()
    }

    /// The parameters of one node, in the order of its layer: weight, bias.
    pub fn of_node<'a>(&'a self, graph: &Graph, node: usize) -> Vec<&'a Arc<Param>> {
        graph.param_names(node).map(|name| self.share(&name)).collect()
    }

    /// Whether this tensor, not one like it, has the name here.
    pub(crate) fn holds(&self, name: &str, tensor: &Arc<Param>) -> bool {
        self.tensors.get(name).is_some_and(|own| Arc::ptr_eq(own, tensor))
    }

    /// Lets go of a tensor that somebody else can give back.
    pub(crate) fn lend(&mut self, name: &str) {
        self.tensors.remove(name);
    }

    /// Takes a tensor back that was lent.
    pub(crate) fn take_back(&mut self, name: String, tensor: Arc<Param>) {
        self.tensors.insert(name, tensor);
    }

    /// The same weights, those in codes as floats.
    pub fn in_floats(&self) -> Self {
        let mut params = self.clone();
        for (_, t) in &mut params.tensors.0 {
            if let Param::Codes { .. } = **t {
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
