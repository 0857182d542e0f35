//! A whole network by the references of its layers, in double precision: the slow truth that each engine is compared with.

use super::network::Graph;
use super::node::Value;
use super::params::Params;
use crate::layers::dropout::training_mode;
use crate::layers::{Gradients, Mode};
use crate::tensor::Tensor;

/// Returns all values of the graph, by [`Value::index`], for the input batch `x` (NCHW). `training` is `(seed, step)`, or
/// `None` for inference.
///
/// # Panics
/// Panics when `params` belong to another graph or `x` has another shape than the graph's input.
///
/// # Examples
/// ```
/// use convoke::graph::{Init, Params, reference};
/// use convoke::tensor::Tensor;
/// use convoke::zoo::{self, Options};
/// let graph = zoo::network("lenet5", Options::default())?;
/// let params = Params::init(&graph, Init::He, 1);
/// let values = reference::forward(&graph, &params, &Tensor::zeros([1, 1, 32, 32]), None);
/// assert_eq!(values[graph.outputs()[0].value.index()].shape, [1, 10]);
/// # Ok::<(), convoke::Error>(())
/// ```
pub fn forward(graph: &Graph, params: &Params, x: &Tensor<f64>, training: Option<(u32, u32)>) -> Vec<Tensor<f64>> {
    let mut values = vec![x.clone()];
    for i in 0..graph.nodes().len() {
        let (inputs, weights) = operands(graph, params, &values, i);
        let weights: Vec<_> = weights.iter().collect();
        values.push(graph.nodes()[i].layer.reference().forward(&inputs, &weights, mode(training, i)));
    }
    values
}

/// Returns the gradients of a loss with respect to all values (by [`Value::index`]) and all parameters (by node, in the
/// order of its layer). `values` are the results of [`forward`] with the same `training`; `seeds` are the gradients of the
/// loss with respect to the outputs.
///
/// # Panics
/// Panics when `params` or `values` belong to another graph.
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
