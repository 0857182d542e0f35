//! One algorithm at a time, wherever it can compute a layer.

use std::sync::Arc;

use convoke::cpu::{Algorithm, Engine, Pool, Prefer};
use convoke::layers::Layer;
use convoke::tensor::Tensor;

use crate::cases::CASES;
use crate::list::List;
use crate::suite::Case;

/// Adds `cpu::CASE::ALGORITHM` for each case that the algorithm can compute a layer of, and a test that there are enough
/// such cases.
pub fn add(list: &mut List, algorithm: Algorithm, at_least: usize) {
    for case in CASES.iter() {
        let name = format!("cpu::{}::{}", case.name, algorithm.name());
        if list.wants(&name) && applies(case, algorithm) {
            list.check(name, move || agrees(case, algorithm));
        }
    }
    list.test(format!("cpu::{}/computes-enough-cases", algorithm.name()), move || {
        let count = CASES.iter().filter(|case| applies(case, algorithm)).count();
        assert!(count >= at_least, "{algorithm:?} computes only {count} cases");
    });
}

fn applies(case: &Case, algorithm: Algorithm) -> bool {
    let has_weights = |layer: &Layer| matches!(layer, Layer::Conv2d(_) | Layer::Linear(_));
    case.graph.nodes().iter().any(|node| has_weights(&node.layer))
        && uses(&engine(case, algorithm, &Pool::single()), algorithm)
}

fn uses(engine: &Engine, algorithm: Algorithm) -> bool {
    engine.steps().iter().any(|step| step.algorithm == Some(algorithm))
}

fn engine(case: &Case, algorithm: Algorithm, pool: &Arc<Pool>) -> Engine {
    let (params, _) = case.given();
    Engine::with(&case.graph, &params, pool, Prefer::Only(algorithm)).expect("a valid graph")
}

/// Runs an inference by one algorithm.
pub fn inferred(case: &Case, algorithm: Algorithm, pool: &Arc<Pool>) -> Tensor {
    let mut engine = engine(case, algorithm, pool);
    assert!(uses(&engine, algorithm), "{algorithm:?} computes no layer");
    engine.run(&case.given().1).expect("a valid batch")
}

fn agrees(case: &Case, algorithm: Algorithm) -> Result<(), String> {
    let got = inferred(case, algorithm, &Pool::single());
    case.check(algorithm.name(), &got, case.inferred(), 2e-5)?;
    if inferred(case, algorithm, &Pool::new(3)) != got {
        return Err(format!("{algorithm:?} depends on the number of threads: {}", case.name));
    }
    Ok(())
}
