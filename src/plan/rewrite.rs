//! Rewrites of graphs into equivalent ones that cost less at inference. All of them keep the logits up to rounding; training
//! plans the graph as it is.

use std::sync::Arc;

use crate::error::Result;
use crate::graph::reachable::retain;
use crate::graph::{Graph, Node, Output, Param, Params, Tensors, Value};
use crate::layers::{BatchNorm2d, Conv2d, Layer, Linear, Padding, Window};
use crate::tensor::Tensor;

/// Applies all rewrites that pay at inference, in the order in which they help each other.
///
/// # Errors
/// Returns the errors of [`Graph::new`] and [`Params::new`]. For a valid graph with finite parameters, only
/// [`crate::Error::NotFinite`] occurs: when folding a batch normalization overflows.
///
/// # Examples
/// ```
/// use convoke::graph::{Init, Params};
/// use convoke::plan::rewrite;
/// use convoke::zoo::{self, Options};
/// let graph = zoo::network("resnet20", Options::default())?;
/// let params = Params::init(&graph, Init::He, 1);
/// let (rewritten, _) = rewrite::for_inference(&graph, params)?;
/// // Batch normalizations are folded into the convolutions before them.
/// assert!(rewritten.nodes().len() < graph.nodes().len());
/// # Ok::<(), convoke::Error>(())
/// ```
pub fn for_inference(graph: &Graph, params: Params) -> Result<(Graph, Params)> {
    let graph = merge_duplicates(graph, &params)?;
    let params = without_unused(&graph, &params)?;
    let (graph, params) = fold_batch_norm(&graph, params)?;
    Ok((average_first(&graph)?, params))
}

/// Moves an average pooling before the 1x1 convolution whose only reader it is (DenseNet's transitions): both are linear, and
/// fewer pixels are left to multiply. Poolings with padding stay, because their zeros would get the convolution's bias.
///
/// # Errors
/// Returns the errors of [`Graph::new`]; none of them occurs for a valid graph.
pub fn average_first(graph: &Graph) -> Result<Graph> {
    let mut nodes = graph.nodes().to_vec();
    let producers = sole_producers(graph);
    for (i, node) in graph.nodes().iter().enumerate() {
        let Layer::AvgPool2d(pool) = node.layer else { continue };
        let Some(producer) = producers[i] else { continue };
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

/// Returns whether each output pixel depends only on the input pixel at its position.
fn is_pointwise(conv: &Conv2d) -> bool {
    let Window { kernel, stride, padding, .. } = conv.window;
    (kernel, stride, padding) == ([1, 1], [1, 1], Padding::NONE)
}

/// Folds each batch normalization into the convolution or linear layer whose only reader it is:
/// `w' = w * s` and `b' = (b - mean) * s + bias` with `s = weight / sqrt(var + epsilon)`.
///
/// # Errors
/// Returns the errors of [`Graph::new`] and [`Params::new`]. For a valid graph with finite parameters, only
/// [`crate::Error::NotFinite`] occurs: when a folded parameter overflows.
///
/// # Panics
/// Panics when `params` belong to another graph.
pub fn fold_batch_norm(graph: &Graph, params: Params) -> Result<(Graph, Params)> {
    let mut nodes = graph.nodes().to_vec();
    let mut tensors = params.into_tensors();
    let mut same_as = vec![None; nodes.len()];
    let producers = sole_producers(graph);
    for (i, node) in graph.nodes().iter().enumerate() {
        let Layer::BatchNorm2d(norm) = node.layer else { continue };
        let Some(producer) = folds_into(graph, &producers, i) else { continue };
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

/// Returns, for each node, whether [`fold_batch_norm`] folds a batch normalization into it.
pub fn folded(graph: &Graph) -> Vec<bool> {
    let mut folded = vec![false; graph.nodes().len()];
    let producers = sole_producers(graph);
    (0..folded.len()).filter_map(|i| folds_into(graph, &producers, i)).for_each(|producer| folded[producer] = true);
    folded
}

/// Returns the node into which node `i` is folded; `None` unless node `i` is a batch normalization that can be folded.
fn folds_into(graph: &Graph, producers: &[Option<usize>], i: usize) -> Option<usize> {
    let producer = producers[i]?;
    let norm = matches!(graph.nodes()[i].layer, Layer::BatchNorm2d(_));
    (norm && matches!(graph.nodes()[producer].layer, Layer::Conv2d(_) | Layer::Linear(_))).then_some(producer)
}

/// Merges nodes with equal layers, equal inputs and equal parameters. Outputs and dropouts stay.
///
/// # Errors
/// Returns the errors of [`Graph::new`]; none of them occurs for a valid graph.
///
/// # Panics
/// Panics when `params` belong to another graph.
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

/// Turns linear layers over a flattened map into convolutions whose kernel is the whole map, followed by a flatten (the
/// notes' section 4). Only linear layers that are the only reader of a flatten are rewritten. [`conv_to_linear`] is the
/// inverse.
///
/// # Errors
/// Returns the errors of [`Graph::new`] and [`Params::new`]; none of them occurs for a valid graph and its parameters.
///
/// # Panics
/// Panics when `params` belong to another graph.
pub fn linear_to_conv(graph: &Graph, params: Params) -> Result<(Graph, Params)> {
    let mut nodes: Vec<Node> = vec![];
    let mut tensors = params.into_tensors();
    let mut map = vec![Value::INPUT];
    let producers = sole_producers(graph);
    for (i, node) in graph.nodes().iter().enumerate() {
        let inputs: Vec<Value> = node.inputs.iter().map(|v| map[v.index()]).collect();
        match (&node.layer, flattened_map(graph, &producers, i)) {
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

/// Turns convolutions whose kernel covers their whole unpadded input into linear layers (the notes' section 4). Only
/// convolutions whose readers are all flattens are rewritten. [`linear_to_conv`] is the inverse.
///
/// # Errors
/// Returns the errors of [`Graph::new`] and [`Params::new`]; none of them occurs for a valid graph and its parameters.
///
/// # Panics
/// Panics when `params` belong to another graph.
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

/// Returns the map that node `i` reads through a flatten whose only reader it is.
fn flattened_map(graph: &Graph, producers: &[Option<usize>], i: usize) -> Option<Value> {
    let flatten = producers[i]?;
    matches!(graph.nodes()[flatten].layer, Layer::Flatten(_)).then(|| graph.nodes()[flatten].inputs[0])
}

/// Returns, for each node with one input, the node that produces the input, if no other node reads it and it is no output.
fn sole_producers(graph: &Graph) -> Vec<Option<usize>> {
    let consumers = graph.consumers();
    let sole_producer = |node: &Node| {
        let [input] = node.inputs[..] else { return None };
        let producer = input.node()?;
        (consumers[input.index()].len() == 1 && !is_output(graph, producer)).then_some(producer)
    };
    graph.nodes().iter().map(sole_producer).collect()
}

fn is_output(graph: &Graph, node: usize) -> bool {
    graph.outputs().iter().any(|o| o.value == Value::of_node(node))
}

/// Folds the parameters of the batch normalization `norm_name` into those of `producer`.
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

/// Returns the graph with `nodes`, without the nodes that are `same_as` an earlier value.
fn without(graph: &Graph, mut nodes: Vec<Node>, same_as: &[Option<Value>]) -> Result<Graph> {
    let mut resolved = vec![Value::INPUT];
    for (i, same_as) in same_as.iter().enumerate() {
        resolved.push(same_as.map_or(Value::of_node(i), |v| resolved[v.index()]));
    }
    nodes.iter_mut().flat_map(|node| &mut node.inputs).for_each(|v| *v = resolved[v.index()]);
    let keep: Vec<bool> = std::iter::once(true).chain(same_as.iter().map(Option::is_none)).collect();
    let (nodes, moved) = retain(nodes, &keep);
    let map: Vec<Value> = resolved.iter().map(|v| moved[v.index()]).collect();
    rebuilt(graph, nodes, &map)
}

/// Returns the graph with other nodes; `map` gives the new value of each old one.
fn rebuilt(graph: &Graph, nodes: Vec<Node>, map: &[Value]) -> Result<Graph> {
    let outputs = graph.outputs().iter().map(|o| Output { value: map[o.value.index()], ..*o }).collect();
    Graph::new(graph.name(), graph.input().clone(), nodes, outputs)
}

/// Returns the graph with other nodes, and with these tensors as its parameters.
fn finish(graph: &Graph, nodes: Vec<Node>, tensors: Tensors, map: &[Value]) -> Result<(Graph, Params)> {
    let graph = rebuilt(graph, nodes, map)?;
    let params = Params::new(&graph, tensors)?;
    Ok((graph, params))
}

/// Returns the parameters of `graph`, out of the parameters of a larger one.
///
/// # Errors
/// Returns [`crate::Error::NotFinite`] for NaN or infinity.
fn without_unused(graph: &Graph, params: &Params) -> Result<Params> {
    let own = graph.params().into_iter().map(|(name, _)| {
        let tensor = params.param(&name).clone();
        (name, tensor)
    });
    Params::new(graph, own.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Builder, Init, reference};
    use crate::layers::{AvgPool2d, Flatten, Relu, Role};
    use crate::plan::build::Plan;
    use crate::plan::purpose::Purpose;
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
        let config = zoo::DenseNet { layers: vec![2, 2], growth: 4, start: 6, bottleneck: true, large_images: false };
        zoo::densenet("dense", &config, zoo::Options::default()).unwrap()
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
