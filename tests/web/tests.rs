//! What runs in a browser, on a page and in a worker alike: the shared suite and the shared training run, on the CPU
//! tier that this file was compiled for and on WebGPU.

use convoke::graph::reference;
use convoke::{cpu, gpu};
use wasm_bindgen_test::wasm_bindgen_test;

use crate::suite::networks::Network;
use crate::suite::training::{LEARNING_RATE, LOSS, OPTIMIZER, STEPS, batch, check, lenet};
use crate::suite::{Case, Problem, SEED, STEP, cases, int8};

/// As natively, see tests/cpu.rs and tests/gpu.rs.
const CPU_TOLERANCE: f32 = 2e-5;
const GPU_TOLERANCE: f32 = 1e-4;
/// Against ONNX Runtime, over all layers of a network: as natively in tests/parity.rs, and for WebGPU.
const CPU_PARITY: f32 = 1e-4;
const GPU_PARITY: f32 = 2e-4;

fn fail_if_any(failures: Vec<String>) {
    assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
}

/// What inference must give: the problem's own output is that of training mode.
fn inferred(case: &Case, problem: &Problem) -> convoke::tensor::Tensor {
    let values = reference::forward(&case.graph, &problem.params, &problem.x.to_f64(), None);
    values[case.graph.outputs()[0].value.index()].to_f32()
}

fn on_cpu(case: &Case) -> Result<(), String> {
    let problem = case.problem();
    let pool = cpu::Pool::single();
    let said = |e: convoke::Error| format!("{e}\n  case: {}", case.name);
    let mut engine = cpu::Engine::new(&case.graph, &problem.params, &pool).map_err(said)?;
    case.check("inference", &engine.run(&problem.x).map_err(said)?, &inferred(case, &problem), CPU_TOLERANCE)?;
    let mut trainer = cpu::Trainer::new(&case.graph, &problem.params, LOSS, OPTIMIZER, SEED, &pool).map_err(said)?;
    let (y, dx, dparams) = trainer.gradients(&problem.x, &problem.dy, STEP).map_err(said)?;
    case.check("y", &y, &problem.y, CPU_TOLERANCE)?;
    case.check("dx", &dx, &problem.dx, CPU_TOLERANCE)?;
    problem.dparams.iter().try_for_each(|(name, want)| {
        case.check(&format!("gradient of {name}"), &dparams.tensor(name), want, CPU_TOLERANCE)
    })
}

async fn on_gpu(case: &Case, device: &gpu::Device) -> Result<(), String> {
    let problem = case.problem();
    let said = |e: convoke::Error| format!("{e}\n  case: {}", case.name);
    let mut engine = gpu::Engine::new(&case.graph, &problem.params, device).await.map_err(said)?;
    let y = engine.run(&problem.x).await.map_err(said)?;
    case.check("inference", &y, &inferred(case, &problem), GPU_TOLERANCE)?;
    let trainer = gpu::Trainer::new(&case.graph, &problem.params, LOSS, OPTIMIZER, SEED, device).await;
    let (y, dx, dparams) = trainer.map_err(said)?.gradients(&problem.x, &problem.dy, STEP).await.map_err(said)?;
    case.check("y", &y, &problem.y, GPU_TOLERANCE)?;
    case.check("dx", &dx, &problem.dx, GPU_TOLERANCE)?;
    problem.dparams.iter().try_for_each(|(name, want)| {
        case.check(&format!("gradient of {name}"), &dparams.tensor(name), want, GPU_TOLERANCE)
    })
}

async fn network_on_gpu(name: &str, device: &gpu::Device) -> Result<(), String> {
    let network = Network::new(name);
    let said = |e: convoke::Error| format!("{e}\n  network: {name}");
    let mut engine = gpu::Engine::new(network.graph(), &network.params, device).await.map_err(said)?;
    network.check(&engine.run(&network.x).await.map_err(said)?, GPU_PARITY)
}

async fn device() -> gpu::Device {
    gpu::Device::request().await.expect("this browser was started with a software adapter")
}

#[wasm_bindgen_test]
fn the_cpu_engine_matches_the_references() {
    fail_if_any(cases().iter().filter_map(|case| on_cpu(case).err()).collect());
}

#[wasm_bindgen_test]
fn integers_on_the_cpu_are_exact() {
    let pools = [cpu::Pool::single()];
    fail_if_any(cases().iter().filter_map(|case| int8::check(case, &pools).err()).collect());
}

#[wasm_bindgen_test]
fn training_on_the_cpu_agrees_with_the_references() {
    let (graph, params) = lenet();
    let pool = cpu::Pool::single();
    let mut trainer = cpu::Trainer::new(&graph, &params, LOSS, OPTIMIZER, SEED, &pool).expect("a valid trainer");
    let step = |i| {
        let (x, labels) = batch(i);
        trainer.step(&x, &labels, LEARNING_RATE).expect("a finite loss").loss
    };
    check(cpu::isa(), &(0..STEPS).map(step).collect::<Vec<_>>());
}

#[wasm_bindgen_test]
async fn the_gpu_engine_matches_the_references() {
    let device = device().await;
    let mut failures = vec![];
    for case in cases() {
        failures.extend(on_gpu(&case, &device).await.err());
    }
    fail_if_any(failures);
}

#[wasm_bindgen_test]
async fn training_on_the_gpu_agrees_with_the_references() {
    let (graph, params) = lenet();
    let device = device().await;
    let trainer = gpu::Trainer::new(&graph, &params, LOSS, OPTIMIZER, SEED, &device).await;
    let mut trainer = trainer.expect("a valid trainer");
    let mut losses = vec![];
    for i in 0..STEPS {
        let (x, labels) = batch(i);
        losses.push(trainer.step(&x, &labels, LEARNING_RATE).await.expect("a finite loss").loss);
    }
    check("webgpu", &losses);
}

#[wasm_bindgen_test]
fn networks_on_the_cpu_agree_with_onnx_runtime() {
    let pool = cpu::Pool::single();
    let on_cpu = |name| {
        let network = Network::new(name);
        let mut engine = cpu::Engine::new(network.graph(), &network.params, &pool).expect("a valid network");
        network.check(&engine.run(&network.x).expect("a valid input"), CPU_PARITY)
    };
    let names = ["lenet5", "resnet20", "nin", "resnet18", "googlenet"];
    fail_if_any(names.into_iter().filter_map(|name| on_cpu(name).err()).collect());
}

#[wasm_bindgen_test]
async fn networks_on_the_gpu_agree_with_onnx_runtime() {
    let device = device().await;
    let mut failures = vec![];
    for name in ["lenet5", "resnet20"] {
        failures.extend(network_on_gpu(name, &device).await.err());
    }
    fail_if_any(failures);
}

#[wasm_bindgen_test]
#[ignore = "a software adapter takes long for networks of this size"]
async fn large_networks_on_the_gpu_agree_with_onnx_runtime() {
    let device = device().await;
    let mut failures = vec![];
    for name in ["nin", "resnet18"] {
        failures.extend(network_on_gpu(name, &device).await.err());
    }
    fail_if_any(failures);
}
