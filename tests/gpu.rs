//! The WebGPU engine against the references, on whatever Vulkan adapter there is (a software one will do). A machine
//! without any fails these tests: skipping them would say nothing.

#![cfg(all(feature = "gpu", not(target_arch = "wasm32")))]

mod suite;

use std::sync::LazyLock;

use convoke::error::Error;
use convoke::gpu::{Device, Engine, Trainer};
use convoke::graph::reference;
use convoke::layers::Loss;
use convoke::plan::Optimizer;
use pollster::block_on;
use suite::{Case, Problem, SEED, STEP, cases};

/// Parity with the double-precision references, relative to the largest value.
const TOLERANCE: f32 = 1e-4;

/// One device for all tests: making one takes longer than most cases.
static DEVICE: LazyLock<Device> =
    LazyLock::new(|| block_on(Device::request()).expect("these tests need a Vulkan adapter, such as lavapipe"));

fn in_inference(case: &Case, problem: &Problem) -> Result<(), String> {
    let values = reference::forward(&case.graph, &problem.params, &problem.x.to_f64(), None);
    let want = values[case.graph.outputs()[0].value.index()].to_f32();
    let run = async {
        let mut engine = Engine::new(&case.graph, &problem.params, &DEVICE).await?;
        engine.run(&problem.x).await
    };
    let got = block_on(run).map_err(|e| format!("{e}\n  case: {}", case.name))?;
    case.check("inference", &got, &want, TOLERANCE)
}

fn in_training(case: &Case, problem: &Problem) -> Result<(), String> {
    let run = async {
        let (loss, optimizer) = (Loss::CROSS_ENTROPY, Optimizer::sgd(0.9));
        let mut trainer = Trainer::new(&case.graph, &problem.params, loss, optimizer, SEED, &DEVICE).await?;
        trainer.gradients(&problem.x, &problem.dy, STEP).await
    };
    let (y, dx, dparams) = block_on(run).map_err(|e: Error| format!("{e}\n  case: {}", case.name))?;
    case.check("y", &y, &problem.y, TOLERANCE)?;
    case.check("dx", &dx, &problem.dx, TOLERANCE)?;
    for (name, want) in &problem.dparams {
        case.check(&format!("gradient of {name}"), dparams.get(name), want, TOLERANCE)?;
    }
    Ok(())
}

/// Runs every case and reports all that fail.
fn every_case(run: impl Fn(&Case, &Problem) -> Result<(), String>) {
    let failures: Vec<String> = cases().iter().filter_map(|case| run(case, &case.problem()).err()).collect();
    assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn inference_matches_the_references() {
    every_case(in_inference);
}

#[test]
fn gradients_match_the_references() {
    every_case(in_training);
}
