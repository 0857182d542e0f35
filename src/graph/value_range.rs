//! Which values can never be negative.

use std::sync::Arc;

use super::{Graph, Node, Param, Value};
use crate::layers::Layer;

/// For each value of `graph`, by [`Value::index`], whether no element of it can be negative, whatever the weights are.
pub(crate) fn nonnegative(graph: &Graph) -> Vec<bool> {
    let mut known = vec![false];
    for node in graph.nodes() {
        let nonnegative = is_nonnegative(node, |v| known[v.index()], None);
        known.push(nonnegative);
    }
    known
}

/// Whether no element of the output of `node` can be negative. `known` tells it of the node's inputs. `params` are the
/// node's parameters in the order of its layer; `None` where they are not known.
pub(crate) fn is_nonnegative(node: &Node, known: impl Fn(Value) -> bool, params: Option<&[Arc<Param>]>) -> bool {
    let inputs = || node.inputs.iter().all(|&v| known(v));
    match &node.layer {
        Layer::Relu(_) | Layer::Sigmoid(_) | Layer::HardSigmoid(_) | Layer::Softmax(_) => true,
        Layer::LogSoftmax(_) => false,
        Layer::Mul(_) if node.inputs[0] == node.inputs[1] => true,
        Layer::Clip(clip) if clip.min >= 0.0 => true,
        Layer::Clip(clip) if clip.max < 0.0 => false,
        Layer::FakeQuantize(layer) if layer.zero_point == 0 => true,
        Layer::Pad(pad) if pad.value < 0.0 => false,
        Layer::Conv2d(_) | Layer::Linear(_) | Layer::BatchNorm2d(_) => inputs() && params.is_some_and(keep_nonnegative),
        _ => inputs(),
    }
}

/// Whether a layer with these parameters maps non-negative inputs to non-negative outputs.
fn keep_nonnegative(params: &[Arc<Param>]) -> bool {
    // The third parameter, a running mean, is subtracted.
    let keeps = |(i, param): (usize, &Arc<Param>)| match &**param {
        Param::Floats(tensor) => tensor.data.iter().all(|&v| if i == 2 { v <= 0.0 } else { v >= 0.0 }),
        _ => false,
    };
    params.iter().enumerate().all(keeps)
}
