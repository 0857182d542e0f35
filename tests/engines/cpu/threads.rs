//! Results do not depend on the number of threads: `cpu::CASE::threads`.

use std::sync::Arc;

use convoke::cpu::{Engine, Pool, Trainer};
use convoke::layers::Loss;
use convoke::plan::Optimizer;
use convoke::tensor::Tensor;

use crate::cases::CASES;
use crate::list::List;
use crate::suite::{Case, SEED, STEP};

pub fn add(list: &mut List) {
    for case in CASES.iter() {
        list.check(format!("cpu::{}::threads", case.name), move || one_result(case));
    }
}

fn one_result(case: &Case) -> Result<(), String> {
    let alone = results(case, &Pool::single());
    for threads in [2, 3] {
        for ((name, a), (_, b)) in alone.iter().zip(results(case, &Pool::new(threads))) {
            if *a != b {
                return Err(format!("{name} depends on the number of threads: {}", case.name));
            }
        }
    }
    Ok(())
}

/// Returns everything that the engine computes for a case: inference, training output, gradients by name.
fn results(case: &Case, pool: &Arc<Pool>) -> Vec<(String, Tensor)> {
    let problem = case.problem();
    let (loss, optimizer) = (Loss::CROSS_ENTROPY, Optimizer::sgd(0.0));
    let trainer = Trainer::new(&case.graph, &problem.params, loss, optimizer, SEED, pool);
    let gradients = trainer.expect("valid arguments").gradients(&problem.x, &problem.dy, STEP);
    let (y, dx, dparams) = gradients.expect("a valid batch");
    let mut engine = Engine::new(&case.graph, &problem.params, pool).expect("a valid graph");
    let inferred = engine.run(&problem.x).expect("a valid batch");
    let named = [("inference", inferred), ("y", y), ("dx", dx)].map(|(name, t)| (name.to_string(), t));
    let gradients = problem.dparams.keys().map(|name| (format!("d{name}"), dparams.tensor(name).into_owned()));
    named.into_iter().chain(gradients).collect()
}
