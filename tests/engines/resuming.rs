//! Runs that stop and resume, and what an optimizer's state outlives.

use std::ops::Range;

use convoke::Error;
use convoke::graph::{Init, Params};
use convoke::plan::Optimizer;
use pollster::block_on;

use crate::list::{Engines, List};
use crate::suite::random;
use crate::suite::subject::{Subject, Trainer};
use crate::suite::training::{optimizers, separable, small_network};

pub fn add(list: &mut List) {
    for engine in Engines::ALL {
        for (name, optimizer) in optimizers() {
            let name = format!("{}::training/{name}/resumes-with-equal-bits", engine.name());
            list.test(name, move || block_on(resumes_with_equal_bits(engine, optimizer)));
        }
    }
    list.on_each("state/survives-new-constants-but-no-new-formula", survives_new_constants);
    list.on_each("state/a-refused-part-discards-the-parts-before-it", a_refused_part_discards_the_others);
}

async fn train(trainer: &mut Trainer, steps: Range<u32>) -> Vec<f32> {
    let mut losses = vec![];
    for t in steps {
        let report = trainer.step(&random(&[6, 2, 9, 9], t), &[0, 1, 2, 3, 0, 1], 0.05).await;
        losses.push(report.unwrap().loss);
    }
    losses
}

/// On the CPU each part of the run has another number of threads.
async fn resumes_with_equal_bits(engine: Engines, optimizer: Optimizer) {
    let [one, two, three] = [1, 2, 3].map(|threads| engine.subject(threads));
    let graph = small_network();
    let start = Params::init(&graph, Init::He, 4);
    let mut whole = one.classifier(&graph, &start, optimizer).await;
    let losses = train(&mut whole, 0..8).await;

    let mut first = three.classifier(&graph, &start, optimizer).await;
    assert_eq!(train(&mut first, 0..5).await, losses[..5]);
    let mut second = two.classifier(&graph, &first.params().await, optimizer).await;
    second.restore(&first.state().await, first.steps()).unwrap();
    assert_eq!(train(&mut second, 5..8).await, losses[5..]);
    assert_eq!(second.params().await, whole.params().await);
    assert_eq!(second.state().await, whole.state().await);
}

async fn survives_new_constants(on: &Subject) {
    let graph = small_network();
    let params = Params::init(&graph, Init::He, 4);
    let mut trainer = on.classifier(&graph, &params, Optimizer::sgd(0.9)).await;
    train(&mut trainer, 0..2).await;
    let state = trainer.state().await;
    trainer.set_optimizer(Optimizer::sgd(0.5)).unwrap();
    assert_eq!(trainer.state().await, state);
    trainer.set_optimizer(Optimizer::adam()).unwrap();
    let cleared = trainer.state().await;
    assert!(cleared.len() == 2 * state.len() && cleared.iter().all(|(_, t)| t.data.iter().all(|&v| v == 0.0)));
    match trainer.restore(&state, 1) {
        Err(Error::Weights { missing, unexpected, .. }) => {
            assert_eq!((missing.len(), unexpected.len()), (2 * state.len(), state.len()));
        }
        other => panic!("expected an error, got {other:?}"),
    }
    assert_eq!(trainer.steps(), 2);
    train(&mut trainer, 2..3).await;
    assert_eq!(trainer.steps(), 3);
}

async fn a_refused_part_discards_the_others(on: &Subject) {
    let graph = separable();
    let params = Params::init(&graph, Init::He, 4);
    let mut alone = on.classifier(&graph, &params, Optimizer::sgd(0.9)).await;
    let mut after = on.classifier(&graph, &params, Optimizer::sgd(0.9)).await;
    let x = random(&[2, 2, 9, 9], 5);
    after.part(&x, &[1, 2]).await.unwrap();
    assert_eq!(after.part(&x, &[1, 9]).await.unwrap_err().code(), "label");
    alone.step(&x, &[0, 3], 0.05).await.unwrap();
    after.step(&x, &[0, 3], 0.05).await.unwrap();
    assert_eq!(after.params().await, alone.params().await);
}
