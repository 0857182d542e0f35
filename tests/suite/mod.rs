//! One list of named cases, forward and backward, that every engine runs against the references.

#![allow(dead_code, unused_imports, reason = "not every test binary uses every part")]

mod cases;
pub mod checks;
pub mod gradients;
pub mod int8;
mod names;
pub mod networks;
mod structures;
pub mod subject;
pub mod training;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use convoke::graph::{Graph, Init, Params, Value, reference};
use convoke::layers::{ParamSpec, Role};
use convoke::rng::Rng;
use convoke::tensor::{Tensor, dims};

pub use cases::cases;

/// A network, usually of one layer, and the batch size that it runs with.
pub struct Case {
    /// The layer's kind (or `structure`), a slash, and every attribute that differs from its default.
    pub name: String,
    pub graph: Graph,
    pub batch: usize,
    problem: OnceLock<Problem>,
    inferred: OnceLock<Tensor>,
}

/// The inputs of a training-mode run, and the results that the references find for it.
pub struct Problem {
    pub params: Params,
    pub x: Tensor,
    pub dy: Tensor,
    pub y: Tensor,
    pub dx: Tensor,
    pub dparams: BTreeMap<String, Tensor>,
}

/// The seed of every training-mode run in the suite: dropout masks depend on it.
pub const SEED: u32 = 5;
/// The step of every training-mode run in the suite: dropout masks depend on it.
pub const STEP: u32 = 3;

impl Case {
    pub fn new(name: impl Into<String>, graph: Graph, batch: usize) -> Self {
        Case { name: name.into(), graph, batch, problem: OnceLock::new(), inferred: OnceLock::new() }
    }

    /// Returns parameters and an input, drawn from a seed.
    pub fn given(&self) -> (Params, Tensor) {
        let graph = &self.graph;
        let mut params = Params::init(graph, Init::Xavier, 11);
        for (stream, (name, spec)) in graph.params().into_iter().enumerate() {
            let values = &mut params.tensor_mut(&name).data;
            match spec.role {
                Role::Weight { .. } => {}
                // A variance is positive.
                Role::RunningVariance => *values = random(&spec.shape, 100 + stream as u32).map(|v| 1.5 + v).data,
                _ => *values = random(&spec.shape, 100 + stream as u32).data,
            }
        }
        (params, random(&graph.input().batched(self.batch), 1))
    }

    /// Returns the results of the references in training mode, where dropout acts. Computed once, for all tests.
    pub fn problem(&self) -> &Problem {
        self.problem.get_or_init(|| self.solve())
    }

    /// Returns the output that the references compute in inference mode. Computed once, for all tests.
    pub fn inferred(&self) -> &Tensor {
        self.inferred.get_or_init(|| {
            let (params, x) = self.given();
            self.inference(&params, &x)
        })
    }

    /// Returns the output that the references compute from an input in inference mode.
    pub fn inference(&self, params: &Params, x: &Tensor) -> Tensor {
        let mut values = reference::forward(&self.graph, params, &x.to_f64(), None);
        values.swap_remove(self.graph.outputs()[0].value.index()).to_f32()
    }

    fn solve(&self) -> Problem {
        let graph = &self.graph;
        let (params, x) = self.given();
        let values = reference::forward(graph, &params, &x.to_f64(), Some((SEED, STEP)));
        let output = graph.outputs()[0].value;
        let y = &values[output.index()];
        let dy = random(&y.shape, 2);
        let seeds = [(output, dy.to_f64())];
        let (dvalues, dp) = reference::backward(graph, &params, &values, &seeds, Some((SEED, STEP)));
        // Running statistics have no gradient.
        let trained =
            |((name, spec), d): ((String, ParamSpec), Tensor<f64>)| spec.role.is_trained().then(|| (name, d.to_f32()));
        let dparams = graph.params().into_iter().zip(dp.into_iter().flatten()).filter_map(trained).collect();
        Problem { params, x, dy, y: y.to_f32(), dx: dvalues[Value::INPUT.index()].to_f32(), dparams }
    }

    /// Compares an engine's result with the references' one, relative to the largest wanted value. The message holds the
    /// whole case, so that it can be repeated from the message alone.
    pub fn check(&self, what: &str, got: &Tensor, want: &Tensor, tolerance: f32) -> Result<(), String> {
        let fail = |why: String| {
            Err(format!("{what} differs: {why}\n  case: {}\n  graph: {}", self.name, self.graph.to_json()))
        };
        if got.shape != want.shape {
            return fail(format!("shape {} instead of {}", dims(&got.shape), dims(&want.shape)));
        }
        let scale = want.data.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
        let error = |i: usize| (got.data[i] - want.data[i]).abs() / scale;
        // A NaN compares false with everything, hence the negated comparison.
        match (0..got.data.len()).find(|&i| !(error(i) <= tolerance)) {
            None => Ok(()),
            Some(i) => fail(format!(
                "at {i} of {}: {} instead of {} (scaled error {:e}, allowed {tolerance:e})",
                dims(&want.shape),
                got.data[i],
                want.data[i],
                error(i)
            )),
        }
    }
}

/// Returns uniform values in [-1, 1) that depend on `stream` alone, on every machine.
pub fn random(shape: &[usize], stream: u32) -> Tensor {
    let mut rng = Rng::new(17, stream);
    let data = (0..shape.iter().product()).map(|_| rng.range(-1.0, 1.0)).collect();
    Tensor::new(shape, data).expect("values for the whole shape")
}
