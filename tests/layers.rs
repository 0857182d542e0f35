//! The table of layers: docs/layers.md is what the registry, the engines' dispatches, the suite and the golden numbers
//! say. `CONVOKE_RECORD=1` writes it anew.

#![cfg(not(target_arch = "wasm32"))]

mod suite;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{env, fs};

use convoke::cpu::{Algorithm, Engine, Pool, Prefer, Trainer};
use convoke::format::{Meta, Model, onnx};
use convoke::graph::{Builder, Graph, Init, Params, Ranges, Value};
use convoke::layers::{Layer, Loss};
use convoke::plan::Optimizer;
use suite::{Case, SEED, STEP, cases};

const HEAD: &str = "# Layers

Each layer that a graph may name, where it is computed, and what it is checked with. Written by `tests/layers.rs` from the
registry (`src/layers/mod.rs`), the engines' sources, the suite and the golden numbers; `CONVOKE_RECORD=1 cargo test --test
layers` writes it anew, and without that the test fails when the table is not true.

Files are those of `src/layers/` (reference), `src/cpu/` and `src/gpu/`; an arrow each for forward and backward. \"int8\"
says which layers compute in integers on the CPU once they are calibrated; values between layers are floats, so the
others need no integers. \"Golden\" counts entries of `tests/golden/layers.json`, computed by JAX; \"cases\" counts those of `tests/suite/cases.rs` in
which the layer takes part, which every backend runs forward and backward. ONNX operators are those that the layer is
written as.

| layer | reference | CPU | int8 | GPU | golden | cases | ONNX |
| --- | --- | --- | --- | --- | ---: | ---: | --- |
";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn source(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// `conv2d` as `Conv2d`.
fn variant(kind: &str) -> String {
    kind.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

/// The arms of a source's matches that name this layer, each from its `=>` on.
fn arms<'a>(source: &'a str, kind: &str) -> Vec<&'a str> {
    let pattern = format!("Layer::{}(", variant(kind));
    let arm = |(at, _)| {
        let rest: &str = &source[at..];
        rest.find("=>").map(|arrow| &rest[arrow..])
    };
    source.match_indices(&pattern).filter_map(arm).collect()
}

/// The first path in an arm that begins with a module of `folder`: the module and what follows.
fn called<'a>(arm: &'a str, folder: &Path) -> (&'a str, &'a str) {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut calls = arm.match_indices("::").map(|(at, _)| {
        let start = arm[..at].rfind(|c| !is_name(c)).map_or(0, |i| i + 1);
        (&arm[start..at], &arm[at + 2..])
    });
    let is_module = |(name, _): &(&str, &str)| !name.is_empty() && folder.join(format!("{name}.rs")).is_file();
    calls.find(is_module).unwrap_or_else(|| panic!("no module in {}", &arm[..80.min(arm.len())]))
}

fn cell(file: &str, forward: bool, backward: bool) -> String {
    assert!(forward && backward, "{file} lacks a direction");
    format!("{file} → ←")
}

fn reference(kind: &str) -> String {
    let text = source(&format!("src/layers/{kind}.rs"));
    cell(&format!("{kind}.rs"), text.contains("fn forward("), text.contains("fn backward("))
}

/// The dispatch says the module (which may build on another's kernels), and a run that it has both directions.
fn on_cpu(kind: &str, case: &Case) -> String {
    let dispatch = source("src/cpu/program.rs");
    let arm = *arms(&dispatch, kind).first().unwrap_or_else(|| panic!("the CPU engine lacks {kind}"));
    let folder = if matches!(kind, "conv2d" | "linear") { "src/cpu/conv" } else { "src/cpu/layers" };
    let (module, _) = called(arm, &root().join(folder));
    let (pool, problem) = (Pool::single(), case.problem());
    let forward = Engine::new(&case.graph, &problem.params, &pool).and_then(|mut engine| engine.run(&problem.x));
    let trainer = Trainer::new(&case.graph, &problem.params, Loss::CROSS_ENTROPY, Optimizer::sgd(0.0), SEED, &pool);
    let backward = trainer.and_then(|mut trainer| trainer.gradients(&problem.x, &problem.dy, STEP));
    cell(&format!("{module}.rs"), forward.is_ok(), backward.is_ok())
}

/// Whether the CPU engine computes a layer of known range in integers.
fn in_int8(cases: &[&Case]) -> &'static str {
    let is_int8 = |case: &&Case| {
        let [node] = case.graph.nodes() else { return false };
        let ranges = Ranges::from_iter([(node.name.clone(), 1.0)]);
        let params = case.problem().params.calibrated(&case.graph, &ranges);
        let engine = Engine::with(&case.graph, &params, &Pool::single(), Prefer::Only(Algorithm::Int8));
        engine.expect("a valid graph").steps().iter().any(|step| step.algorithm == Some(Algorithm::Int8))
    };
    if cases.iter().any(is_int8) { "int8.rs →" } else { "float32" }
}

fn on_gpu(kind: &str) -> String {
    let dispatch = source("src/gpu/program.rs");
    let calls: Vec<_> = arms(&dispatch, kind).into_iter().map(|arm| called(arm, &root().join("src/gpu"))).collect();
    let module = calls.first().unwrap_or_else(|| panic!("the GPU engine lacks {kind}")).0;
    let has = |direction| calls.iter().any(|(name, rest)| *name == module && rest.starts_with(direction));
    cell(&format!("{module}.rs"), has("forward("), has("backward("))
}

/// Entries of layers.json by kind.
fn golden() -> BTreeMap<String, usize> {
    let file: serde_json::Value = serde_json::from_str(&source("tests/golden/layers.json")).expect("valid JSON");
    let mut counts = BTreeMap::new();
    for entry in file["layers"].as_array().expect("a list of entries") {
        *counts.entry(entry["layer"]["kind"].as_str().expect("a kind").to_string()).or_default() += 1;
    }
    counts
}

/// Networks of only this layer: the suite's, or, for layers of several inputs, the input taken several times.
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

/// The operators that the layer is written as.
fn operators(kind: &str, cases: &[&Case]) -> String {
    let written = |graph: Graph| {
        let (params, meta) = (Params::init(&graph, Init::Xavier, 1), Meta::default());
        let file = onnx::write(&Model { graph, params, meta }).expect("every layer can be written");
        onnx::operators(&file).expect("a file of our own")
    };
    let all: BTreeSet<String> = alone(kind, cases).into_iter().flat_map(written).collect();
    assert!(!all.is_empty(), "no network of only {kind}");
    all.into_iter().collect::<Vec<_>>().join(", ")
}

fn table() -> String {
    let (cases, golden) = (cases(), golden());
    let row = |kind: &&str| {
        let with = |case: &&Case| case.graph.nodes().iter().any(|n| n.layer.kind() == *kind);
        let cases: Vec<&Case> = cases.iter().filter(with).collect();
        assert!(!cases.is_empty(), "the suite lacks {kind}");
        let entries = golden.get(*kind).unwrap_or_else(|| panic!("layers.json lacks {kind}"));
        let (reference, cpu, gpu) = (reference(kind), on_cpu(kind, cases[0]), on_gpu(kind));
        let int8 = in_int8(&cases);
        format!(
            "| `{kind}` | {reference} | {cpu} | {int8} | {gpu} | {entries} | {} | {} |\n",
            cases.len(),
            operators(kind, &cases)
        )
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
    assert!(recorded == table, "docs/layers.md is not what the sources say: write it with CONVOKE_RECORD=1");
}
