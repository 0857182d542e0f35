//! The layers on the device, one file for each, and the table of all.

pub(crate) mod activation;
mod adaptive_avg_pool2d;
mod add;
mod avg_pool2d;
mod batch_norm2d;
mod concat;
mod conv2d;
mod convolution;
mod depthwise;
mod dropout;
pub(crate) mod flatten;
mod hard_swish;
mod linear;
mod local_response_norm;
mod log_softmax;
mod max_pool2d;
mod mul;
mod permute;
mod pooling;
mod rearrange;
mod softmax;

use super::copy::clear;
use super::recorder::Recorder;
use crate::graph::Graph;
use crate::layers::Layer;
use crate::plan::{BackwardStep, Step};

pub(crate) fn forward(r: &mut Recorder<'_>, graph: &Graph, step: &Step) {
    match &graph.nodes()[step.node].layer {
        Layer::Conv2d(layer) => convolution::forward(r, layer, step),
        Layer::Linear(_) => linear::forward(r, step),
        Layer::MaxPool2d(layer) => max_pool2d::forward(r, layer, step),
        Layer::AvgPool2d(layer) => avg_pool2d::forward(r, layer, step),
        Layer::GlobalAvgPool(_) | Layer::AdaptiveAvgPool2d(_) => adaptive_avg_pool2d::forward(r, step),
        Layer::BatchNorm2d(layer) => batch_norm2d::forward(r, layer, step),
        Layer::LocalResponseNorm(layer) => local_response_norm::forward(r, layer, step),
        Layer::HardSwish(_) => hard_swish::forward(r, step),
        Layer::Softmax(_) => softmax::forward(r, step),
        Layer::LogSoftmax(_) => log_softmax::forward(r, step),
        Layer::Dropout(layer) => dropout::forward(r, layer, step),
        Layer::Flatten(_) => flatten::forward(r, step),
        Layer::Add(_) => add::forward(r, step),
        Layer::Mul(_) => mul::forward(r, step),
        Layer::Concat(_) => concat::forward(r, step),
        layer @ (Layer::Pad(_) | Layer::Slice(_) | Layer::ChannelShuffle(_)) => {
            rearrange::forward(r, layer, step);
        }
        Layer::Permute(layer) => permute::forward(r, layer, step),
        layer @ (Layer::Relu(_)
        | Layer::Sigmoid(_)
        | Layer::Tanh(_)
        | Layer::LeakyRelu(_)
        | Layer::Clip(_)
        | Layer::HardSigmoid(_)
        | Layer::FakeQuantize(_)) => activation::forward(r, layer.activation(), step),
    }
}

pub(crate) fn backward(r: &mut Recorder<'_>, graph: &Graph, step: &Step, back: &BackwardStep) {
    for view in &back.clear {
        clear(r, *view);
    }
    if step.activation.is_some() {
        activation::backward(r, step.activation, step.output, back.dy, back.dy, false);
    }
    match &graph.nodes()[step.node].layer {
        Layer::Conv2d(layer) => convolution::backward(r, layer, step, back),
        Layer::Linear(_) => linear::backward(r, step, back),
        Layer::MaxPool2d(layer) => max_pool2d::backward(r, layer, step, back),
        Layer::AvgPool2d(layer) => avg_pool2d::backward(r, layer, step, back),
        Layer::GlobalAvgPool(_) | Layer::AdaptiveAvgPool2d(_) => adaptive_avg_pool2d::backward(r, back),
        Layer::BatchNorm2d(layer) => batch_norm2d::backward(r, layer, step, back),
        Layer::LocalResponseNorm(layer) => local_response_norm::backward(r, layer, step, back),
        Layer::HardSwish(_) => hard_swish::backward(r, step, back),
        Layer::Softmax(_) => softmax::backward(r, step, back),
        Layer::LogSoftmax(_) => log_softmax::backward(r, step, back),
        Layer::Dropout(layer) => dropout::backward(r, layer, step, back),
        Layer::Flatten(_) => flatten::backward(r, back),
        Layer::Add(_) => add::backward(r, back),
        Layer::Mul(_) => mul::backward(r, step, back),
        Layer::Concat(_) => concat::backward(r, step, back),
        layer @ (Layer::Pad(_) | Layer::Slice(_) | Layer::ChannelShuffle(_)) => {
            rearrange::backward(r, layer, back);
        }
        Layer::Permute(layer) => permute::backward(r, layer, back),
        layer @ (Layer::Relu(_)
        | Layer::Sigmoid(_)
        | Layer::Tanh(_)
        | Layer::LeakyRelu(_)
        | Layer::Clip(_)
        | Layer::HardSigmoid(_)
        | Layer::FakeQuantize(_)) => {
            if let Some(dx) = back.dx[0] {
                activation::backward(r, layer.activation(), step.output, back.dy, dx.view, dx.accumulate);
            }
        }
    }
}
