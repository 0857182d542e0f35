//! The `onnx` package's own backend tests: the generated `node` tests, `pytorch-operator`, `pytorch-converted`, `simple`
//! and the nine `light_*` networks.
//!
//! The data is not in the repository. `CONVOKE_ONNX_TESTS` names the package's folder `onnx/backend/test/data`, or
//! `pip install --no-deps --target tests/.onnx onnx==1.19.1` puts it where it is looked for. Without it, nothing is run.
//! Networks of more than 10^8 multiply-accumulates only run if `CONVOKE_ONNX_ALL` is set.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use convoke::Error;
use convoke::format::onnx::{Constant, Imported, Options, input_names, read_with};
use convoke::tensor::Tensor;

use crate::{difference, run};

/// What became of a test.
enum Outcome {
    Passed,
    Failed(String),
    NotSupported(String),
}

fn data() -> Option<PathBuf> {
    let fallback = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/.onnx/onnx/backend/test/data");
    let path = PathBuf::from(std::env::var("CONVOKE_ONNX_TESTS").unwrap_or_else(|_| fallback.into()));
    path.is_dir().then_some(path)
}

#[test]
fn backend_tests_of_the_onnx_package() {
    let Some(data) = data() else {
        println!("skipped: no backend tests of the onnx package (see the head of this file)");
        return;
    };
    let mut failures = vec![];
    for suite in ["node", "pytorch-operator", "pytorch-converted", "simple", "light"] {
        let outcomes = run_suite(&data.join(suite));
        failures.extend(report(suite, &outcomes));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn run_suite(folder: &Path) -> BTreeMap<String, Outcome> {
    let mut outcomes = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.extension().is_some_and(|e| e == "onnx") {
            outcomes.insert(name, light(&path));
        } else if path.join("model.onnx").exists() {
            outcomes.insert(name, case(&path));
        }
    }
    outcomes
}

/// Prints the counts and why tests are not supported; the failures.
fn report(suite: &str, outcomes: &BTreeMap<String, Outcome>) -> Vec<String> {
    let (mut passed, mut failures, mut reasons) = (0, vec![], BTreeMap::<&str, Vec<&str>>::new());
    for (name, outcome) in outcomes {
        match outcome {
            Outcome::Passed => passed += 1,
            Outcome::Failed(why) => failures.push(format!("{suite}/{name}: {why}")),
            Outcome::NotSupported(why) => reasons.entry(why).or_default().push(name),
        }
    }
    let unsupported = outcomes.len() - passed - failures.len();
    println!("{suite}: {passed} passed, {} failed, {unsupported} not supported", failures.len());
    for (reason, names) in reasons {
        println!("  {} x {reason}: {}", names.len(), names.join(" "));
    }
    failures
}

fn tensor(path: &Path) -> Result<Constant, String> {
    let bytes = fs::read(path).map_err(|e| e.to_string())?;
    Constant::from_bytes(&bytes).map_err(|e| e.to_string())
}

fn numbered(folder: &Path, what: &str) -> Result<Vec<Constant>, String> {
    (0..).map(|i| folder.join(format!("{what}_{i}.pb"))).take_while(|p| p.exists()).map(|p| tensor(&p)).collect()
}

/// A folder with a model, inputs and outputs.
fn case(folder: &Path) -> Outcome {
    let set = folder.join("test_data_set_0");
    let (inputs, outputs) = match (numbered(&set, "input"), numbered(&set, "output")) {
        (Ok(inputs), Ok(outputs)) => (inputs, outputs),
        (Err(e), _) | (_, Err(e)) => return Outcome::NotSupported(format!("no tensors of numbers: {}", short(&e))),
    };
    let bytes = fs::read(folder.join("model.onnx")).unwrap();
    let (imported, free) = match import(&bytes, &inputs) {
        Ok(read) => read,
        Err(e) => return Outcome::NotSupported(short(&e.to_string())),
    };
    match stacked(&imported, &inputs[..free]) {
        Ok(x) => compare(&imported, &x, &outputs),
        Err(e) => Outcome::NotSupported(e),
    }
}

/// Reads a model with the first inputs free and the rest as constants: one free input if that can be, else all, else
/// what lies between. The error is that of one input.
fn import(bytes: &[u8], inputs: &[Constant]) -> Result<(Imported, usize), Error> {
    let names = input_names(bytes)?;
    let with = |free: usize| {
        let rest = names.iter().cloned().zip(inputs.iter().cloned()).skip(free);
        let options = Options { constants: rest.collect(), stack_inputs: true, constant_bytes: Some(1 << 24) };
        read_with(bytes.to_vec(), &options)
    };
    let first = match with(1) {
        Ok(imported) => return Ok((imported, 1)),
        Err(e) => e,
    };
    (2..=inputs.len()).rev().find_map(|free| with(free).ok().map(|i| (i, free))).ok_or(first)
}

/// The inputs of each sample one after the other.
fn stacked(imported: &Imported, inputs: &[Constant]) -> Result<Tensor, String> {
    let tensors: Vec<Tensor> =
        inputs.iter().map(Constant::to_tensor).collect::<Result<_, _>>().map_err(|e| short(&e.to_string()))?;
    let batch = tensors.first().and_then(|t| t.shape.first()).copied().ok_or("no input with a batch")?;
    if tensors.iter().any(|t| t.shape.first() != Some(&batch)) || batch == 0 {
        return Err("inputs of different batches".into());
    }
    let sample = |t: &Tensor, s: usize| {
        let n = t.data.len() / batch;
        t.data[s * n..][..n].to_vec()
    };
    let data = (0..batch).flat_map(|s| tensors.iter().flat_map(move |t| sample(t, s))).collect();
    Tensor::new(imported.graph.input().batched(batch), data).map_err(|e| e.to_string())
}

fn compare(imported: &Imported, x: &Tensor, outputs: &[Constant]) -> Outcome {
    let got = run(&imported.graph, &imported.params, x);
    if got.len() != outputs.len() {
        return Outcome::Failed(format!("{} outputs instead of {}", got.len(), outputs.len()));
    }
    for (got, want) in got.iter().zip(outputs) {
        let want = match want.to_tensor() {
            Ok(want) => want,
            Err(e) => return Outcome::NotSupported(short(&e.to_string())),
        };
        if let Some(difference) = difference(&got.data, &want.data, 1e-3) {
            return Outcome::Failed(difference);
        }
    }
    Outcome::Passed
}

/// One of the large networks: its weights are made by ConstantOfShape, its input is a ramp.
fn light(path: &Path) -> Outcome {
    let options = Options { constant_bytes: Some(2 << 30), ..Options::default() };
    let imported = match read_with(fs::read(path).unwrap(), &options) {
        Ok(imported) => imported,
        Err(e) => return Outcome::Failed(e.to_string()),
    };
    let macs: u64 = imported.graph.costs().iter().map(|c| c.macs).sum();
    if macs > 100_000_000 && std::env::var_os("CONVOKE_ONNX_ALL").is_none() {
        return Outcome::NotSupported("not run without CONVOKE_ONNX_ALL".into());
    }
    let n = imported.graph.input().elements();
    let ramp = (0..n).map(|i| i as f32 / n as f32).collect();
    let x = Tensor::new(imported.graph.input().batched(1), ramp).unwrap();
    let expected = path.with_file_name(path.file_stem().unwrap().to_string_lossy().into_owned() + "_output_0.pb");
    match tensor(&expected) {
        Ok(want) => compare(&imported, &x, &[want]),
        Err(e) => Outcome::Failed(e),
    }
}

/// A reason without what differs from test to test.
fn short(message: &str) -> String {
    let message = message.strip_prefix("ONNX model: not supported: ").unwrap_or(message);
    let mut operators: Vec<&str> = message.split("; ").map(|p| p.split_once("(").map_or(p, |(_, rest)| rest)).collect();
    operators.sort_unstable();
    operators.dedup();
    operators.join("; ").chars().take(150).collect()
}
