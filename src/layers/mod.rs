//! What a layer is: attributes, output shape, parameters, cost, and a naive reference in double precision.
//!
//! One file per layer, each readable as a textbook page. Nothing here knows how a layer is run fast; the engines are
//! tested against these references.

mod activation;
mod adaptive_avg_pool2d;
mod add;
mod attributes;
mod avg_pool2d;
mod batch_norm2d;
mod channel_shuffle;
mod clip;
mod concat;
mod conv2d;
pub mod dropout;
mod fake_quantize;
mod flatten;
mod global_avg_pool;
mod hard_sigmoid;
mod hard_swish;
mod leaky_relu;
mod linear;
mod local_response_norm;
mod log_softmax;
mod loss;
mod max_pool2d;
mod mul;
mod pad;
mod permute;
mod relu;
mod sigmoid;
mod slice;
mod softmax;
mod tanh;
mod window;

use std::fmt::Display;

pub use activation::Activation;
pub use adaptive_avg_pool2d::AdaptiveAvgPool2d;
pub use add::Add;
pub use avg_pool2d::AvgPool2d;
pub use batch_norm2d::BatchNorm2d;
pub use channel_shuffle::ChannelShuffle;
pub use clip::Clip;
pub use concat::Concat;
pub use conv2d::Conv2d;
pub use dropout::Dropout;
pub use fake_quantize::FakeQuantize;
pub use flatten::Flatten;
pub use global_avg_pool::GlobalAvgPool;
pub use hard_sigmoid::HardSigmoid;
pub use hard_swish::HardSwish;
pub use leaky_relu::LeakyRelu;
pub use linear::Linear;
pub use local_response_norm::LocalResponseNorm;
pub use log_softmax::LogSoftmax;
pub use loss::{Loss, predicted_class};
pub use max_pool2d::MaxPool2d;
pub use mul::Mul;
pub use pad::Pad;
pub use permute::Permute;
pub use relu::Relu;
pub use sigmoid::Sigmoid;
pub use slice::Slice;
pub use softmax::Softmax;
pub use tanh::Tanh;
pub use window::{Padding, Window};

use attributes::{Attributes, Fields};

use crate::tensor::{Shape, Tensor};

/// What does not fit, before the graph adds the layer's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Which attribute or input.
    pub what: String,
    /// What it had to be.
    pub expected: String,
    /// What it is.
    pub actual: String,
}

impl Mismatch {
    pub(crate) fn new(what: impl Display, expected: impl Display, actual: impl Display) -> Self {
        Mismatch { what: what.to_string(), expected: expected.to_string(), actual: actual.to_string() }
    }
}

/// How many inputs a layer takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// Exactly one.
    One,
    /// Two or more.
    Many,
}

/// What a parameter is: how it starts and whether it is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Random at first; trained with weight decay.
    Weight {
        /// Inputs that reach one output through it.
        fan_in: usize,
        /// Outputs that one input reaches through it.
        fan_out: usize,
    },
    /// Zero at first; trained without decay.
    Bias,
    /// One at first; trained without decay.
    Scale,
    /// Zero at first; follows the batches' means.
    RunningMean,
    /// One at first; follows the batches' variances.
    RunningVariance,
}

impl Role {
    /// Whether the optimizer changes it.
    pub fn is_trained(self) -> bool {
        !matches!(self, Role::RunningMean | Role::RunningVariance)
    }

    /// Whether weight decay applies to it.
    pub fn decays(self) -> bool {
        matches!(self, Role::Weight { .. })
    }
}

/// A parameter tensor of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamSpec {
    /// The last part of its name: `weight`, `bias`, `running_mean`, `running_var`.
    pub name: &'static str,
    /// OIHW for convolutions, `[out, in]` for linear layers, `[out]` or `[channels]` for the others.
    pub shape: Vec<usize>,
    /// What it is.
    pub role: Role,
}

impl ParamSpec {
    fn bias(n: usize) -> Self {
        ParamSpec { name: "bias", shape: vec![n], role: Role::Bias }
    }

    /// The number of values.
    pub fn elements(&self) -> usize {
        Shape::new(self.shape.clone()).elements()
    }
}

/// Whether a layer runs for inference or for training, and where its random numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Dropout is the identity.
    Inference,
    /// Dropout draws [`crate::rng::word`]`(seed, stream, i)` for the value at NCHW position `i`.
    Training {
        /// The step's seed.
        seed: u32,
        /// The layer's stream.
        stream: u32,
    },
}

/// Gradients of the loss with respect to a layer's inputs and parameters, in their order.
#[derive(Debug, Clone)]
pub struct Gradients {
    /// One for each input, of its shape.
    pub inputs: Vec<Tensor<f64>>,
    /// One for each parameter, of its shape.
    pub params: Vec<Tensor<f64>>,
}

impl Gradients {
    fn input(dx: Tensor<f64>) -> Self {
        Gradients { inputs: vec![dx], params: vec![] }
    }
}

/// What every layer says of itself. Shapes are of one sample; tensors carry the batch first (NCHW).
pub trait LayerDef {
    /// How many inputs it takes.
    fn arity(&self) -> Arity {
        Arity::One
    }

    /// The shape of its output.
    ///
    /// # Errors
    /// A [`Mismatch`] when attributes or input shapes make no sense.
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch>;

    /// Its parameters, given input shapes that [`LayerDef::output_shape`] accepted.
    fn params(&self, _inputs: &[Shape]) -> Vec<ParamSpec> {
        vec![]
    }

    /// Multiply-accumulates for one sample (convolutions and linear layers only, as papers count).
    fn macs(&self, _inputs: &[Shape], _output: &Shape) -> u64 {
        0
    }
}

/// The reference: a layer's formula written down, in double precision. Tests and checks run it; engines do not, so a
/// build without them leaves it out.
pub trait Reference {
    /// `y` from the inputs, batch first.
    fn forward(&self, x: &[&Tensor<f64>], params: &[&Tensor<f64>], mode: Mode) -> Tensor<f64>;

    /// Its derivative: given `y = forward(x)` and `dy` = dL/dy.
    fn backward(
        &self,
        x: &[&Tensor<f64>],
        params: &[&Tensor<f64>],
        y: &Tensor<f64>,
        dy: &Tensor<f64>,
        mode: Mode,
    ) -> Gradients;
}

/// The registry: one line per layer makes it known to files, graphs and documentation.
macro_rules! registry {
    ($($(#[$doc:meta])* $name:ident = $kind:literal,)*) => {
        /// Any layer.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Layer {
            $($(#[$doc])* $name($name),)*
        }

        $(impl From<$name> for Layer {
            fn from(layer: $name) -> Self {
                Layer::$name(layer)
            }
        })*

        impl Layer {
            /// Every kind that a graph may name.
            pub const KINDS: &'static [&'static str] = &[$($kind),*];

            /// The name of its kind, as files spell it.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Layer::$name(_) => $kind,)*
                }
            }

            /// Its attributes as JSON.
            pub fn attributes(&self) -> Fields {
                match self {
                    $(Layer::$name(layer) => layer.to_fields(),)*
                }
            }

            /// The layer of this kind with these attributes; `None` when no layer is called so.
            ///
            /// # Errors
            /// A [`Mismatch`] that names the attribute which is missing, unknown or of the wrong type.
            pub fn from_attributes(kind: &str, fields: Fields) -> Option<Result<Layer, Mismatch>> {
                match kind {
                    $($kind => Some(Attributes::from_fields(fields).map(Layer::$name)),)*
                    _ => None,
                }
            }

            /// Its definition.
            pub fn def(&self) -> &dyn LayerDef {
                match self {
                    $(Layer::$name(layer) => layer,)*
                }
            }

            /// Its formula.
            pub fn reference(&self) -> &dyn Reference {
                match self {
                    $(Layer::$name(layer) => layer,)*
                }
            }
        }
    };
}

registry! {
    /// Convolution.
    Conv2d = "conv2d",
    /// Fully connected.
    Linear = "linear",
    /// Maximum over windows.
    MaxPool2d = "max_pool2d",
    /// Mean over windows.
    AvgPool2d = "avg_pool2d",
    /// max(x, 0).
    Relu = "relu",
    /// 1 / (1 + exp(-x)).
    Sigmoid = "sigmoid",
    /// Hyperbolic tangent.
    Tanh = "tanh",
    /// Probabilities over channels.
    Softmax = "softmax",
    /// Random zeros while training.
    Dropout = "dropout",
    /// Map to vector.
    Flatten = "flatten",
    /// Sum of inputs.
    Add = "add",
    /// Inputs stacked along channels.
    Concat = "concat",
    /// Mean of each feature map.
    GlobalAvgPool = "global_avg_pool",
    /// Means over a grid of fixed size.
    AdaptiveAvgPool2d = "adaptive_avg_pool2d",
    /// Normalisation by a batch's statistics.
    BatchNorm2d = "batch_norm2d",
    /// Normalisation by neighbouring channels.
    LocalResponseNorm = "local_response_norm",
    /// x where positive, else slope * x.
    LeakyRelu = "leaky_relu",
    /// Between two bounds.
    Clip = "clip",
    /// Sigmoid in three straight pieces.
    HardSigmoid = "hard_sigmoid",
    /// x times its hard sigmoid.
    HardSwish = "hard_swish",
    /// Logarithm of softmax.
    LogSoftmax = "log_softmax",
    /// Product of two inputs.
    Mul = "mul",
    /// A constant around a map.
    Pad = "pad",
    /// Every n-th value of a range.
    Slice = "slice",
    /// Channels interleaved across groups.
    ChannelShuffle = "channel_shuffle",
    /// Axes in another order.
    Permute = "permute",
    /// Rounded to 8 bits.
    FakeQuantize = "fake_quantize",
}

impl Layer {
    /// The element-wise function, if it is one that other layers can apply to their output.
    pub fn activation(&self) -> Option<Activation> {
        match self {
            Layer::Relu(_) => Some(Activation::Relu),
            Layer::Sigmoid(_) => Some(Activation::Sigmoid),
            Layer::Tanh(_) => Some(Activation::Tanh),
            Layer::LeakyRelu(layer) => Some(layer.activation()),
            Layer::Clip(layer) => Some(layer.activation()),
            Layer::HardSigmoid(layer) => Some(layer.activation()),
            Layer::FakeQuantize(layer) => Some(layer.activation()),
            _ => None,
        }
    }
}

/// The single input of a layer that takes one; the graph has checked the count.
fn only<T>(inputs: &[T]) -> Result<&T, Mismatch> {
    match inputs {
        [one] => Ok(one),
        _ => Err(Mismatch::new("inputs", 1, inputs.len())),
    }
}

/// The `(channels, height, width)` of a layer's only input, which must be a map.
fn only_map(inputs: &[Shape]) -> Result<(usize, usize, usize), Mismatch> {
    let shape = only(inputs)?;
    if shape.is_map() { Ok(shape.chw()) } else { Err(Mismatch::new("input shape", "CxHxW", shape)) }
}

/// `y = f(x)` and `dx = dy * f'(y)` for activations whose derivative is a function of their output.
fn elementwise(activation: Activation, x: &[&Tensor<f64>]) -> Tensor<f64> {
    x[0].map(|&v| activation.apply(v))
}

fn elementwise_backward(activation: Activation, y: &Tensor<f64>, dy: &Tensor<f64>) -> Gradients {
    let data = y.data.iter().zip(&dy.data).map(|(&y, &dy)| dy * activation.derivative(y)).collect();
    Gradients::input(Tensor { shape: y.shape.clone(), data })
}
