//! The table of layers: docs/layers.md says which layers the registry has, which of them each engine runs, and what they
//! are checked with. `CONVOKE_RECORD=1` writes it anew.

#![cfg(not(target_arch = "wasm32"))]

mod suite;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::{env, fs};

use convoke::cpu::{Algorithm, Engine, Pool, Prefer};
use convoke::format::{Meta, Model, onnx};
use convoke::gpu::Device;
use convoke::graph::{Builder, Graph, Init, Params, Ranges, Value};
use convoke::layers::Layer;
use pollster::block_on;
use suite::subject::Subject;
use suite::{Case, cases, checks};

const HEAD: &str = "# Layers

Each layer that a graph may name, the engines that run it, and what checks it. Written by `tests/layers.rs`, which reads the
registry (`src/layers/mod.rs`), asks both engines, and counts cases and golden numbers; `CONVOKE_RECORD=1 cargo test --test
layers` writes it anew. Without that variable the test fails when the table is out of date.

- \"reference\" is the file in `src/layers/` with the layer's definition.
- \"CPU\" and \"GPU\" have an arrow for each direction that the engine runs: → forward, ← backward.
- \"algorithms\" are those that the CPU engine can compute the layer by. `int8` needs the range of the layer's input, which
  calibration finds.
- \"golden\" counts entries of `tests/golden/layers.json`, which JAX computed.
- \"cases\" counts the cases of `tests/suite/` with the layer, which every engine runs forward and backward.
- \"ONNX\" names the operators that the layer is written as.

| layer | reference | CPU | algorithms | GPU | golden | cases | ONNX |
| --- | --- | --- | --- | --- | ---: | ---: | --- |
";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn reference(kind: &str) -> String {
    let file = format!("{kind}.rs");
    assert!(root().join("src/layers").join(&file).is_file(), "src/layers lacks {file}");
    file
}

/// Runs a case forward and backward on an engine, and returns an arrow for each direction that it computes.
fn directions(case: &Case, subject: &Subject) -> String {
    let [forward, backward] = [block_on(checks::forward(case, subject)), block_on(checks::backward(case, subject))]
        .map(|result| result.is_ok());
    match (forward, backward) {
        (true, true) => "→ ←".into(),
        (true, false) => "→".into(),
        (false, true) => "←".into(),
        (false, false) => String::new(),
    }
}

/// Asks the CPU engine for the algorithms that it can compute a layer by, once its range is known.
fn algorithms(cases: &[&Case]) -> String {
    let can = |algorithm: Algorithm| {
        cases.iter().any(|case| {
            let [node] = case.graph.nodes() else { return false };
            let ranges = Ranges::from_iter([(node.name.clone(), 1.0)]);
            let params = case.given().0.calibrated(&case.graph, &ranges);
            let engine = Engine::with(&case.graph, &params, &Pool::single(), Prefer::Only(algorithm));
            engine.expect("a valid graph").steps().iter().any(|step| step.algorithm == Some(algorithm))
        })
    };
    let all = [Algorithm::Direct, Algorithm::Winograd, Algorithm::Depthwise, Algorithm::Int8];
    all.into_iter().filter(|&algorithm| can(algorithm)).map(Algorithm::name).collect::<Vec<_>>().join(", ")
}

/// Counts the entries of layers.json by kind.
fn golden() -> BTreeMap<String, usize> {
    let file: serde_json::Value = serde_json::from_str(include_str!("golden/layers.json")).expect("valid JSON");
    let mut counts = BTreeMap::new();
    for entry in file["layers"].as_array().expect("a list of entries") {
        *counts.entry(entry["layer"]["kind"].as_str().expect("a kind").to_string()).or_default() += 1;
    }
    counts
}

/// Returns networks of this layer alone: the suite's cases, or the input taken several times by a layer of several inputs.
fn alone(kind: &str, cases: &[&Case]) -> Vec<Graph> {
    let x = Value::INPUT;
    let mut b = [(); 2].map(|()| Builder::new("alone", [2, 3, 4]));
    let y = match kind {
        "add" => [b[0].sum("layer", &[x; 2]), b[1].sum("layer", &[x; 3])],
        "concat" => [b[0].concat("layer", &[x; 2]), b[1].concat("layer", &[x; 3])],
        "mul" => [b[0].product("layer", x, x), b[1].product("layer", x, x)],
        _ => return cases.iter().map(|c| c.graph.clone()).filter(|g| g.nodes().len() == 1).collect(),
    };
    b.into_iter().zip(y).map(|(b, y)| b.finish(y).expect("a valid network")).collect()
}

/// Writes the layer as ONNX files and returns the operators in them.
fn operators(kind: &str, cases: &[&Case]) -> String {
    let written = |graph: Graph| {
        let (params, meta) = (Params::init(&graph, Init::Xavier, 1), Meta::default());
        let file = onnx::write(&Model { graph, params, meta }).expect("every layer can be written");
        onnx::operators(&file).expect("a file that was just written")
    };
    let all: BTreeSet<String> = alone(kind, cases).into_iter().flat_map(written).collect();
    assert!(!all.is_empty(), "no network of only {kind}");
    all.into_iter().collect::<Vec<_>>().join(", ")
}

/// Returns the case with the fewest other layers.
fn smallest<'a>(cases: &[&'a Case]) -> &'a Case {
    cases.iter().min_by_key(|case| case.graph.nodes().len()).expect("a case of the layer")
}

fn table() -> String {
    let (cases, golden) = (cases(), golden());
    let cpu = Subject::cpu(Pool::single());
    let device = block_on(Device::request()).expect("this test needs a Vulkan adapter, such as lavapipe");
    let gpu = Subject::gpu(&device);
    let row = |kind: &&str| {
        let with = |case: &&Case| case.graph.nodes().iter().any(|n| n.layer.kind() == *kind);
        let cases: Vec<&Case> = cases.iter().filter(with).collect();
        assert!(!cases.is_empty(), "the suite lacks {kind}");
        let entries = golden.get(*kind).unwrap_or_else(|| panic!("layers.json lacks {kind}"));
        let [on_cpu, on_gpu] = [&cpu, &gpu].map(|subject| directions(smallest(&cases), subject));
        let (reference, algorithms, operators) = (reference(kind), algorithms(&cases), operators(kind, &cases));
        let count = cases.len();
        format!("| `{kind}` | {reference} | {on_cpu} | {algorithms} | {on_gpu} | {entries} | {count} | {operators} |\n")
    };
    Layer::KINDS.iter().map(row).fold(HEAD.to_string(), |table, row| table + &row)
}

#[test]
fn the_table_of_layers_is_true() {
    let path = root().join("docs/layers.md");
    let table = table();
    if env::var_os("CONVOKE_RECORD").is_some() {
        fs::write(&path, &table).expect("docs/ can be written to");
    }
    let recorded = fs::read_to_string(&path).expect("docs/layers.md: write it with CONVOKE_RECORD=1");
    assert!(recorded == table, "docs/layers.md is out of date: write it with CONVOKE_RECORD=1");
}
