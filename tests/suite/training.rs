//! One training run that every backend repeats: LeNet-5, fifty steps from one seed. The losses that the references find
//! are in tests/golden/losses.json, which `tests/losses.rs` checks and can write.

use convoke::graph::{Graph, Init, Params};
use convoke::layers::Loss;
use convoke::plan::Optimizer;
use convoke::tensor::Tensor;
use convoke::zoo;

use super::random;

pub const STEPS: u32 = 50;
pub const LEARNING_RATE: f32 = 0.02;
pub const OPTIMIZER: Optimizer = Optimizer::sgd(0.9);
pub const LOSS: Loss = Loss::CROSS_ENTROPY;
const BATCH: usize = 8;

pub fn lenet() -> (Graph, Params) {
    let graph = zoo::network("lenet5", zoo::Options::default()).expect("LeNet-5 is in the zoo");
    let params = Params::init(&graph, Init::He, 1);
    (graph, params)
}

/// A batch of noisy copies of ten random pictures, each a class.
pub fn batch(step: u32) -> (Tensor, Vec<u32>) {
    let pictures = random(&[10, 32 * 32], 1000);
    let noise = random(&[BATCH, 32 * 32], 2000 + step);
    let labels: Vec<u32> = (0..BATCH as u32).map(|i| (step * 3 + i * 7) % 10).collect();
    let pixel = |i: usize| 0.6 * pictures.data[labels[i / 1024] as usize * 1024 + i % 1024] + 0.4 * noise.data[i];
    let data = (0..BATCH * 1024).map(pixel).collect();
    (Tensor::new([BATCH, 1, 32, 32], data).expect("as many values as the shape says"), labels)
}

/// What the references find.
pub fn golden() -> Vec<f32> {
    serde_json::from_str(include_str!("../golden/losses.json")).expect("a list of numbers")
}

/// Fails unless every loss is within a thousandth of the references'.
pub fn check(backend: &str, losses: &[f32]) {
    let golden = golden();
    assert_eq!(losses.len(), golden.len());
    for (step, (got, want)) in losses.iter().zip(&golden).enumerate() {
        assert!(
            (got - want).abs() <= 1e-3 * want.abs(),
            "{backend}: loss {got} at step {step}, the references say {want}"
        );
    }
}
