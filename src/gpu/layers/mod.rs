//! The layers on the device, and the table of all.

pub(super) mod activation;
pub(super) mod adaptive_avg_pool2d;
pub(super) mod add;
pub(super) mod avg_pool2d;
pub(super) mod batch_norm2d;
pub(super) mod concat;
pub(super) mod conv2d;
pub(super) mod convolution;
pub(super) mod depthwise;
pub(super) mod dropout;
pub(super) mod flatten;
pub(super) mod hard_swish;
pub(super) mod linear;
pub(super) mod local_response_norm;
pub(super) mod max_pool2d;
pub(super) mod mul;
pub(super) mod permute;
pub(super) mod pooling;
pub(super) mod rearrange;
pub(super) mod softmax;

use super::operation::GpuOperation;
use crate::layers::Layer;
use crate::plan::Step;

/// The operation of a step whose node has this layer.
pub(super) fn operation(layer: &Layer, step: &Step) -> Box<dyn GpuOperation> {
    let step = step.clone();
    match layer {
        Layer::Conv2d(layer) => Box::new(convolution::Convolution { layer: *layer, step }),
        Layer::Linear(_) => Box::new(linear::Linear { step }),
        Layer::MaxPool2d(layer) => Box::new(max_pool2d::MaxPool2d { window: layer.window, step }),
        Layer::AvgPool2d(layer) => Box::new(avg_pool2d::AvgPool2d { layer: *layer, step }),
        Layer::GlobalAvgPool(_) | Layer::AdaptiveAvgPool2d(_) => {
            Box::new(adaptive_avg_pool2d::AdaptiveAvgPool2d { step })
        }
        Layer::BatchNorm2d(layer) => Box::new(batch_norm2d::BatchNorm2d { layer: *layer, step }),
        Layer::LocalResponseNorm(layer) => Box::new(local_response_norm::LocalResponseNorm { layer: *layer, step }),
        Layer::HardSwish(_) => Box::new(hard_swish::HardSwish { step }),
        Layer::Softmax(_) => Box::new(softmax::Softmax { log: false, step }),
        Layer::LogSoftmax(_) => Box::new(softmax::Softmax { log: true, step }),
        Layer::Dropout(layer) => Box::new(dropout::Dropout { layer: *layer, step }),
        Layer::Flatten(_) => Box::new(flatten::Flatten { step }),
        Layer::Add(_) => Box::new(add::Add { step }),
        Layer::Mul(_) => Box::new(mul::Mul { step }),
        Layer::Concat(_) => Box::new(concat::Concat { step }),
        Layer::Pad(pad) => Box::new(rearrange::Rearrange::pad(pad, step)),
        Layer::Slice(slice) => Box::new(rearrange::Rearrange::slice(slice, step)),
        Layer::ChannelShuffle(shuffle) => Box::new(rearrange::Rearrange::shuffle(shuffle, step)),
        Layer::Permute(layer) => Box::new(permute::Permute { layer: *layer, step }),
        Layer::Relu(_)
        | Layer::Sigmoid(_)
        | Layer::Tanh(_)
        | Layer::LeakyRelu(_)
        | Layer::Clip(_)
        | Layer::HardSigmoid(_)
        | Layer::FakeQuantize(_) => {
            let activation = layer.activation().expect("these layers are activations");
            Box::new(activation::ActivationLayer { activation, step })
        }
    }
}
