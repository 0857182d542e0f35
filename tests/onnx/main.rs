//! ONNX files: written files read back as they were, files of other exporters load, and refusals name their reason.

mod bytes;
mod conformance;
#[path = "../support/counting.rs"]
mod counting;
mod fixtures;
mod layout;
mod malformed;
mod refusals;
mod round_trip;
#[path = "../suite/mod.rs"]
mod suite;

use std::sync::Arc;

use convoke::cpu::{Engine, Pool};
use convoke::format::{Meta, Model, onnx};
use convoke::graph::{Graph, Output, Params, reference};
use convoke::tensor::Tensor;

/// Every output of a network for a batch, on the CPU engine.
fn run(graph: &Graph, params: &Params, x: &Tensor, pool: &Arc<Pool>) -> convoke::Result<Vec<Tensor>> {
    each_output(graph, |graph| Engine::new(graph, params, pool)?.run(x))
}

/// What `run` finds for each output: an engine gives the main one.
fn each_output(graph: &Graph, run: impl Fn(&Graph) -> convoke::Result<Tensor>) -> convoke::Result<Vec<Tensor>> {
    let one = |output: &Output| {
        let main = Output { loss_weight: 1.0, ..*output };
        run(&Graph::new(graph.name(), graph.input().clone(), graph.nodes().to_vec(), vec![main])?)
    };
    graph.outputs().iter().map(one).collect()
}

/// The file of a network.
fn write(graph: &Graph, params: &Params) -> Vec<u8> {
    let model = Model { graph: graph.clone(), params: params.clone(), meta: Meta::default() };
    onnx::write(&model).expect("it is small")
}

/// Computes the outputs of `graph` by the references.
fn by_reference(graph: &Graph, params: &Params, x: &Tensor) -> Vec<Tensor> {
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
