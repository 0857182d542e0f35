//! The list of all layers.

use super::activation::Activation;
use super::adaptive_avg_pool2d::AdaptiveAvgPool2d;
use super::add::Add;
use super::attributes::{Fields, from_fields, to_fields};
use super::avg_pool2d::AvgPool2d;
use super::batch_norm2d::BatchNorm2d;
use super::channel_shuffle::ChannelShuffle;
use super::clip::Clip;
use super::concat::Concat;
use super::conv2d::Conv2d;
use super::definition::{LayerDef, Mismatch};
use super::dropout::Dropout;
use super::fake_quantize::FakeQuantize;
use super::flatten::Flatten;
use super::global_avg_pool::GlobalAvgPool;
use super::hard_sigmoid::HardSigmoid;
use super::hard_swish::HardSwish;
use super::leaky_relu::LeakyRelu;
use super::linear::Linear;
use super::local_response_norm::LocalResponseNorm;
use super::log_softmax::LogSoftmax;
use super::max_pool2d::MaxPool2d;
use super::mul::Mul;
use super::pad::Pad;
use super::permute::Permute;
use super::reference::Reference;
use super::relu::Relu;
use super::sigmoid::Sigmoid;
use super::slice::Slice;
use super::softmax::Softmax;
use super::tanh::Tanh;

/// Defines [`Layer`]: one line for each layer makes the layer known to files, graphs and documentation.
macro_rules! registry {
    ($($(#[$doc:meta])* $name:ident = $kind:literal,)*) => {
        /// A layer of any kind.
        ///
        /// # Examples
        /// ```
        /// use convoke::layers::{Layer, Linear};
        /// let layer = Layer::from(Linear::new(10));
        /// assert_eq!(layer.kind(), "linear");
        /// assert!(Layer::KINDS.contains(&"linear"));
        /// ```
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
            /// The kinds that a graph may name, in the order of the variants.
            pub const KINDS: &'static [&'static str] = &[$($kind),*];

            /// Returns the name of the layer's kind, as files spell it.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Layer::$name(_) => $kind,)*
                }
            }

            /// Returns the layer's attributes as a JSON object.
            pub fn attributes(&self) -> Fields {
                match self {
                    $(Layer::$name(layer) => to_fields(layer),)*
                }
            }

            /// Makes a layer of this kind with these attributes; `None` when there is no such kind.
            ///
            /// # Errors
            /// A [`Mismatch`] that names the attribute which is missing, unknown or of the wrong type.
            pub fn from_attributes(kind: &str, fields: Fields) -> Option<Result<Layer, Mismatch>> {
                match kind {
                    $($kind => Some(from_fields(fields).map(Layer::$name)),)*
                    _ => None,
                }
            }

            /// Returns the layer's definition: arity, shapes, parameters, cost.
            pub fn def(&self) -> &dyn LayerDef {
                match self {
                    $(Layer::$name(layer) => layer,)*
                }
            }

            /// Returns the layer's formula in double precision.
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
    /// Fully connected layer.
    Linear = "linear",
    /// Maximum over windows.
    MaxPool2d = "max_pool2d",
    /// Mean over windows.
    AvgPool2d = "avg_pool2d",
    /// `max(x, 0)`.
    Relu = "relu",
    /// `1 / (1 + exp(-x))`.
    Sigmoid = "sigmoid",
    /// Hyperbolic tangent.
    Tanh = "tanh",
    /// Probabilities over channels.
    Softmax = "softmax",
    /// Random zeros in training.
    Dropout = "dropout",
    /// Feature map to vector.
    Flatten = "flatten",
    /// Sum of inputs.
    Add = "add",
    /// Inputs stacked along channels.
    Concat = "concat",
    /// Mean of each feature map.
    GlobalAvgPool = "global_avg_pool",
    /// Means over a grid of fixed size.
    AdaptiveAvgPool2d = "adaptive_avg_pool2d",
    /// Normalization by the statistics of a batch.
    BatchNorm2d = "batch_norm2d",
    /// Normalization by neighbouring channels.
    LocalResponseNorm = "local_response_norm",
    /// `x` where positive, else `slope * x`.
    LeakyRelu = "leaky_relu",
    /// Clamping between two bounds.
    Clip = "clip",
    /// Sigmoid in three straight pieces.
    HardSigmoid = "hard_sigmoid",
    /// Product of x and its hard sigmoid.
    HardSwish = "hard_swish",
    /// Logarithm of softmax.
    LogSoftmax = "log_softmax",
    /// Product of two inputs.
    Mul = "mul",
    /// A constant around a feature map.
    Pad = "pad",
    /// Every n-th value of a range.
    Slice = "slice",
    /// Channels interleaved across groups.
    ChannelShuffle = "channel_shuffle",
    /// Axes in another order.
    Permute = "permute",
    /// Values rounded to 8 bits.
    FakeQuantize = "fake_quantize",
}

impl Layer {
    /// Returns the layer's element-wise function if other layers can apply the function to their output as they write
    /// it: `Some` for exactly the layers that implement [`super::ActivationLayer`].
    pub fn activation(&self) -> Option<Activation> {
        self.def().activation()
    }
}
