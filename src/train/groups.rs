//! Layers that learn at a rate of their own, or not at all.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::options::{OptionSpec, Range};

/// A learning-rate factor for the layers whose names match a pattern.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// A name in which each `*` stands for any characters, or none: `layer4.*`.
    pub layers: String,
    /// The factor on the learning rate. 0 freezes: weights stay, and a batch normalisation uses its running statistics
    /// and leaves them as they are.
    pub rate: f32,
}

/// The options of a group.
pub const GROUP: &[OptionSpec] = &[
    OptionSpec::new("layers", Range::Text, "A layer's name, in which each `*` stands for any characters: `layer4.*`."),
    OptionSpec::new(
        "rate",
        Range::AtLeast(0.0),
        "The factor on the learning rate; 0 freezes. A frozen batch normalization uses its running statistics.",
    ),
];

/// Returns each node's factor on the learning rate.
///
/// # Errors
/// [`Error::Argument`] for a group without a layer that has weights, and when nothing learns.
pub(super) fn rates(graph: &Graph, groups: &[Group]) -> Result<Vec<f32>> {
    let nodes = graph.nodes();
    let has_weights: Vec<bool> = nodes.iter().map(|node| !graph.node_params(node).is_empty()).collect();
    let mut rates = vec![1.0; nodes.len()];
    for group in groups {
        let named: Vec<usize> =
            (0..nodes.len()).filter(|&i| has_weights[i] && matches(&group.layers, &nodes[i].name)).collect();
        if named.is_empty() {
            let expected = format!("the name of a layer of `{}` with weights, or a pattern of names", graph.name());
            return Err(Error::argument("groups", expected, format!("`{}`", group.layers)));
        }
        named.into_iter().for_each(|i| rates[i] = group.rate);
    }
    if (0..nodes.len()).all(|i| !has_weights[i] || rates[i] == 0.0) {
        return Err(Error::argument("groups", "at least one layer that learns", "all of them frozen"));
    }
    Ok(rates)
}

/// Returns whether a name matches the pattern.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    // The earliest place for each part leaves the most text to the other parts.
    for part in parts {
        match name.find(part) {
            Some(at) => name = &name[at + part.len()..],
            None => return false,
        }
    }
    name.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zoo;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, name, want) in [
            ("conv1", "conv1", true),
            ("conv1", "conv11", false),
            ("layer4.*", "layer4.0.conv1", true),
            ("layer4.*", "layer40.conv1", false),
            ("*", "", true),
            ("*.bn?", "a.bn1", false),
            ("layer*.0.*1", "layer2.0.conv1", true),
            ("layer*.0.*1", "layer2.1.conv1", false),
            ("a*a", "a", false),
            ("a*b*a", "abba", true),
        ] {
            assert_eq!(matches(pattern, name), want, "{pattern} {name}");
        }
    }

    #[test]
    fn the_last_group_counts_and_each_must_name_a_layer() {
        let graph = zoo::lenet5(zoo::Options::default()).unwrap();
        let group = |layers: &str, rate| Group { layers: layers.into(), rate };
        let rates_of = |groups: &[Group]| rates(&graph, groups);
        let found = rates_of(&[group("*", 0.0), group("f*", 0.5)]).unwrap();
        for (node, rate) in graph.nodes().iter().zip(found) {
            let want = if graph.node_params(node).is_empty() {
                1.0
            } else if node.name.starts_with('f') {
                0.5
            } else {
                0.0
            };
            assert_eq!(rate, want, "{}", node.name);
        }
        let error = rates_of(&[group("layer9.*", 0.0)]).unwrap_err();
        assert!(error.code() == "argument" && error.to_string().contains("`layer9.*`"), "{error}");
        assert!(rates_of(&[group("*", 0.0)]).unwrap_err().to_string().contains("frozen"));
        for rate in [-1.0, f32::NAN] {
            let config = crate::train::Config { groups: vec![group("*", rate)], ..Default::default() };
            assert!(config.validate().unwrap_err().to_string().contains("groups[0].rate"));
        }
    }
}
