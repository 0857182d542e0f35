//! Layers: attributes, output shape, parameters, cost, and a naive reference in double precision.
//!
//! Each layer has a file of its own that reads as a textbook page. Nothing here knows how a layer is run fast; the engines
//! are tested against the references.
//!
//! | file | holds |
//! |---|---|
//! | `definition.rs` | [`LayerDef`] and its vocabulary: [`Arity`], [`ParamSpec`], [`Role`], [`Mismatch`] |
//! | `reference.rs` | [`Reference`], [`Mode`], [`Gradients`] |
//! | `activation.rs`, `activation_layer.rs` | [`Activation`], and the layers that are nothing else |
//! | `window.rs` | [`Window`] and [`Padding`], which convolutions and poolings share |
//! | `registry.rs` | [`Layer`]: one line for each layer |

mod activation;
mod activation_layer;
mod adaptive_avg_pool2d;
mod add;
mod attributes;
mod avg_pool2d;
mod batch_norm2d;
mod channel_shuffle;
mod clip;
mod concat;
mod conv2d;
mod definition;
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
mod reference;
mod registry;
mod relu;
mod sigmoid;
mod slice;
mod softmax;
mod tanh;
mod window;

pub use activation::Activation;
pub use activation_layer::ActivationLayer;
pub use adaptive_avg_pool2d::AdaptiveAvgPool2d;
pub use add::Add;
pub use avg_pool2d::AvgPool2d;
pub use batch_norm2d::BatchNorm2d;
pub use channel_shuffle::ChannelShuffle;
pub use clip::Clip;
pub use concat::Concat;
pub use conv2d::Conv2d;
pub use definition::{Arity, LayerDef, Mismatch, ParamSpec, Role};
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
pub use loss::{LOSSES, Loss, predicted_class};
pub use max_pool2d::MaxPool2d;
pub use mul::Mul;
pub use pad::Pad;
pub use permute::Permute;
pub use reference::{Gradients, Mode, Reference};
pub use registry::Layer;
pub use relu::Relu;
pub use sigmoid::Sigmoid;
pub use slice::Slice;
pub use softmax::Softmax;
pub use tanh::Tanh;
pub use window::{Padding, Window};
