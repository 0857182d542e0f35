//! Transfer learning: a trained network keeps its features and gets a head for other classes.
//!
//! The head is the last linear layer or convolution with all layers after it. Its input, the embedding, does not change
//! while the head alone is trained: the body computes it once for each image, and the head learns from the embeddings as
//! a small network of its own.
//!
//! The features of early layers are more general (Yosinski et al., 2014), and averages over a whole map lose positions.
//! [`cut`] makes a head for the features of any layer.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::format::{Meta, Model};
use crate::graph::{Graph, Init, Node, Output, Params, Value};
use crate::layers::{AdaptiveAvgPool2d, Flatten, Layer, Linear};
use crate::tensor::{Shape, Tensor};

/// The most classes of a new head.
pub const MAX_CLASSES: usize = 1000;

/// The side of the averaged maps, in pixels, that the head of [`cut`] gets.
const GRID: usize = 4;

/// Cuts the network after this layer and adds a head: the layer's maps averaged over a grid of 4x4, and a linear layer of
/// one output, to be replaced. The labels of the network are dropped.
///
/// # Errors
/// [`Error::Argument`] when there is no such layer.
pub fn cut(base: &Model, layer: &str) -> Result<Model> {
    let part = base.until(layer)?;
    let mut nodes = part.graph.nodes().to_vec();
    let value = part.graph.outputs()[0].value;
    let map = part.graph.shape(value).is_map();
    let (_, h, w) = part.graph.shape(value).chw();
    let pool = AdaptiveAvgPool2d { output: [h.min(GRID), w.min(GRID)] };
    let pool = (map && [h, w] != pool.output).then(|| Layer::from(pool));
    let flatten = map.then(|| Layer::from(Flatten {}));
    let mut last = value;
    for (name, layer) in [("head.pool", pool), ("head.flatten", flatten), ("head", Some(Linear::new(1).into()))] {
        let Some(layer) = layer else { continue };
        nodes.push(Node { name: name.into(), layer, inputs: vec![last] });
        last = Value::of_node(nodes.len() - 1);
    }
    let output = Output { value: last, loss_weight: 1.0 };
    let graph = Graph::new(part.graph.name(), part.graph.input().clone(), nodes, vec![output])?;
    let mut tensors = part.params.into_tensors();
    for (name, spec) in graph.params() {
        tensors.entry(name).or_insert_with(|| Tensor::zeros(spec.shape).into());
    }
    Ok(Model { params: Params::new(&graph, tensors)?, graph, meta: part.meta })
}

/// Returns the network without its head; the output of this body is the embedding.
///
/// # Errors
/// [`Error::Argument`] when the network has no head that can be replaced.
pub fn body(base: &Model) -> Result<Model> {
    let head = head_of(&base.graph)?;
    base.until(base.graph.value_name(base.graph.nodes()[head[0]].inputs[0]))
}

/// Creates a head with fresh weights for classes of these names. Its input is the embedding, a vector as `Fx1x1`.
///
/// # Errors
/// [`Error::Argument`] for invalid class names, and for a network without a replaceable head.
pub fn new_head(base: &Model, labels: Vec<String>, seed: u32) -> Result<Model> {
    check_labels(&labels)?;
    let head = head_of(&base.graph)?;
    let embedding = base.graph.shape(base.graph.nodes()[head[0]].inputs[0]);
    let mut nodes = vec![];
    if !embedding.is_map() {
        nodes.push(Node { name: "embedding".into(), layer: Flatten {}.into(), inputs: vec![Value::INPUT] });
    }
    for (layer, &i) in resized(&base.graph, &head, labels.len()).into_iter().zip(&head) {
        let input = nodes.len().checked_sub(1).map_or(Value::INPUT, Value::of_node);
        nodes.push(Node { name: base.graph.nodes()[i].name.clone(), layer, inputs: vec![input] });
    }
    let output = Output { value: Value::of_node(nodes.len() - 1), loss_weight: 1.0 };
    let (c, h, w) = embedding.chw();
    let graph = Graph::new(base.graph.name(), Shape::from([c, h, w]), nodes, vec![output])?;
    if graph.classes() != labels.len() {
        let expected = "one whose head gives one number for each class";
        return Err(Error::argument("network", expected, graph.shape(output.value)));
    }
    let params = Params::init(&graph, Init::Xavier, seed);
    Ok(Model { graph, params, meta: Meta { labels, ..Meta::default() } })
}

/// Replaces the head of the network by this one, made by [`new_head`]. Auxiliary heads, which know the old classes, are
/// dropped.
///
/// # Errors
/// [`Error::Weights`] when the head was made for another network; [`Error::Argument`] for a network without a
/// replaceable head.
pub fn with_head(base: &Model, head: &Model) -> Result<Model> {
    let base = base.without_auxiliary()?;
    let own = head_of(&base.graph)?;
    let mut nodes = base.graph.nodes().to_vec();
    for (layer, &i) in resized(&base.graph, &own, head.graph.classes()).into_iter().zip(&own) {
        nodes[i].layer = layer;
    }
    let graph = Graph::new(base.graph.name(), base.graph.input().clone(), nodes, base.graph.outputs().to_vec())?;
    let new = head.params.clone().into_tensors();
    let kept = graph.params().into_iter().filter(|(name, _)| !new.contains_key(name));
    let kept = kept.map(|(name, _)| (name.clone(), base.params.param(&name).clone()));
    let new = new.iter().map(|(name, tensor)| (name.to_string(), tensor.clone()));
    let params = Params::new(&graph, kept.chain(new).collect())?;
    let provenance = BTreeMap::from([("base".into(), base.graph.name().into())]);
    let meta = Meta { labels: head.meta.labels.clone(), preprocess: base.meta.preprocess, provenance };
    Ok(Model { graph, params, meta })
}

/// Checks that these can be the names of classes.
///
/// # Errors
/// [`Error::Argument`].
pub fn check_labels(labels: &[String]) -> Result<()> {
    if !(2..=MAX_CLASSES).contains(&labels.len()) {
        return Err(Error::argument("classes", format!("2 to {MAX_CLASSES}"), labels.len()));
    }
    match labels.iter().enumerate().find(|(i, label)| label.is_empty() || labels[..*i].contains(label)) {
        Some((_, label)) => {
            Err(Error::argument("classes", "names that differ and are not empty", format!("`{label}`")))
        }
        None => Ok(()),
    }
}

/// Returns the nodes of the head: the last layer with a free number of outputs, then its successors to the main output.
fn head_of(graph: &Graph) -> Result<Vec<usize>> {
    let mut head = vec![];
    let mut value = graph.outputs()[0].value;
    while let Some(i) = value.node()
        && let [input] = graph.nodes()[i].inputs[..]
    {
        head.push(i);
        if matches!(graph.nodes()[i].layer, Layer::Linear(_) | Layer::Conv2d(_)) && input != Value::INPUT {
            head.reverse();
            return Ok(head);
        }
        value = input;
    }
    let expected = "one that ends in a linear layer or a convolution, with layers before it";
    Err(Error::argument("network", expected, format!("`{}`", graph.name())))
}

/// Returns the layers of the head for this number of classes.
fn resized(graph: &Graph, head: &[usize], classes: usize) -> Vec<Layer> {
    let mut layers: Vec<Layer> = head.iter().map(|&i| graph.nodes()[i].layer.clone()).collect();
    match &mut layers[0] {
        Layer::Linear(linear) => linear.out_features = classes,
        Layer::Conv2d(conv) => conv.out_channels = classes,
        _ => unreachable!("heads begin with one of these"),
    }
    layers
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::cpu::Pool;
    use crate::engine::{Backend, Engine};
    use crate::graph::Builder;
    use crate::layers::Relu;
    use crate::rng::Rng;
    use crate::zoo::{self, Options};

    fn model(name: &str) -> Model {
        let graph = zoo::network(name, Options { auxiliary: true, ..Options::default() }).unwrap();
        let params = Params::init(&graph, Init::He, 5);
        Model { graph, params, meta: Meta::default() }
    }

    fn labels() -> Vec<String> {
        ["cat", "dog", "bird"].map(String::from).into()
    }

    fn run(model: &Model, x: &Tensor) -> Tensor {
        let backend = Backend::Cpu(Pool::single());
        block_on(async { Engine::new(&model.graph, &model.params, &backend).await?.run(x).await }).unwrap()
    }

    #[test]
    fn body_and_head_one_after_the_other_are_the_whole_network() {
        for name in ["lenet5", "resnet20", "nin", "densenet22", "googlenet-cifar"] {
            let base = model(name);
            let head = new_head(&base, labels(), 7).unwrap();
            let whole = with_head(&base, &head).unwrap();
            assert_eq!((whole.graph.classes(), &whole.meta.labels), (3, &labels()), "{name}");
            assert_eq!(whole.graph.outputs().len(), 1, "{name}");
            let mut rng = Rng::new(2, 0);
            let shape = base.graph.input().batched(2);
            let data = (0..shape.iter().product()).map(|_| rng.normal()).collect();
            let x = Tensor::new(shape, data).unwrap();
            let mut embedding = run(&body(&base).unwrap(), &x);
            embedding.shape = head.graph.input().batched(2);
            let (parts, whole) = (run(&head, &embedding), run(&whole, &x));
            assert_eq!(parts.shape, whole.shape, "{name}");
            let largest = whole.data.iter().fold(0f32, |m, v| m.max(v.abs()));
            for (a, b) in parts.data.iter().zip(&whole.data) {
                assert!((a - b).abs() <= 1e-5 * largest.max(1.0), "{name}: {a} {b}");
            }
        }
    }

    #[test]
    fn a_head_behind_any_layer() {
        let base = model("resnet20");
        for (layer, embedding) in [("conv1", "256x1x1"), ("layer2.2.relu", "512x1x1"), ("flatten", "64x1x1")] {
            let cut = cut(&base, layer).unwrap();
            let head = new_head(&cut, labels(), 7).unwrap();
            assert_eq!(head.graph.input().to_string(), embedding, "{layer}");
            let whole = with_head(&cut, &head).unwrap();
            assert_eq!(whole.graph.classes(), 3, "{layer}");
            let x = Tensor::new(base.graph.input().batched(1), vec![0.5; 3072]).unwrap();
            let mut embedding = run(&body(&cut).unwrap(), &x);
            embedding.shape = head.graph.input().batched(1);
            for (a, b) in run(&head, &embedding).data.iter().zip(run(&whole, &x).data) {
                assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{layer}: {a} {b}");
            }
        }
        assert!(cut(&base, "conv9").unwrap_err().to_string().contains("`resnet20`"));
    }

    #[test]
    fn every_network_of_the_zoo_that_tells_classes_has_a_head() {
        for name in zoo::names() {
            let graph = zoo::network(&name, Options::default()).unwrap();
            if graph.shape(graph.outputs()[0].value).is_map() {
                continue; // A block, whose output is features.
            }
            let head = head_of(&graph).unwrap();
            let layers = resized(&graph, &head, graph.classes());
            let own: Vec<Layer> = head.iter().map(|&i| graph.nodes()[i].layer.clone()).collect();
            assert_eq!(layers, own, "{name}: the head decides the number of classes");
        }
    }

    #[test]
    fn the_seed_decides_the_head_and_the_body_stays() {
        let base = model("resnet20");
        let head = |seed| new_head(&base, labels(), seed).unwrap();
        assert_eq!(head(1), head(1));
        assert_ne!(head(1).params, head(2).params);
        let whole = with_head(&base, &head(1)).unwrap();
        for (name, tensor) in whole.params.iter().filter(|(name, _)| !name.starts_with("fc.")) {
            assert_eq!(tensor, base.params.tensor(name), "{name}");
        }
        assert_eq!(whole.params.tensor("fc.weight"), head(1).params.tensor("fc.weight"));
    }

    #[test]
    fn what_cannot_be_a_head_is_refused() {
        let base = model("lenet5");
        let refused = |labels: &[&str]| {
            let error = new_head(&base, labels.iter().map(|l| l.to_string()).collect(), 1).unwrap_err();
            assert_eq!(error.code(), "argument");
            error.to_string()
        };
        assert!(refused(&["one"]).contains("2 to 1000"));
        assert!(refused(&["a", "b", "a"]).contains("`a`"));
        assert!(refused(&["a", ""]).contains("``"));
        assert!(refused(&vec!["x"; MAX_CLASSES + 1]).contains("1001"));
        let other = new_head(&model("resnet20"), labels(), 1).unwrap();
        assert_eq!(with_head(&base, &other).unwrap_err().code(), "weights");
        let mut b = Builder::new("bare", [1, 4, 4]);
        let y = b.add("relu", Relu {}, Value::INPUT);
        let graph = b.finish(y).unwrap();
        let bare = Model { params: Params::init(&graph, Init::He, 1), graph, meta: Meta::default() };
        let error = body(&bare).unwrap_err().to_string();
        assert!(error.contains("`bare`") && error.contains("linear"), "{error}");
    }
}
