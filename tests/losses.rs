//! The references' losses of the fifty steps that every engine repeats.
//!
//! `CONVOKE_WRITE_GOLDEN=1 cargo test --release --test losses` writes tests/golden/losses.json anew.

#![cfg(not(target_arch = "wasm32"))]

mod suite;

use convoke::plan::Update;
use suite::training::{LEARNING_RATE, LOSS, OPTIMIZER, STEPS, State, batch, golden, lenet, reference_step};

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
