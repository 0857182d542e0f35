//! Whole networks in vectors of two halves: kernels must take the number of lanes from the instruction set.

use std::cell::RefCell;

use super::simd::doubled::with_both;
use super::{Algorithm, Engine, Pool, Prefer, Trainer};
use crate::graph::{Graph, Init, Params, Ranges};
use crate::layers::Loss;
use crate::plan::Optimizer;
use crate::rng::Rng;
use crate::tensor::Tensor;
use crate::zoo;

/// Asserts that both calls of [`with_both`] gave tensors that are equal but for rounding.
fn close(name: &str, run: impl Fn() -> Vec<Tensor>) {
    let results = RefCell::new(vec![]);
    with_both(|| results.borrow_mut().push(run()));
    let [own, doubled] = &results.into_inner()[..] else { unreachable!("two calls") };
    for (a, b) in own.iter().zip(doubled) {
        let scale = a.data.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
        let error = a.data.iter().zip(&b.data).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(error <= 2e-3 * scale, "{name}: {error} of {scale}");
    }
}

fn case(name: &str) -> (Graph, Params, Tensor) {
    let graph = zoo::network(name, zoo::Options::default()).unwrap();
    let params = Params::init(&graph, Init::He, 3);
    let (mut rng, mut x) = (Rng::new(3, 3), Tensor::zeros(graph.input().batched(2)));
    x.data.iter_mut().for_each(|v| *v = rng.range(-1.0, 1.0));
    (graph, params, x)
}

#[test]
fn networks_run_and_learn_in_vectors_of_two_halves() {
    let pool = Pool::single();
    for name in ["lenet5-1998", "resnet20", "googlenet-cifar", "densenet40", "nin"] {
        let (graph, params, x) = case(name);
        close(name, || {
            let mut engine = Engine::new(&graph, &params, &pool).unwrap();
            let optimizer = Optimizer::sgd(0.9);
            let mut trainer = Trainer::new(&graph, &params, Loss::CROSS_ENTROPY, optimizer, 1, &pool).unwrap();
            trainer.step(&x, &[1, 2], 1e-3).unwrap();
            vec![
                engine.run(&x).unwrap(),
                trainer.params().tensor(&format!("{}.weight", graph.nodes()[0].name)).into_owned(),
            ]
        });
    }
}

#[test]
fn integers_are_multiplied_in_vectors_of_two_halves() {
    let pool = Pool::single();
    let (graph, params, x) = case("resnet20");
    let ranges = Ranges::from_iter(graph.nodes().iter().map(|node| (node.name.clone(), 4.0)));
    let params = params.calibrated(&graph, &ranges);
    close("resnet20", || {
        let mut engine = Engine::with(&graph, &params, &pool, Prefer::Only(Algorithm::Int8)).unwrap();
        vec![engine.run(&x).unwrap()]
    });
}
