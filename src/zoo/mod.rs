//! The networks, each a short function of the builder. All of them end in logits.

mod first_example;
mod lenet5;

pub use first_example::first_example;
pub use lenet5::{lenet5, lenet5_1998};

use crate::error::{Error, Result};
use crate::graph::Graph;

/// What may vary in a network without changing its name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Outputs of the last layer; the network's own number when `None`.
    pub classes: Option<usize>,
}

type Make = fn(Options) -> Result<Graph>;

/// Names as in the documentation, and the functions behind them.
const NETWORKS: &[(&str, Make)] = &[("first-example", first_example), ("lenet5", lenet5), ("lenet5-1998", lenet5_1998)];

/// The names of all networks.
pub fn names() -> impl Iterator<Item = &'static str> {
    NETWORKS.iter().map(|&(name, _)| name)
}

/// The network of this name.
///
/// # Errors
/// [`Error::UnknownNetwork`], which lists the known names; [`Error::Layer`] for options that make no sense.
pub fn network(name: &str, options: Options) -> Result<Graph> {
    match NETWORKS.iter().find(|(known, _)| *known == name) {
        Some((_, make)) => make(options),
        None => {
            let known = names().collect::<Vec<_>>().join(", ");
            Err(Error::UnknownNetwork { name: name.into(), known })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(name: &str) -> u64 {
        network(name, Options::default()).unwrap().costs().iter().map(|c| c.parameters).sum()
    }

    #[test]
    fn parameter_counts() {
        // The notes' figure 2 counts 392,460 before the output neuron, which adds 200 weights and a bias.
        assert_eq!(parameters("first-example"), 392_460 + 201);
        assert_eq!(parameters("lenet5"), 61_706);
        // Full connection in C3 (the paper's table I drops some), pooling without trainable coefficients.
        assert_eq!(parameters("lenet5-1998"), 61_706);
    }

    #[test]
    fn unknown_names_are_answered_with_the_known_ones() {
        let error = network("lenet6", Options::default()).unwrap_err().to_string();
        assert!(error.contains("lenet6") && error.contains("lenet5-1998"), "{error}");
    }
}
