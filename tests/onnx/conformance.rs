//! The `onnx` package's own backend tests, on both engines: the generated `node` tests of the operators that a CNN is
//! made of, `pytorch-operator`, `pytorch-converted` and the nine `light_*` networks.
//!
//! `scripts/setup.sh python` installs the package into `tests/.onnx`. `supported.txt` lists the tests that pass; one that
//! no longer does fails the run, and so does a wrong number anywhere. `CONVOKE_RECORD=1` writes the list anew.
//!
//! A test that Convoke refuses must be no 2-D CNN: the reason falls in one of [`CLASSES`], and anything else fails the run.
//!
//! A test whose operator can be computed for a network's input is; one that only makes sense for shapes and weights
//! (`Shape`, a `Cast` to integers) is folded from constants, as when a file is read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use convoke::Error;
use convoke::cpu::Pool;
use convoke::format::onnx::{
    Constant, Imported, Options, Scale, fold, input_names, operators, read_with, supported_operators,
};
use convoke::gpu::{self, Device};
use convoke::graph::{Graph, Params};
use convoke::tensor::Tensor;

use pollster::block_on;

use crate::{difference, each_output, run};

/// The operators whose node tests count.
static OPERATORS: LazyLock<BTreeSet<String>> = LazyLock::new(supported_operators);

/// The reasons why a test is no 2-D CNN, with the words by which a refusal is recognized. Tests with three spatial
/// dimensions are recognized by their shape ([`is_volume`]).
const CLASSES: &[(&str, &[&str])] = &[
    ("sequences and optional values", &["expected a tensor of known rank, got none"]),
    ("training: random zeros, statistics of a batch", &["training_mode", "training mode"]),
    ("operators of other networks", &["an operator that Convoke does not have"]),
    ("expected numbers that wrap around where the standard has them end", &["wraps around"]),
];

/// Tests that expect a cast which wraps around: -236 becomes 20, and not -128.
const WRAPPED: &[&str] = &[
    "test_qlinearmatmul_2D_int8_float16",
    "test_qlinearmatmul_2D_int8_float32",
    "test_qlinearmatmul_3D_int8_float16",
    "test_qlinearmatmul_3D_int8_float32",
];

/// The class of a reason, if it is one that may be.
fn class(reason: &str) -> Option<&'static str> {
    let of = |signs: &&[&str]| signs.iter().any(|sign| reason.contains(sign));
    let named = CLASSES.iter().find(|(_, signs)| of(signs)).map(|(class, _)| *class);
    named.or(is_volume(reason).then_some("three spatial dimensions"))
}

/// Whether a reason shows a shape with the batch, channels and three more dimensions.
fn is_volume(reason: &str) -> bool {
    let shapes = reason.split("got N").skip(1).map(|rest| rest.split(|c: char| c != 'x' && !c.is_ascii_digit()).next());
    shapes.flatten().any(|shape| shape.matches('x').count() == 4)
}

/// What computes the networks.
struct Engines {
    pool: Arc<Pool>,
    device: Device,
}

/// What became of a test.
enum Outcome {
    /// By the CPU engine, and whether by the GPU engine too.
    Computed {
        on_gpu: bool,
    },
    /// While reading.
    Folded,
    Failed(String),
    NotSupported(String),
}

type Outcomes = BTreeMap<String, Outcome>;

fn data() -> PathBuf {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.onnx/lib");
    let versions = fs::read_dir(venv).into_iter().flatten().flatten();
    let folders = versions.map(|v| v.path().join("site-packages/onnx/backend/test/data"));
    folders.into_iter().find(|f| f.is_dir()).expect("the onnx package is missing: scripts/setup.sh python")
}

#[test]
#[ignore = "a stage of its own: needs the onnx package (scripts/setup.sh python)"]
fn backend_tests_of_the_onnx_package() {
    let pool = Pool::new(std::thread::available_parallelism().map_or(1, usize::from));
    let device = block_on(Device::request()).expect("these tests need a Vulkan adapter, such as lavapipe");
    let (data, engines) = (data(), Engines { pool, device });
    let (mut failures, mut supported) = (vec![], BTreeSet::new());
    for suite in ["node", "pytorch-operator", "pytorch-converted", "light"] {
        let outcomes = run_suite(&data.join(suite), &engines);
        failures.extend(report(suite, &outcomes));
        supported.extend(outcomes.iter().filter_map(|(name, outcome)| line(suite, name, outcome)));
    }
    failures.extend(lost(&supported));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The line of a test that passed in the list of those that do.
fn line(suite: &str, name: &str, outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Computed { .. } => Some(format!("{suite}/{name}")),
        Outcome::Folded => Some(format!("{suite}/{name} folded")),
        _ => None,
    }
}

/// Tests that passed when the list was written.
fn lost(supported: &BTreeSet<String>) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx/supported.txt");
    if std::env::var_os("CONVOKE_RECORD").is_some() {
        let lines: String = supported.iter().map(|l| format!("{l}\n")).collect();
        fs::write(&path, lines).unwrap();
    }
    let recorded = fs::read_to_string(&path).expect("tests/onnx/supported.txt: write it with CONVOKE_RECORD=1");
    let recorded: BTreeSet<&str> = recorded.lines().collect();
    let new = supported.iter().filter(|l| !recorded.contains(l.as_str())).count();
    if new > 0 {
        println!("{new} tests pass that are not in supported.txt: record them with CONVOKE_RECORD=1");
    }
    recorded.into_iter().filter(|l| !supported.contains(*l)).map(|l| format!("{l}: passed before")).collect()
}

fn run_suite(folder: &Path, engines: &Engines) -> Outcomes {
    let mut outcomes = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let outcome = || {
            if path.extension().is_some_and(|e| e == "onnx") {
                Some(light(&path, engines))
            } else if path.join("model.onnx").exists() {
                case(&path, engines)
            } else {
                None
            }
        };
        let outcome = catch_unwind(AssertUnwindSafe(outcome)).unwrap_or_else(|_| Some(Outcome::Failed("panic".into())));
        outcomes.extend(outcome.map(|o| (name, o)));
    }
    outcomes
}

/// Prints the counts and why tests are not supported; the failures.
fn report(suite: &str, outcomes: &Outcomes) -> Vec<String> {
    let (mut computed, mut on_gpus, mut folded) = (0, 0, 0);
    let (mut failures, mut reasons) = (vec![], BTreeMap::<&str, Vec<&str>>::new());
    for (name, outcome) in outcomes {
        match outcome {
            Outcome::Computed { on_gpu } => {
                computed += 1;
                on_gpus += usize::from(*on_gpu);
            }
            Outcome::Folded => folded += 1,
            Outcome::Failed(why) => failures.push(format!("{suite}/{name}: {why}")),
            Outcome::NotSupported(why) => reasons.entry(why).or_default().push(name),
        }
    }
    let (passed, failed) = (computed + folded, failures.len());
    let unsupported = outcomes.len() - passed - failed;
    println!(
        "{suite}: {passed} passed ({computed} on the CPU engine, {on_gpus} of them on the GPU engine too, {folded} folded), \
         {failed} failed, {unsupported} not supported"
    );
    let mut classes = BTreeMap::<&str, usize>::new();
    for (reason, names) in reasons {
        match class(reason) {
            Some(class) => *classes.entry(class).or_default() += names.len(),
            None => failures.push(format!(
                "{suite}: {} x not supported, and of no class: {reason}: {}",
                names.len(),
                names.join(" ")
            )),
        }
    }
    for (class, count) in classes {
        println!("  {count:4} not supported: {class}");
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

/// A folder with a model, inputs and outputs; `None` for a node test of other operators.
fn case(folder: &Path, engines: &Engines) -> Option<Outcome> {
    let bytes = fs::read(folder.join("model.onnx")).unwrap();
    let own = |kind: &String| OPERATORS.contains(kind);
    if folder.parent().unwrap().ends_with("node") && !operators(&bytes).is_ok_and(|o| o.iter().all(own)) {
        return None;
    }
    if WRAPPED.iter().any(|name| folder.ends_with(name)) {
        return Some(Outcome::NotSupported("wraps around".into()));
    }
    let set = folder.join("test_data_set_0");
    Some(match (numbered(&set, "input"), numbered(&set, "output")) {
        (Ok(inputs), Ok(outputs)) => attempt(&bytes, &inputs, &outputs, engines),
        (Err(e), _) | (_, Err(e)) => Outcome::NotSupported(format!("no tensors of numbers: {}", short(&e))),
    })
}

/// Runs a test on the engine if it can be imported with some of its inputs free, else by folding. The reason of a
/// refusal is the engine's.
fn attempt(bytes: &[u8], inputs: &[Constant], outputs: &[Constant], engines: &Engines) -> Outcome {
    let reason = match import(bytes, inputs) {
        Ok((imported, free)) => match stacked(&imported, &inputs[..free]) {
            Ok(x) => match compare(&imported, &x, outputs, engines) {
                Some(outcome) => return outcome,
                None => "an input with infinities or NaN".into(),
            },
            Err(e) => e,
        },
        Err(e) => short(&e.to_string()),
    };
    match fold(bytes, &options(bytes, inputs, 0)) {
        Ok(got) => same(&got, outputs, |_| None).unwrap_or(Outcome::Folded),
        Err(_) => Outcome::NotSupported(reason),
    }
}

/// The inputs after the first `free` ones as constants.
fn options(bytes: &[u8], inputs: &[Constant], free: usize) -> Options {
    let names = input_names(bytes).unwrap_or_default();
    let constants = names.into_iter().zip(inputs.iter().cloned()).skip(free).collect();
    Options { constants, stack_inputs: true, constant_bytes: Some(1 << 24) }
}

/// Reads a model with the first inputs free and the rest as constants: one free input if that can be, else all, else
/// the numbers between. The error is the one of a single free input.
fn import(bytes: &[u8], inputs: &[Constant]) -> Result<(Imported, usize), Error> {
    let with = |free: usize| read_with(bytes.to_vec(), &options(bytes, inputs, free));
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

/// `None` for an input that the engine refuses: it computes with finite numbers only.
fn compare(imported: &Imported, x: &Tensor, outputs: &[Constant], engines: &Engines) -> Option<Outcome> {
    let Imported { graph, params, .. } = imported;
    let check = |got: &[Tensor]| same(got, outputs, |i| scale(imported, i));
    match run(graph, params, x, &engines.pool) {
        Ok(got) => {
            let on_device = || on_device(graph, params, x, &engines.device, check);
            Some(check(&got).unwrap_or_else(on_device))
        }
        Err(Error::NotFinite { .. }) => None,
        Err(e) => Some(Outcome::Failed(e.to_string())),
    }
}

/// Compares the GPU engine's outputs too, unless the weights exceed the adapter's largest buffer.
fn on_device(
    graph: &Graph,
    params: &Params,
    x: &Tensor,
    device: &Device,
    check: impl Fn(&[Tensor]) -> Option<Outcome>,
) -> Outcome {
    let got = each_output(graph, |graph| {
        block_on(gpu::Engine::new(graph, params, device)).and_then(|mut engine| block_on(engine.run(x)))
    });
    match got.map(|got| check(&got)) {
        Ok(None) => Outcome::Computed { on_gpu: true },
        Ok(Some(Outcome::Failed(why))) => Outcome::Failed(format!("on the GPU: {why}")),
        Ok(Some(other)) => other,
        Err(Error::TooLarge { .. }) => Outcome::Computed { on_gpu: false },
        Err(e) => Outcome::Failed(format!("on the GPU: {e}")),
    }
}

/// The scale that the file gives to output `i`, if it gives one.
fn scale(imported: &Imported, i: usize) -> Option<Scale> {
    let node = imported.graph.outputs()[i].value.node()?;
    imported.scales.get(&imported.graph.nodes()[node].name).copied()
}

/// Returns the first difference between the outputs. Floats in place of expected 8-bit values are quantized first.
fn same(got: &[Tensor], outputs: &[Constant], scale: impl Fn(usize) -> Option<Scale>) -> Option<Outcome> {
    if got.len() != outputs.len() {
        return Some(Outcome::Failed(format!("{} outputs instead of {}", got.len(), outputs.len())));
    }
    let problem = |(i, want): (usize, &Constant)| {
        let got = &got[i].data;
        let want = match want.to_tensor() {
            Ok(want) => want.data,
            Err(e) => return Some(Outcome::NotSupported(short(&e.to_string()))),
        };
        let is_nearest = |scale: Scale| {
            let code = |x: f32| x / scale.scale + scale.zero_point as f32;
            got.len() == want.len() && got.iter().zip(&want).all(|(&x, q)| (code(x) - q).abs() < 0.51)
        };
        if scale(i).is_some_and(is_nearest) { None } else { difference(got, &want, 1e-3).map(Outcome::Failed) }
    };
    outputs.iter().enumerate().find_map(problem)
}

/// One of the large networks: its weights are made by ConstantOfShape, its input is a ramp.
fn light(path: &Path, engines: &Engines) -> Outcome {
    let options = Options { constant_bytes: Some(2 << 30), ..Options::default() };
    let imported = match read_with(fs::read(path).unwrap(), &options) {
        Ok(imported) => imported,
        Err(e) => return Outcome::Failed(e.to_string()),
    };
    let n = imported.graph.input().elements();
    let ramp = (0..n).map(|i| i as f32 / n as f32).collect();
    let x = Tensor::new(imported.graph.input().batched(1), ramp).unwrap();
    let expected = path.with_file_name(path.file_stem().unwrap().to_string_lossy().into_owned() + "_output_0.pb");
    match tensor(&expected) {
        Ok(want) => compare(&imported, &x, &[want], engines).expect("a ramp is finite"),
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
