//! The number of dispatches, which small networks spend most of their time on.

use convoke::gpu::{Engine, Trainer};
use convoke::graph::{Init, Params};
use convoke::layers::Loss;
use convoke::plan::Optimizer;
use convoke::zoo;
use pollster::block_on;

use super::DEVICE;
use crate::list::List;
use crate::suite::{SEED, random};

pub fn add(list: &mut List) {
    list.test("gpu::lenet5/takes-few-dispatches", || block_on(lenet_takes_few_dispatches()));
}

async fn lenet_takes_few_dispatches() {
    let graph = zoo::lenet5(zoo::Options::default()).unwrap();
    let params = Params::init(&graph, Init::He, 4);
    let engine = Engine::new(&graph, &params, &DEVICE).await.unwrap();
    // One for each convolution, pooling and linear layer: activations are fused, flatten costs nothing.
    assert_eq!(engine.dispatches(), 7);
    let (loss, optimizer) = (Loss::CROSS_ENTROPY, Optimizer::sgd(0.9));
    let mut trainer = Trainer::new(&graph, &params, loss, optimizer, SEED, &DEVICE).await.unwrap();
    let labels: Vec<u32> = (0..10).collect();
    trainer.step(&random(&[10, 1, 32, 32], 1), &labels, 0.02).await.unwrap();
    let dispatches = trainer.dispatches(10).unwrap();
    assert!(dispatches <= 30, "{dispatches} dispatches");
}
