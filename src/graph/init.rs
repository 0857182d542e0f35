//! Seeded initialization of parameters.

use serde::{Deserialize, Serialize};

use super::network::Graph;
use crate::layers::{Layer, Role};
use crate::rng::Rng;

/// The initialization of weights. Biases and running means start at zero, scales and running variances at one.
///
/// # Examples
/// ```
/// use convoke::graph::Init;
/// use convoke::zoo::{self, Options};
/// assert_eq!(Init::of(&zoo::network("lenet5", Options::default())?), Init::He);
/// assert_eq!(Init::of(&zoo::network("lenet5-1998", Options::default())?), Init::Xavier);
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// Normal with mean 0 and variance `2 / fan_in` (He et al., 2015): for networks with ReLU.
    He,
    /// Uniform with mean 0 and variance `2 / (fan_in + fan_out)` (Glorot and Bengio, 2010): for networks with tanh and
    /// sigmoid.
    Xavier,
}

impl Init {
    /// Returns [`Init::He`] for a graph with a ReLU, otherwise [`Init::Xavier`].
    pub fn of(graph: &Graph) -> Self {
        let relu = graph.nodes().iter().any(|n| matches!(n.layer, Layer::Relu(_)));
        if relu { Init::He } else { Init::Xavier }
    }

    /// Initializes the values of a parameter of this role.
    pub(super) fn fill(self, role: Role, values: &mut [f32], mut rng: Rng) {
        match (role, self) {
            (Role::Bias | Role::RunningMean, _) => values.fill(0.0),
            (Role::Scale | Role::RunningVariance, _) => values.fill(1.0),
            (Role::Weight { fan_in, .. }, Init::He) => {
                let deviation = (2.0 / fan_in as f32).sqrt();
                values.iter_mut().for_each(|v| *v = deviation * rng.normal());
            }
            (Role::Weight { fan_in, fan_out }, Init::Xavier) => {
                let bound = (6.0 / (fan_in + fan_out) as f32).sqrt();
                values.iter_mut().for_each(|v| *v = rng.range(-bound, bound));
            }
        }
    }
}
