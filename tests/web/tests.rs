//! Tests that run in a browser, on a page and in a worker alike: the shared cases and the shared training run, on the CPU
//! tier that this file was compiled for and on WebGPU.

use convoke::cpu::Pool;
use convoke::gpu::Device;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::suite::subject::Subject;
use crate::suite::{cases, checks, int8};

/// The tolerance against ONNX Runtime over all layers of a network, as in tests/parity.rs.
const CPU_PARITY: f32 = 1e-4;
/// The tolerance against ONNX Runtime over all layers of a network, on WebGPU.
const GPU_PARITY: f32 = 2e-4;

fn fail_if_any(failures: Vec<String>) {
    assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
}

fn cpu() -> Subject {
    Subject::cpu(Pool::single())
}

async fn gpu() -> Subject {
    Subject::gpu(&Device::request().await.expect("this browser was started with a software adapter"))
}

async fn every_case(subject: &Subject) {
    let mut failures = vec![];
    for case in cases() {
        failures.extend(checks::forward(&case, subject).await.err());
        failures.extend(checks::backward(&case, subject).await.err());
    }
    fail_if_any(failures);
}

async fn every_network(names: &[&str], subject: &Subject, tolerance: f32) {
    let mut failures = vec![];
    for name in names {
        failures.extend(checks::parity(name, subject, tolerance).await.err());
    }
    fail_if_any(failures);
}

#[wasm_bindgen_test]
async fn the_cpu_engine_matches_the_references() {
    every_case(&cpu()).await;
}

#[wasm_bindgen_test]
fn integers_on_the_cpu_are_exact() {
    let pools = [Pool::single()];
    let cases = cases().into_iter().filter(int8::applies);
    fail_if_any(cases.filter_map(|case| int8::check(&case, &pools).err()).collect());
}

#[wasm_bindgen_test]
async fn training_on_the_cpu_agrees_with_the_references() {
    checks::lenet_losses(&cpu()).await.unwrap();
}

#[wasm_bindgen_test]
async fn the_gpu_engine_matches_the_references() {
    every_case(&gpu().await).await;
}

#[wasm_bindgen_test]
async fn training_on_the_gpu_agrees_with_the_references() {
    checks::lenet_losses(&gpu().await).await.unwrap();
}

#[wasm_bindgen_test]
async fn networks_on_the_cpu_agree_with_onnx_runtime() {
    every_network(&["lenet5", "resnet20", "nin", "resnet18", "googlenet"], &cpu(), CPU_PARITY).await;
}

#[wasm_bindgen_test]
async fn networks_on_the_gpu_agree_with_onnx_runtime() {
    every_network(&["lenet5", "resnet20"], &gpu().await, GPU_PARITY).await;
}

#[wasm_bindgen_test]
#[ignore = "a software adapter takes long for networks of this size"]
async fn large_networks_on_the_gpu_agree_with_onnx_runtime() {
    every_network(&["nin", "resnet18"], &gpu().await, GPU_PARITY).await;
}
