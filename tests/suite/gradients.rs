//! A small network of each family with its loss and gradients as JAX computes them: the numbers are
//! tests/golden/gradients.py's.

use std::collections::BTreeMap;

use convoke::graph::{Graph, Params};
use convoke::tensor::Tensor;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    networks: Vec<GoldenNetwork>,
}

#[derive(Deserialize)]
struct GoldenNetwork {
    graph: serde_json::Value,
    params: BTreeMap<String, GoldenTensor>,
    x: GoldenTensor,
    labels: Vec<u32>,
    loss: f64,
    gradients: BTreeMap<String, GoldenTensor>,
}

#[derive(Deserialize)]
struct GoldenTensor {
    shape: Vec<usize>,
    data: Vec<f64>,
}

/// A network, a batch, and what a training step must find.
pub struct Network {
    pub graph: Graph,
    pub params: Params,
    pub x: Tensor,
    pub labels: Vec<u32>,
    pub loss: f64,
    gradients: BTreeMap<String, Vec<f64>>,
}

/// All families.
pub fn networks() -> Vec<Network> {
    let golden: Golden =
        serde_json::from_str(include_str!("../golden/gradients.json")).expect("gradients.json is valid");
    golden.networks.into_iter().map(Network::from).collect()
}

impl From<GoldenNetwork> for Network {
    fn from(golden: GoldenNetwork) -> Self {
        let tensor = |t: GoldenTensor| Tensor::new(t.shape, t.data).expect("as many values as the shape says").to_f32();
        let graph = Graph::from_json(&golden.graph.to_string()).expect("a valid graph");
        let params = golden.params.into_iter().map(|(name, t)| (name, tensor(t).into())).collect();
        Network {
            params: Params::new(&graph, params).expect("the graph's parameters"),
            graph,
            x: tensor(golden.x),
            labels: golden.labels,
            loss: golden.loss,
            gradients: golden.gradients.into_iter().map(|(name, t)| (name, t.data)).collect(),
        }
    }
}

impl Network {
    /// Fails unless each gradient that `of` finds is JAX's, to a tolerance relative to the tensor's largest value.
    pub fn check_gradients(&self, tolerance: f64, of: impl Fn(&str) -> Vec<f64>) {
        for (name, spec) in self.graph.params() {
            if !spec.role.is_trained() {
                continue;
            }
            let (got, want) = (of(&name), &self.gradients[&name]);
            assert_eq!(got.len(), want.len(), "{}: {name}", self.graph.name());
            let largest = want.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
            for (i, (got, want)) in got.iter().zip(want).enumerate() {
                let what = format!("{}: gradient of {name}[{i}]", self.graph.name());
                assert!((got - want).abs() <= tolerance * (1.0 + largest), "{what}: {got}, JAX says {want}");
            }
        }
    }

    /// The same of an engine that went a step of plain descent at rate 1, after which it has these weights.
    pub fn check_step(&self, tolerance: f64, loss: f32, after: &Params) {
        let name = self.graph.name();
        assert!((f64::from(loss) - self.loss).abs() <= tolerance * self.loss, "{name}: {loss}, JAX says {}", self.loss);
        self.check_gradients(tolerance, |name| {
            let (before, after) = (&self.params.tensor(name).data, &after.tensor(name).data);
            before.iter().zip(after).map(|(before, after)| f64::from(*before) - f64::from(*after)).collect()
        });
    }
}
