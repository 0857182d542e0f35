//! ONNX files: what is written comes back, what others wrote is read, and what cannot be read is said.

mod conformance;
mod fixtures;
mod refusals;
mod round_trip;
#[path = "../suite/mod.rs"]
mod suite;

use convoke::graph::{Graph, Params, reference};
use convoke::tensor::Tensor;

/// Runs a network on a batch: every output. The one place that names an engine.
fn run(graph: &Graph, params: &Params, x: &Tensor) -> Vec<Tensor> {
    let values = reference::forward(graph, params, &x.to_f64(), None);
    graph.outputs().iter().map(|o| values[o.value.index()].to_f32()).collect()
}

/// The first value further off than `relative` (of the largest) allows.
fn difference(got: &[f32], want: &[f32], relative: f32) -> Option<String> {
    if got.len() != want.len() {
        return Some(format!("{} values instead of {}", got.len(), want.len()));
    }
    let scale = want.iter().filter(|v| v.is_finite()).fold(1e-6f32, |m, v| m.max(v.abs()));
    let close = |(a, b): (&f32, &f32)| (a - b).abs() <= relative * scale || a == b || (a.is_nan() && b.is_nan());
    let i = got.iter().zip(want).position(|pair| !close(pair))?;
    Some(format!("{} instead of {} at {i}", got[i], want[i]))
}
