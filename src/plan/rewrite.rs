//! Graphs into equal graphs that cost less. Every rewrite keeps the logits; none changes a graph that is to be trained.

use std::sync::Arc;

use crate::error::Result;
use crate::graph::{Graph, Node, Output, Param, Params, Tensors, Value};
use crate::layers::{BatchNorm2d, Conv2d, Layer, Linear, Padding, Window};
use crate::tensor::Tensor;

/// All rewrites that pay at inference, in the order in which they help each other.
///
/// # Errors
/// Those of [`Graph::new`], which a rewrite of a valid graph does not meet.
pub fn for_inference(graph: &Graph, params: Params) -> Result<(Graph, Params)> {
    let graph = merge_duplicates(graph, &params)?;
    let params = without_unused(&graph, &params);
    let (graph, params) = fold_batch_norm(&graph, params)?;
    Ok((average_first(&graph)?, params))
}

/// An average of sums is the sum of averages: an average pooling after a 1x1 convolution that only it reads comes before
/// it, where fewer pixels are left to multiply (DenseNet's transitions). Not where padding counts, which has no bias.
///
/// # Errors
/// Those of [`Graph::new`].
pub fn average_first(graph: &Graph) -> Result<Graph> {
    let mut nodes = graph.nodes().to_vec();
    for (i, node) in graph.nodes().iter().enumerate() {
        let Layer::AvgPool2d(pool) = node.layer else { continue };
        let Some(producer) = sole_producer(graph, i) else { continue };
        let Layer::Conv2d(conv) = &graph.nodes()[producer].layer else { continue };
        let source = graph.shape(graph.nodes()[producer].inputs[0]);
        let (_, h, w) = source.chw();
        if is_pointwise(conv) && pool.window.pads([h, w]) == [0; 4] && graph.shape(Value::of_node(i)).chw().1 < h {
            nodes.swap(producer, i);
            nodes[producer].inputs = graph.nodes()[producer].inputs.clone();
            nodes[i].inputs = vec![Value::of_node(producer)];
        }
    }
    let map: Vec<Value> = graph.values().collect();
    rebuilt(graph, nodes, &map)
}

/// Whether each output pixel is made of the input pixel there.
fn is_pointwise(conv: &Conv2d) -> bool {
    let Window { kernel, stride, padding, .. } = conv.window;
    (kernel, stride, padding) == ([1, 1], [1, 1], Padding::NONE)
}

/// A batch normalisation after a convolution or linear layer that only it reads becomes part of that layer:
/// `w' = w * s`, `b' = (b - mean) * s + bias` with `s = weight / sqrt(var + epsilon)`.
///
/// # Errors
/// Those of [`Graph::new`].
pub fn fold_batch_norm(graph: &Graph, params: Params) -> Result<(Graph, Params)> {
    let mut nodes = graph.nodes().to_vec();
    let mut tensors = params.into_tensors();
    let mut same_as = vec![None; nodes.len()];
    for (i, node) in graph.nodes().iter().enumerate() {
        let Layer::BatchNorm2d(norm) = node.layer else { continue };
        let Some(producer) = folds_into(graph, i) else { continue };
        if let Layer::Conv2d(Conv2d { bias, .. }) | Layer::Linear(Linear { bias, .. }) = &mut nodes[producer].layer {
            *bias = true;
        }
        fold(&mut tensors, &graph.nodes()[producer].name, &node.name, norm);
        same_as[i] = Some(node.inputs[0]);
    }
    let graph = without(graph, nodes, &same_as)?;
    let params = Params::new(&graph, tensors)?;
    Ok((graph, params))
}

/// Whether each node has a batch normalisation folded into it.
pub fn folded(graph: &Graph) -> Vec<bool> {
    let mut folded = vec![false; graph.nodes().len()];
    (0..folded.len()).filter_map(|i| folds_into(graph, i)).for_each(|producer| folded[producer] = true);
    folded
}

/// The node that node `i`, a batch normalisation, becomes part of.
fn folds_into(graph: &Graph, i: usize) -> Option<usize> {
    let producer = sole_producer(graph, i)?;
    let norm = matches!(graph.nodes()[i].layer, Layer::BatchNorm2d(_));
    (norm && matches!(graph.nodes()[producer].layer, Layer::Conv2d(_) | Layer::Linear(_))).then_some(producer)
}

/// Nodes that compute the same from the same inputs become one. Layers with parameters are the same only if they share
/// every value.
///
/// # Errors
/// Those of [`Graph::new`].
pub fn merge_duplicates(graph: &Graph, params: &Params) -> Result<Graph> {
    let mut same_as: Vec<Option<Value>> = vec![None; graph.nodes().len()];
    let resolve = |same_as: &[Option<Value>], v: Value| v.node().and_then(|i| same_as[i]).unwrap_or(v);
    for i in 0..graph.nodes().len() {
        let node = &graph.nodes()[i];
        // Two dropouts draw different masks; at inference the plan drops both.
        if matches!(node.layer, Layer::Dropout(_)) || is_output(graph, i) {
            continue;
        }
        let inputs: Vec<Value> = node.inputs.iter().map(|&v| resolve(&same_as, v)).collect();
        let twin = (0..i).find(|&j| {
            let other = &graph.nodes()[j];
            let same_inputs = || other.inputs.iter().map(|&v| resolve(&same_as, v)).eq(inputs.iter().copied());
            same_as[j].is_none()
                && other.layer == node.layer
                && same_inputs()
                && params.of_node(graph, i) == params.of_node(graph, j)
        });
        same_as[i] = twin.map(Value::of_node);
    }
    without(graph, graph.nodes().to_vec(), &same_as)
}

/// The notes' section 4, one way: a linear layer over a flattened map is a convolution whose kernel is the whole map.
/// Only linear layers directly after a flatten that nobody else reads are rewritten; what follows is flattened instead.
///
/// # Errors
/// Those of [`Graph::new`].
pub fn linear_to_conv(graph: &Graph, params: Params) -> Result<(Graph, Params)> {
    let mut nodes: Vec<Node> = vec![];
    let mut tensors = params.into_tensors();
    let mut map = vec![Value::INPUT];
    for (i, node) in graph.nodes().iter().enumerate() {
        let inputs: Vec<Value> = node.inputs.iter().map(|v| map[v.index()]).collect();
        match (&node.layer, flattened_map(graph, i)) {
            (Layer::Linear(linear), Some(source)) => {
                let (c, h, w) = graph.shape(source).chw();
                let mut conv = Conv2d::new(linear.out_features, 1);
                (conv.window.kernel, conv.bias) = ([h, w], linear.bias);
                let weight = tensors.get_mut(&format!("{}.weight", node.name)).expect("a linear layer has a weight");
                *Arc::make_mut(weight).shape_mut() = vec![linear.out_features, c, h, w];
                let inputs = vec![map[source.index()]];
                nodes.push(Node { name: node.name.clone(), layer: conv.into(), inputs });
                let inputs = vec![Value::of_node(nodes.len() - 1)];
                let flatten = Layer::Flatten(crate::layers::Flatten {});
                nodes.push(Node { name: format!("{}.flatten", node.name), layer: flatten, inputs });
            }
            _ => nodes.push(Node { inputs, ..node.clone() }),
        }
        map.push(Value::of_node(nodes.len() - 1));
    }
    finish(graph, nodes, tensors, &map)
}

/// The other way: a convolution whose kernel covers its whole unpadded input is a linear layer.
///
/// # Errors
/// Those of [`Graph::new`].
pub fn conv_to_linear(graph: &Graph, params: Params) -> Result<(Graph, Params)> {
    let mut nodes: Vec<Node> = vec![];
    let mut tensors = params.into_tensors();
    let mut map = vec![Value::INPUT];
    let readers = graph.consumers();
    for (i, node) in graph.nodes().iter().enumerate() {
        let mut inputs: Vec<Value> = node.inputs.iter().map(|v| map[v.index()]).collect();
        let value = Value::of_node(i);
        // The output changes from a map of one pixel to a vector, so only a flatten may read it.
        let only_flattened = !is_output(graph, i)
            && readers[value.index()].iter().all(|&r| matches!(graph.nodes()[r].layer, Layer::Flatten(_)));
        let layer = match &node.layer {
            Layer::Conv2d(conv) if only_flattened && covers(graph, node, conv) => {
                let input = graph.shape(node.inputs[0]).elements();
                let weight = tensors.get_mut(&format!("{}.weight", node.name)).expect("a convolution has a weight");
                *Arc::make_mut(weight).shape_mut() = vec![conv.out_channels, input];
                let flatten = Layer::Flatten(crate::layers::Flatten {});
                nodes.push(Node { name: format!("{}.vector", node.name), layer: flatten, inputs });
                inputs = vec![Value::of_node(nodes.len() - 1)];
                Linear { out_features: conv.out_channels, bias: conv.bias }.into()
            }
            other => other.clone(),
        };
        nodes.push(Node { name: node.name.clone(), layer, inputs });
        map.push(Value::of_node(nodes.len() - 1));
    }
    finish(graph, nodes, tensors, &map)
}

fn covers(graph: &Graph, node: &Node, conv: &Conv2d) -> bool {
    let (_, h, w) = graph.shape(node.inputs[0]).chw();
    conv.window.kernel == [h, w]
        && conv.groups == 1
        && conv.window.dilation == [1, 1]
        && conv.window.padding == Padding::NONE
}

/// The map that a node reads through a flatten of its own.
fn flattened_map(graph: &Graph, i: usize) -> Option<Value> {
    let flatten = sole_producer(graph, i)?;
    matches!(graph.nodes()[flatten].layer, Layer::Flatten(_)).then(|| graph.nodes()[flatten].inputs[0])
}

/// The node whose output only node `i` reads, if that is how `i` gets its (only) input.
fn sole_producer(graph: &Graph, i: usize) -> Option<usize> {
    let [input] = graph.nodes()[i].inputs[..] else { return None };
    let producer = input.node()?;
    (graph.consumers()[input.index()].len() == 1 && !is_output(graph, producer)).then_some(producer)
}

fn is_output(graph: &Graph, node: usize) -> bool {
    graph.outputs().iter().any(|o| o.value == Value::of_node(node))
}

fn fold(tensors: &mut Tensors, producer: &str, norm_name: &str, norm: BatchNorm2d) {
    let mut take = |name: &str| {
        let tensor = tensors.remove(&format!("{norm_name}.{name}")).expect("a batch norm has four tensors");
        tensor.values().into_owned().data
    };
    let (weight, bias, mean, var) = (take("weight"), take("bias"), take("running_mean"), take("running_var"));
    // In double precision, so that folding adds one rounding and no more.
    let scale: Vec<f64> = weight
        .iter()
        .zip(&var)
        .map(|(&w, &v)| f64::from(w) / (f64::from(v) + f64::from(norm.epsilon)).sqrt())
        .collect();
    let w = tensors.get_mut(&format!("{producer}.weight")).expect("the layer has a weight");
    *w = Arc::new(Param::RowScaled { base: w.clone(), factors: scale.clone() });
    let name = format!("{producer}.bias");
    let mut b = tensors.get(&name).map_or_else(|| Tensor::zeros([scale.len()]), |b| b.values().into_owned());
    for (o, b) in b.data.iter_mut().enumerate() {
        *b = ((f64::from(*b) - f64::from(mean[o])) * scale[o] + f64::from(bias[o])) as f32;
    }
    tensors.insert(name, b.into());
}

/// The graph with `nodes`, without those that are `same_as` an earlier value.
fn without(graph: &Graph, nodes: Vec<Node>, same_as: &[Option<Value>]) -> Result<Graph> {
    let mut map = vec![Value::INPUT];
    let mut kept: Vec<Node> = vec![];
    for (i, node) in nodes.into_iter().enumerate() {
        match same_as[i] {
            Some(v) => map.push(map[v.index()]),
            None => {
                let inputs = node.inputs.iter().map(|v| map[v.index()]).collect();
                kept.push(Node { inputs, ..node });
                map.push(Value::of_node(kept.len() - 1));
            }
        }
    }
    rebuilt(graph, kept, &map)
}

fn rebuilt(graph: &Graph, nodes: Vec<Node>, map: &[Value]) -> Result<Graph> {
    let outputs = graph.outputs().iter().map(|o| Output { value: map[o.value.index()], ..*o }).collect();
    Graph::new(graph.name(), graph.input().clone(), nodes, outputs)
}

fn finish(graph: &Graph, nodes: Vec<Node>, tensors: Tensors, map: &[Value]) -> Result<(Graph, Params)> {
    let graph = rebuilt(graph, nodes, map)?;
    let params = Params::new(&graph, tensors)?;
    Ok((graph, params))
}

/// The parameters that the graph still has.
fn without_unused(graph: &Graph, params: &Params) -> Params {
    let own = graph.params().into_iter().map(|(name, _)| {
        let tensor = params.param(&name).clone();
        (name, tensor)
    });
    Params::new(graph, own.collect()).expect("the tensors were those of a larger graph")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Builder, Init, reference};
    use crate::layers::{AvgPool2d, Flatten, Relu, Role};
    use crate::plan::{Plan, Purpose};
    use crate::rng::Rng;
    use crate::zoo;

    fn random_params(graph: &Graph) -> Params {
        let mut params = Params::init(graph, Init::He, 3);
        let mut rng = Rng::new(4, 4);
        for (name, spec) in graph.params() {
            match spec.role {
                Role::Weight { .. } => {}
                Role::RunningVariance => {
                    params.tensor_mut(&name).data.iter_mut().for_each(|v| *v = rng.range(0.5, 2.0))
                }
                _ => params.tensor_mut(&name).data.iter_mut().for_each(|v| *v = rng.range(-1.0, 1.0)),
            }
        }
        params
    }

    /// Runs both graphs by the references; returns their step counts.
    fn compare(before: &Graph, params: &Params, after: &(Graph, Params)) -> (usize, usize) {
        let mut rng = Rng::new(9, 9);
        let mut x = Tensor::zeros(before.input().batched(2));
        x.data.iter_mut().for_each(|v| *v = f64::from(rng.range(-1.0, 1.0)));
        let logits = |graph: &Graph, params: &Params| {
            reference::forward(graph, params, &x, None).swap_remove(graph.outputs()[0].value.index())
        };
        let (a, b) = (logits(before, params), logits(&after.0, &after.1));
        let scale = a.data.iter().fold(1e-9f64, |m, v| m.max(v.abs()));
        for (a, b) in a.data.iter().zip(&b.data) {
            assert!((a - b).abs() <= 2e-6 * scale, "{}: {a} became {b}", before.name());
        }
        let steps = |graph| Plan::new(graph, 1, Purpose::Inference).steps.len();
        (steps(before), steps(&after.0))
    }

    fn small_dense() -> Graph {
        let form = zoo::DenseNet { layers: vec![2, 2], growth: 4, start: 6, bottleneck: true, large_images: false };
        zoo::densenet("dense", &form, zoo::Options::default()).unwrap()
    }

    #[test]
    fn batch_norm_after_a_convolution_vanishes() {
        let graph = zoo::resnet("r", &zoo::ResNet { width: 4, ..zoo::ResNet::cifar(8) }, Default::default()).unwrap();
        let params = random_params(&graph);
        let after = fold_batch_norm(&graph, params.clone()).unwrap();
        let (before_steps, after_steps) = compare(&graph, &params, &after);
        assert!(after.0.nodes().iter().all(|n| !matches!(n.layer, Layer::BatchNorm2d(_))));
        assert!(after_steps < before_steps);
    }

    #[test]
    fn batch_norm_before_a_convolution_stays() {
        let graph = small_dense();
        let params = random_params(&graph);
        let after = fold_batch_norm(&graph, params.clone()).unwrap();
        compare(&graph, &params, &after);
        let norms = |g: &Graph| g.nodes().iter().filter(|n| matches!(n.layer, Layer::BatchNorm2d(_))).count();
        // Four dense layers (norm1), the transition's and the last one's stay; norm2 of each dense layer is folded.
        assert_eq!((norms(&graph), norms(&after.0)), (10, 6));
    }

    #[test]
    fn equal_nodes_become_one() {
        let mut b = Builder::new("twice", [3, 6, 6]);
        let conv = Conv2d::new(4, 3);
        let x = b.add("conv", conv, Value::INPUT);
        let (left, right) = (b.add("left", Relu {}, x), b.add("right", Relu {}, x));
        let other = b.add("other", conv, Value::INPUT);
        let y = b.sum("sum", &[left, right, other]);
        let graph = b.finish(y).unwrap();
        let params = random_params(&graph);
        let after = for_inference(&graph, params.clone()).unwrap();
        let (before_steps, after_steps) = compare(&graph, &params, &after);
        // `other` has weights of its own.
        assert_eq!((graph.nodes().len(), after.0.nodes().len()), (5, 4));
        assert!(after_steps < before_steps);
    }

    #[test]
    fn averages_come_before_pointwise_convolutions() {
        let graph = small_dense();
        let params = random_params(&graph);
        let after = average_first(&graph).unwrap();
        compare(&graph, &params, &(after.clone(), params.clone()));
        let macs = |g: &Graph| g.costs().iter().map(|c| c.macs).sum::<u64>();
        assert!(macs(&after) < macs(&graph));
        let at = |name: &str| after.nodes().iter().position(|n| n.name == name).unwrap();
        assert!(at("features.transition1.pool") < at("features.transition1.conv"));

        // Not a kernel that sees neighbours, not over padding, not where somebody else reads the convolution.
        let with = |conv: Conv2d, pool: AvgPool2d, shared: bool| {
            let mut b = Builder::new("small", [3, 8, 8]);
            let x = b.add("conv", conv, Value::INPUT);
            let mut y = b.add("pool", pool, x);
            if shared {
                let z = b.add("other", pool, x);
                let z = b.add("relu", Relu {}, z);
                y = b.sum("sum", &[y, z]);
            }
            b.finish(y).unwrap()
        };
        let (point, pool) = (Conv2d::new(4, 1), AvgPool2d::new(2, 2));
        let padded = AvgPool2d { window: Window { padding: Padding::all(1), ..pool.window }, ..pool };
        assert_ne!(average_first(&with(point, pool, false)).unwrap(), with(point, pool, false));
        for kept in [with(Conv2d::new(4, 3), pool, false), with(point, padded, false), with(point, pool, true)] {
            assert_eq!(average_first(&kept).unwrap(), kept);
        }
    }

    #[test]
    fn linear_layers_and_convolutions_are_the_same_thing() {
        let graph = zoo::network("lenet5", Default::default()).unwrap();
        let params = random_params(&graph);
        let convolved = linear_to_conv(&graph, params.clone()).unwrap();
        compare(&graph, &params, &convolved);
        let is = |g: &Graph, name: &str, kind: &str| g.nodes().iter().any(|n| n.name == name && n.layer.kind() == kind);
        assert!(is(&convolved.0, "fc1", "conv2d"));
        let back = conv_to_linear(&convolved.0, convolved.1.clone()).unwrap();
        compare(&graph, &params, &back);
        assert!(is(&back.0, "fc1", "linear"));
    }

    #[test]
    fn every_rewrite_keeps_what_it_does_not_know() {
        let mut b = Builder::new("plain", [2, 5, 5]);
        let x = b.add("relu", Relu {}, Value::INPUT);
        let y = b.add("flatten", Flatten {}, x);
        let graph = b.finish(y).unwrap();
        let params = random_params(&graph);
        for after in [for_inference, linear_to_conv, conv_to_linear, fold_batch_norm].map(|f| f(&graph, params.clone()))
        {
            assert_eq!(after.unwrap().0, graph);
        }
    }
}
