//! Training runs alike on every backend: the references' losses of fifty steps, and the native engines beside them. The
//! browser tests check the same run.
//!
//! `CONVOKE_WRITE_GOLDEN=1 cargo test --release --test losses` writes tests/golden/losses.json anew.

#![cfg(not(target_arch = "wasm32"))]

mod suite;

use convoke::cpu;
use convoke::plan::Update;
use suite::SEED;
use suite::training::{LEARNING_RATE, LOSS, OPTIMIZER, STEPS, State, batch, check, golden, lenet, reference_step};

fn by_the_references() -> Vec<f64> {
    let (graph, mut params) = lenet();
    let mut state = State::new();
    let step = |step: u32| {
        let (x, labels) = batch(step);
        let update = Update { optimizer: OPTIMIZER, learning_rate: LEARNING_RATE, t: step + 1 };
        reference_step(&graph, &mut params, &mut state, (&x, &labels), LOSS, update)
    };
    (0..STEPS).map(step).collect()
}

#[test]
fn the_golden_losses_are_the_references() {
    let losses = by_the_references();
    if std::env::var_os("CONVOKE_WRITE_GOLDEN").is_some() {
        let text = losses.iter().map(|l| format!("{l:.6}")).collect::<Vec<_>>().join(",\n");
        std::fs::write("tests/golden/losses.json", format!("[\n{text}\n]\n")).expect("the file can be written");
        return;
    }
    for (got, want) in losses.iter().zip(golden()) {
        assert!((got - f64::from(want)).abs() < 2e-6, "the references find {got}, the file says {want}");
    }
    assert!(losses[STEPS as usize - 1] < losses[0] / 2.0, "the loss did not fall: {losses:?}");
}

#[test]
fn the_cpu_engine_agrees() {
    let (graph, params) = lenet();
    let mut trainer =
        cpu::Trainer::new(&graph, &params, LOSS, OPTIMIZER, SEED, &cpu::Pool::new(2)).expect("a valid trainer");
    let step = |i| {
        let (x, labels) = batch(i);
        trainer.step(&x, &labels, LEARNING_RATE).expect("a finite loss").loss
    };
    check("cpu", &(0..STEPS).map(step).collect::<Vec<_>>());
}

#[cfg(feature = "gpu")]
#[test]
fn the_gpu_engine_agrees() {
    use convoke::gpu::{Device, Trainer};
    let (graph, params) = lenet();
    let losses = pollster::block_on(async {
        let device = Device::request().await.expect("these tests need a Vulkan adapter, such as lavapipe");
        let mut trainer = Trainer::new(&graph, &params, LOSS, OPTIMIZER, SEED, &device).await.expect("a valid trainer");
        let mut losses = vec![];
        for i in 0..STEPS {
            let (x, labels) = batch(i);
            losses.push(trainer.step(&x, &labels, LEARNING_RATE).await.expect("a finite loss").loss);
        }
        losses
    });
    check("webgpu", &losses);
}
