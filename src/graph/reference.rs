//! A whole network by its layers' references, in double precision: slow, and the truth for every engine.

use super::{Graph, Params, Value};
use crate::layers::dropout::training_mode;
use crate::layers::{Gradients, Mode};
use crate::tensor::Tensor;

/// Every value of the graph for the input batch `x` (NCHW), by [`Value::index`]. `training` is `(seed, step)`.
pub fn forward(graph: &Graph, params: &Params, x: &Tensor<f64>, training: Option<(u32, u32)>) -> Vec<Tensor<f64>> {
    let mut values = vec![x.clone()];
    for i in 0..graph.nodes().len() {
        let (inputs, weights) = operands(graph, params, &values, i);
        let weights: Vec<_> = weights.iter().collect();
        values.push(graph.nodes()[i].layer.reference().forward(&inputs, &weights, mode(training, i)));
    }
    values
}

/// Gradients of a loss with respect to every value (by [`Value::index`]) and every parameter (by node, in its order),
/// given `seeds`: dL/dv at the outputs.
pub fn backward(
    graph: &Graph,
    params: &Params,
    values: &[Tensor<f64>],
    seeds: &[(Value, Tensor<f64>)],
    training: Option<(u32, u32)>,
) -> (Vec<Tensor<f64>>, Vec<Vec<Tensor<f64>>>) {
    let mut dvalues: Vec<_> = values.iter().map(|v| Tensor::zeros(v.shape.clone())).collect();
    let mut dparams = vec![vec![]; graph.nodes().len()];
    let accumulate =
        |into: &mut Tensor<f64>, d: &Tensor<f64>| into.data.iter_mut().zip(&d.data).for_each(|(a, b)| *a += b);
    for (value, seed) in seeds {
        accumulate(&mut dvalues[value.index()], seed);
    }
    for (i, node) in graph.nodes().iter().enumerate().rev() {
        let (inputs, weights) = operands(graph, params, values, i);
        let weights: Vec<_> = weights.iter().collect();
        let out = Value::of_node(i).index();
        let Gradients { inputs: dx, params: dp } =
            node.layer.reference().backward(&inputs, &weights, &values[out], &dvalues[out], mode(training, i));
        for (v, dx) in node.inputs.iter().zip(&dx) {
            accumulate(&mut dvalues[v.index()], dx);
        }
        dparams[i] = dp;
    }
    (dvalues, dparams)
}

fn mode(training: Option<(u32, u32)>, node: usize) -> Mode {
    training.map_or(Mode::Inference, |(seed, step)| training_mode(seed, step, node))
}

fn operands<'a>(
    graph: &Graph,
    params: &Params,
    values: &'a [Tensor<f64>],
    node: usize,
) -> (Vec<&'a Tensor<f64>>, Vec<Tensor<f64>>) {
    let inputs = graph.nodes()[node].inputs.iter().map(|v| &values[v.index()]).collect();
    let weights = params.of_node(graph, node).into_iter().map(|p| p.values().to_f64()).collect();
    (inputs, weights)
}
