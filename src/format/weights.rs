//! Plain safetensors with the names of PyTorch's libraries, read into the networks of the [zoo].
//!
//! The zoo's layers have torchvision's names, so most files need no renaming. Known differences:
//!
//! | name in the file | name in the network |
//! |---|---|
//! | `*.num_batches_tracked` | none: ignored |
//! | `module.*`, `model.*`, `_orig_mod.*`, `net.*`, `backbone.*`, `state_dict.*` and the like, also several in a row | `*` |
//! | `ema.*`, `model_ema.*`, `ema_model.*` (averaged weights) | `*`, unless the file has the weights themselves too |
//! | `n_averaged` | none: ignored |
//! | old DenseNets: `denselayer1.norm.1.weight`, `conv.2.weight` | `norm1`, `conv2` |
//! | timm's VGG: `pre_logits.fc1`, `fc2` and `head.fc`, convolutions `[4096, 512, 7, 7]` and `[out, in, 1, 1]` | `classifier.0`, `3` and `6`, matrices |
//! | the last linear layer as `fc`, `linear`, `classifier` or `head.fc` | the network's name of its last linear layer |
//! | CIFAR ResNets with option B: `layer2.0.shortcut.0` | `layer2.0.downsample.0` |
//! | `aux1.*` and `aux2.*` of GoogLeNet, read without auxiliary heads | none: ignored |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::container::Container;
use crate::error::{Error, Result};
use crate::graph::{Graph, Params, Tensors};
use crate::layers::Layer;
use crate::tensor::Shape;
use crate::zoo::{self, Options};

/// Reads the weights of a zoo network from a safetensors file of F64, F32, F16 or BF16 tensors, or of a Convoke model.
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
    let mut tensors = Tensors::default();
    for (name, own) in assigned(graph, file, |name| expected.contains_key(name)) {
        let mut tensor = file.param(&name)?;
        if let Some(shape) = expected.get(&own) {
            reshape(tensor.shape_mut(), shape);
        }
        tensors.insert(own, Arc::new(tensor));
    }
    Params::new(graph, tensors)
}

/// Returns the zoo network whose weights a safetensors file holds, found by the names and shapes of the tensors.
///
/// # Errors
/// Returns [`Error::Format`] for bytes that are no safetensors file, and with the names of the nearest networks unless
/// exactly one fits; [`Error::TooLarge`] and [`Error::Integrity`] as [`read`] does.
pub fn network_of(bytes: &[u8]) -> Result<Graph> {
    guess(&Container::read(&bytes)?)
}

/// Returns the zoo network whose weights this file holds.
///
/// # Errors
/// Returns [`Error::Format`] with the names of the nearest networks unless exactly one fits.
pub(crate) fn guess(file: &Container) -> Result<Graph> {
    let mut found = vec![];
    for name in zoo::names() {
        let graph = with_classes_of(file, &name)?;
        found.push((differences(&graph, file), name, graph));
    }
    found.sort_by_key(|(differences, ..)| *differences);
    let fitting = found.iter().filter(|(differences, ..)| *differences == 0).count();
    if fitting == 1 {
        return Ok(found.swap_remove(0).2);
    }
    let nearest: Vec<&str> = found.iter().take(fitting.clamp(3, 6)).map(|(_, name, _)| name.as_str()).collect();
    let what = if fitting == 0 { "weights that fit no network; nearest are" } else { "weights that fit all of" };
    let expected = "a Convoke model (safetensors) with `convoke` in its metadata, or weights beside the name of their \
                    network (`arch`)";
    Err(Error::format("model", expected, format!("{what} {}", nearest.join(", "))))
}

/// Returns the zoo network of this name with the number of classes that the file's last linear layer has.
fn with_classes_of(file: &Container, name: &str) -> Result<Graph> {
    let graph = zoo::network(name, Options::default())?;
    let Some(weight) = last_linear(&graph).map(|last| format!("{last}.weight")) else { return Ok(graph) };
    let names: BTreeSet<String> = graph.params().into_iter().map(|(name, _)| name).collect();
    let in_file = assigned(&graph, file, |name| names.contains(name)).into_iter().find(|(_, own)| *own == weight);
    let classes = in_file.and_then(|(name, _)| file.shape(&name)?.first().copied());
    let other = classes.filter(|&classes| classes != graph.classes());
    let made = other.and_then(|n| zoo::network(name, Options { classes: Some(n), ..Options::default() }).ok());
    Ok(made.unwrap_or(graph))
}

/// Returns the number of tensors that the file lacks, has beside the network's own, or has in another shape.
fn differences(graph: &Graph, file: &Container) -> usize {
    let mut expected: BTreeMap<String, Vec<usize>> = graph.params().into_iter().map(|(n, p)| (n, p.shape)).collect();
    let assigned = assigned(graph, file, |name| expected.contains_key(name));
    let mut others = 0;
    for (name, own) in assigned {
        let mut shape = file.shape(&name).unwrap_or_default().to_vec();
        let fits = expected.remove(&own).is_some_and(|wanted| {
            reshape(&mut shape, &wanted);
            shape == wanted
        });
        others += usize::from(!fits);
    }
    expected.len() + others
}

/// Returns the file's tensors that are read, each with its name in the network.
fn assigned(graph: &Graph, file: &Container, is_expected: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let last = last_linear(graph);
    let names = file.names();
    let read = names.iter().filter(|name| !file.is_scale(name) && !is_ignored(name, graph));
    let mut named: Vec<(bool, &String, String)> = read
        .map(|name| {
            let own = own_name(name, &is_expected, last);
            (!is_expected(name) && unwrapped(name).1, name, own)
        })
        .collect();
    // If several tensors have one name in the network, averages give way to the weights themselves.
    named.sort_by_key(|(is_average, name, own)| (*is_average, *name != own));
    let mut taken = BTreeSet::new();
    let mut assigned = vec![];
    for (is_average, name, own) in named {
        if taken.insert(own.clone()) {
            assigned.push((name.clone(), own));
        } else if !is_average {
            // The name in the file is reported as unexpected.
            assigned.push((name.clone(), name.clone()));
        }
    }
    assigned
}

/// Removes the prefixes that wrappers of networks and programs for training add. Returns whether one of them marks
/// averages of the weights.
fn unwrapped(name: &str) -> (&str, bool) {
    const WRAPPERS: [&str; 9] = [
        "module.",
        "model.",
        "_orig_mod.",
        "net.",
        "network.",
        "backbone.",
        "encoder.",
        "state_dict.",
        "model_state_dict.",
    ];
    const AVERAGES: [&str; 4] = ["ema.", "model_ema.", "ema_model.", "state_dict_ema."];
    let (mut rest, mut is_average) = (name, false);
    loop {
        let strip = |prefixes: &[&str]| prefixes.iter().find_map(|prefix| rest.strip_prefix(prefix));
        if let Some(inner) = strip(&AVERAGES) {
            (rest, is_average) = (inner, true);
        } else if let Some(inner) = strip(&WRAPPERS) {
            rest = inner;
        } else {
            return (rest, is_average);
        }
    }
}

/// Returns whether a tensor is ignored: counters of batches and averages, and auxiliary heads that the network does not
/// have.
fn is_ignored(name: &str, graph: &Graph) -> bool {
    let plain = unwrapped(name).0;
    let head = plain.split('.').next().filter(|h| matches!(*h, "aux1" | "aux2"));
    let has = |head: &str| graph.nodes().iter().any(|n| n.name.starts_with(head));
    name.ends_with(".num_batches_tracked") || plain == "n_averaged" || head.is_some_and(|head| !has(head))
}

/// Returns the name of the network's last linear layer, its classifier.
fn last_linear(graph: &Graph) -> Option<&str> {
    let mut linear = graph.nodes().iter().rev().filter(|n| matches!(n.layer, Layer::Linear(_)));
    linear.next().map(|n| n.name.as_str())
}

/// Returns the network's name for a tensor of the file: the first of the known spellings that the network expects, or the
/// file's name.
fn own_name(name: &str, is_expected: &dyn Fn(&str) -> bool, last: Option<&str>) -> String {
    let name = if is_expected(name) { name } else { unwrapped(name).0 };
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
    use crate::format::container::{self, Stored};
    use crate::graph::Init;
    use crate::zoo::{ResNet, Shortcut};

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
    fn prefixes_of_wrappers() {
        let graph = make("resnet20");
        for prefix in ["_orig_mod.module.", "model.", "net.", "backbone.", "state_dict.model.", "ema_model.module."] {
            check(&graph, |name, _| format!("{prefix}{name}"));
        }
    }

    #[test]
    fn averages_give_way_to_the_weights() {
        let graph = make("lenet5");
        let (params, averages) = (Params::init(&graph, Init::He, 5), Params::init(&graph, Init::He, 6));
        let mut tensors = vec![("n_averaged".to_string(), Stored::f32(&[], &[3.0]))];
        for (prefix, params) in [("ema.", &averages), ("model.", &params)] {
            for (name, t) in params.iter() {
                tensors.push((format!("{prefix}{name}"), Stored::owned(&t.shape.clone(), t.into_owned().data)));
            }
        }
        let bytes = container::write(tensors, BTreeMap::new()).unwrap();
        assert_eq!(read(&graph, &bytes).unwrap(), params);
    }

    #[test]
    fn architectures_are_guessed() {
        let graph = zoo::network("resnet18", Options { classes: Some(3), ..Options::default() }).unwrap();
        let (_, bytes) = file(&graph, |name, _| format!("model.{name}"));
        let source: &[u8] = &bytes;
        assert_eq!(guess(&Container::read(&source).unwrap()).unwrap(), graph);
        // A network without shortcuts that have weights is also its plain twin.
        let (_, bytes) = file(&make("resnet20"), |name, _| name.into());
        let source: &[u8] = &bytes;
        let text = guess(&Container::read(&source).unwrap()).unwrap_err().to_string();
        assert!(text.contains("fit all of") && text.contains("resnet20") && text.contains("plain20"), "{text}");
        let (_, bytes) = file(&make("resnet20"), |name, _| format!("other.{name}"));
        let source: &[u8] = &bytes;
        let text = guess(&Container::read(&source).unwrap()).unwrap_err().to_string();
        assert!(text.contains("fit no network; nearest are") && text.len() < 300, "{text}");
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
