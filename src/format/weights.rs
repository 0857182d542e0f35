//! Plain safetensors with the names of PyTorch's libraries, read into the networks of the [zoo](crate::zoo).
//!
//! The zoo's layers have torchvision's names, so most files need no renaming. Known differences:
//!
//! | name in the file | name in the network |
//! |---|---|
//! | `*.num_batches_tracked` | none: ignored |
//! | `module.*` (data-parallel training) | `*` |
//! | old DenseNets: `denselayer1.norm.1.weight`, `conv.2.weight` | `norm1`, `conv2` |
//! | timm's VGG: `pre_logits.fc1`, `fc2` and `head.fc`, convolutions `[4096, 512, 7, 7]` and `[out, in, 1, 1]` | `classifier.0`, `3` and `6`, matrices |
//! | the last linear layer as `fc`, `linear`, `classifier` or `head.fc` | the network's name of its last linear layer |
//! | CIFAR ResNets with option B: `layer2.0.shortcut.0` | `layer2.0.downsample.0` |
//! | `aux1.*` and `aux2.*` of GoogLeNet, read without auxiliary heads | none: ignored |

use std::collections::BTreeMap;
use std::sync::Arc;

use super::container::Container;
use crate::error::Result;
use crate::graph::{Graph, Params, Tensors};
use crate::layers::Layer;
use crate::tensor::Shape;

/// Reads the weights of a zoo network from a safetensors file of F32, F16 or BF16 tensors, or of a Convoke model.
///
/// # Errors
/// Returns [`crate::Error::Format`], [`crate::Error::TooLarge`] or [`crate::Error::Integrity`] for bytes that are no intact
/// safetensors file, [`crate::Error::Weights`] with the names of all missing, unexpected and misshapen tensors, and
/// [`crate::Error::NotFinite`] for NaN or infinity.
///
/// # Examples
/// ```
/// use convoke::format::{Meta, Model, WeightFormat, weights};
/// use convoke::graph::{Init, Params};
/// use convoke::zoo::{self, Options};
/// let graph = zoo::network("lenet5", Options::default())?;
/// let params = Params::init(&graph, Init::He, 1);
/// let file = Model { graph: graph.clone(), params: params.clone(), meta: Meta::default() }.to_bytes(WeightFormat::F32)?;
/// assert_eq!(weights::read(&graph, &file)?, params);
/// # Ok::<(), convoke::Error>(())
/// ```
pub fn read(graph: &Graph, bytes: &[u8]) -> Result<Params> {
    of(graph, &Container::read(&bytes)?)
}

/// Reads the weights of a zoo network from this file.
///
/// # Errors
/// Returns the errors of [`read`].
pub(crate) fn of(graph: &Graph, file: &Container) -> Result<Params> {
    let expected: BTreeMap<String, Vec<usize>> = graph.params().into_iter().map(|(n, p)| (n, p.shape)).collect();
    let last = last_linear(graph);
    let mut tensors = Tensors::default();
    let names = file.names();
    for name in names.iter().filter(|name| !file.is_scale(name) && !is_ignored(name, graph)) {
        let mut tensor = file.param(name)?;
        let own = own_name(name, &|name| expected.contains_key(name), last);
        if let Some(shape) = expected.get(&own) {
            reshape(tensor.shape_mut(), shape);
        }
        // If two tensors have one name in the network, the tensor that has this name in the file stays, and the other is
        // reported as unexpected.
        let taken = own != *name && (names.contains(&own) || tensors.contains_key(&own));
        tensors.insert(if taken { name.clone() } else { own }, Arc::new(tensor));
    }
    Params::new(graph, tensors)
}

/// Returns whether a tensor is ignored: counters of batches, and auxiliary heads that the network does not have.
fn is_ignored(name: &str, graph: &Graph) -> bool {
    let plain = name.strip_prefix("module.").unwrap_or(name);
    let head = plain.split('.').next().filter(|h| matches!(*h, "aux1" | "aux2"));
    let has = |head: &str| graph.nodes().iter().any(|n| n.name.starts_with(head));
    name.ends_with(".num_batches_tracked") || head.is_some_and(|head| !has(head))
}

/// Returns the name of the network's last linear layer, its classifier.
fn last_linear(graph: &Graph) -> Option<&str> {
    let mut linear = graph.nodes().iter().rev().filter(|n| matches!(n.layer, Layer::Linear(_)));
    linear.next().map(|n| n.name.as_str())
}

/// Returns the network's name for a tensor of the file: the first of the known spellings that the network expects, or the
/// file's name.
fn own_name(name: &str, is_expected: &dyn Fn(&str) -> bool, last: Option<&str>) -> String {
    let name = name.strip_prefix("module.").unwrap_or(name);
    let (layer, param) = name.rsplit_once('.').unwrap_or(("", name));
    let is_head = matches!(layer, "fc" | "linear" | "classifier" | "head" | "head.fc");
    let candidates = [
        Some(name.to_string()),
        Some(old_densenet(name)),
        Some(format!("features.{}", old_densenet(name))),
        timm_vgg(layer).map(|layer| format!("{layer}.{param}")),
        last.filter(|_| is_head).map(|last| format!("{last}.{param}")),
        Some(name.replace(".shortcut.", ".downsample.")),
    ];
    candidates.into_iter().flatten().find(|c| is_expected(c)).unwrap_or_else(|| name.to_string())
}

/// Renames `norm.1` and `conv.2` of DenseNet files from before 2018 to `norm1` and `conv2`.
fn old_densenet(name: &str) -> String {
    let mut name = name.to_string();
    for part in ["norm", "conv", "relu"] {
        for i in ["1", "2"] {
            name = name.replace(&format!(".{part}.{i}."), &format!(".{part}{i}."));
        }
    }
    name
}

fn timm_vgg(layer: &str) -> Option<&'static str> {
    match layer {
        "pre_logits.fc1" => Some("classifier.0"),
        "pre_logits.fc2" => Some("classifier.3"),
        "head.fc" => Some("classifier.6"),
        _ => None,
    }
}

/// Reshapes the weights of a linear layer that are stored as a convolution (the notes' section 4), in equal order.
fn reshape(shape: &mut Vec<usize>, wanted: &[usize]) {
    let is_linear = wanted.len() == 2 && shape.len() == 4 && shape[0] == wanted[0];
    if is_linear && Shape::new(shape.clone()).elements() == Shape::new(wanted).elements() {
        *shape = wanted.to_vec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::format::container::{self, Stored};
    use crate::graph::Init;
    use crate::zoo::{self, Options, ResNet, Shortcut};

    /// The parameters of a network as a file, with names and shapes changed by `edit`.
    fn file(graph: &Graph, edit: impl Fn(&str, &mut Vec<usize>) -> String) -> (Params, Vec<u8>) {
        let params = Params::init(graph, Init::He, 5);
        let mut tensors = vec![];
        for (name, tensor) in params.iter() {
            let mut shape = tensor.shape.clone();
            let name = edit(name, &mut shape);
            tensors.push((name, Stored::owned(&shape, tensor.into_owned().data)));
        }
        let bytes = container::write(tensors, BTreeMap::new()).unwrap();
        (params, bytes)
    }

    fn check(graph: &Graph, edit: impl Fn(&str, &mut Vec<usize>) -> String) {
        let (params, bytes) = file(graph, edit);
        assert_eq!(read(graph, &bytes).unwrap(), params, "{}", graph.name());
    }

    fn make(name: &str) -> Graph {
        zoo::network(name, Options::default()).unwrap()
    }

    #[test]
    fn torchvision_names_fit_as_they_are() {
        let expected = [
            ("resnet18", "layer2.0.downsample.0.weight"),
            ("resnet50", "layer1.0.bn3.running_var"),
            ("densenet121", "features.denseblock1.denselayer1.norm1.running_mean"),
            ("densenet121", "features.transition1.norm.weight"),
            ("googlenet-torchvision", "inception3a.branch2.1.conv.weight"),
            ("googlenet-torchvision", "conv1.bn.running_mean"),
            ("alexnet-torchvision", "features.10.bias"),
            ("alexnet-torchvision", "classifier.6.weight"),
            ("vgg16", "features.28.weight"),
            ("vgg19", "classifier.3.bias"),
        ];
        for (network, name) in expected {
            assert!(make(network).params().iter().any(|(n, _)| n == name), "{network} has no {name}");
        }
        let heads = zoo::network("googlenet-torchvision", Options { auxiliary: true, ..Options::default() }).unwrap();
        assert!(heads.params().iter().any(|(n, _)| n == "aux1.conv.conv.weight"));
        check(&make("resnet18"), |name, _| name.into());
    }

    #[test]
    fn old_densenets() {
        let config = zoo::DenseNet { layers: vec![2, 2], growth: 4, start: 6, bottleneck: true, large_images: false };
        let graph = zoo::densenet("dense", &config, Options::default()).unwrap();
        check(&graph, |name, _| {
            let old = |n: &str, part: &str, i: &str| n.replace(&format!(".{part}{i}."), &format!(".{part}.{i}."));
            let inside = name.contains("denselayer");
            let all = [("norm", "1"), ("norm", "2"), ("conv", "1"), ("conv", "2")];
            all.iter().filter(|_| inside).fold(name.to_string(), |n, (part, i)| old(&n, part, i))
        });
    }

    #[test]
    fn timm_vgg_keeps_its_linear_layers_as_convolutions() {
        // Few classes and the real names; the wide layers are as large as they are.
        let graph = zoo::network("vgg16", Options { classes: Some(3), ..Options::default() }).unwrap();
        let timm = |name: &str, shape: &mut Vec<usize>| {
            let pairs = [
                ("classifier.0", "pre_logits.fc1", [512, 7, 7]),
                ("classifier.3", "pre_logits.fc2", [4096, 1, 1]),
                ("classifier.6", "head.fc", [0; 3]),
            ];
            for (own, theirs, rest) in pairs {
                if let Some(param) = name.strip_prefix(own) {
                    if param == ".weight" && rest[0] > 0 {
                        *shape = [&shape[..1], &rest].concat();
                    }
                    return format!("{theirs}{param}");
                }
            }
            name.to_string()
        };
        check(&graph, timm);
    }

    #[test]
    fn classifiers_shortcuts_and_wrappers() {
        let graph = make("resnet20");
        for head in ["fc", "linear", "classifier"] {
            check(&graph, |name, _| format!("module.{}", name.replace("fc.", &format!("{head}."))));
        }
        let config = ResNet { shortcut: Shortcut::Projection, ..ResNet::cifar(8) };
        let graph = zoo::resnet("b", &config, Options::default()).unwrap();
        check(&graph, |name, _| name.replace("downsample", "shortcut"));
    }

    #[test]
    fn counters_and_unused_heads_are_ignored() {
        let heads =
            zoo::network("googlenet-torchvision", Options { auxiliary: true, classes: Some(4), ..Options::default() })
                .unwrap();
        let (params, bytes) = file(&heads, |name, _| name.into());
        let plain = zoo::network("googlenet-torchvision", Options { classes: Some(4), ..Options::default() }).unwrap();
        let read_plain = read(&plain, &bytes).unwrap();
        assert_eq!(read_plain.tensor("fc.weight"), params.tensor("fc.weight"));
        let graph = make("lenet5");
        let mut tensors = vec![("bn1.num_batches_tracked".to_string(), Stored::f32(&[], &[3.0]))];
        for (name, t) in Params::init(&graph, Init::He, 5).iter() {
            tensors.push((name.into(), Stored::owned(&t.shape.clone(), t.into_owned().data)));
        }
        read(&graph, &container::write(tensors, BTreeMap::new()).unwrap()).unwrap();
    }

    #[test]
    fn every_difference_is_named() {
        let graph = make("lenet5");
        let (_, bytes) = file(&graph, |name, shape| match name {
            "conv1.weight" => "stem.weight".into(),
            "fc2.weight" => {
                shape.reverse();
                name.into()
            }
            _ => name.into(),
        });
        match read(&graph, &bytes).unwrap_err() {
            Error::Weights { missing, unexpected, misshapen, .. } => {
                assert_eq!((missing, unexpected), (vec!["conv1.weight".into()], vec!["stem.weight".to_string()]));
                assert_eq!(misshapen, ["fc2.weight: expected 84x120, got 120x84"]);
            }
            e => panic!("{e}"),
        }
    }
}
