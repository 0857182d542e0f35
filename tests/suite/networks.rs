//! Full-size networks with seeded weights, and the logits that ONNX Runtime computes for them. tests/golden/networks.py
//! writes the logits: it builds each network without Convoke and draws its weights by the rule of [`draw`].

use std::collections::BTreeMap;
use std::sync::LazyLock;

use convoke::graph::{Graph, Params};
use convoke::layers::{ParamSpec, Role};
use convoke::rng::Rng;
use convoke::tensor::Tensor;
use convoke::zoo;
use serde::Deserialize;

use super::Case;

#[derive(Deserialize)]
struct Golden {
    seed: u32,
    logits: BTreeMap<String, Vec<f32>>,
}

static GOLDEN: LazyLock<Golden> =
    LazyLock::new(|| serde_json::from_str(include_str!("../golden/networks.json")).expect("networks.json is valid"));

/// A network of the zoo with its weights, an input and the logits that it must give.
pub struct Network {
    case: Case,
    pub params: Params,
    pub x: Tensor,
    logits: Tensor,
}

impl Network {
    /// Returns every name in networks.json.
    pub fn names() -> impl Iterator<Item = &'static str> {
        GOLDEN.logits.keys().map(String::as_str)
    }

    pub fn new(name: &str) -> Self {
        let graph = zoo::network(name, zoo::Options::default()).expect("a network of the zoo");
        let tensor = |(name, spec): (String, ParamSpec)| {
            let limits = match spec.role {
                Role::Weight { fan_in, .. } => he(fan_in),
                Role::Bias | Role::RunningMean => (-0.1, 0.1),
                Role::Scale => (0.5, 1.5),
                Role::RunningVariance => (0.5, 2.0),
            };
            let tensor = draw(&name, &spec.shape, limits);
            (name, tensor.into())
        };
        let params =
            Params::new(&graph, graph.params().into_iter().map(tensor).collect()).expect("the shapes of the graph");
        let x = draw("input", &graph.input().batched(1), (-1.0, 1.0));
        let logits = &GOLDEN.logits[name];
        let logits = Tensor::new([1, logits.len()], logits.clone()).expect("one sample");
        Network { case: Case::new(name, graph, 1), params, x, logits }
    }

    pub fn graph(&self) -> &Graph {
        &self.case.graph
    }

    /// Compares logits with ONNX Runtime's, to a tolerance relative to the largest.
    pub fn check(&self, logits: &Tensor, tolerance: f32) -> Result<(), String> {
        self.case.check("logits", logits, &self.logits, tolerance)
    }
}

/// Returns the limits of a uniform distribution with He's variance, 2 / fan-in.
fn he(fan_in: usize) -> (f32, f32) {
    let bound = (6.0 / fan_in as f32).sqrt();
    (-bound, bound)
}

/// Returns uniform values between the limits, from the stream that the name's hash selects.
fn draw(name: &str, shape: &[usize], (low, high): (f32, f32)) -> Tensor {
    let mut rng = Rng::new(GOLDEN.seed, fnv1a(name));
    let data = (0..shape.iter().product()).map(|_| rng.range(low, high)).collect();
    Tensor::new(shape, data).expect("values for the whole shape")
}

/// Returns the 32-bit FNV-1a hash.
fn fnv1a(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |h, byte| (h ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
