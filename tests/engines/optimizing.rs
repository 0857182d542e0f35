//! Training with every optimizer, beside the references: `ENGINE::training/OPTIMIZER/…`.

use std::collections::BTreeMap;

use convoke::graph::{Init, Params};
use convoke::layers::Loss;
use convoke::plan::{Optimizer, Update};

use crate::list::List;
use crate::suite::random;
use crate::suite::subject::Subject;
use crate::suite::training::{
    half_frozen, half_frozen_params, limited_step, optimizers, rates_of, reference_step, separable, small_network,
    thirds, with_scales,
};

const LOSSES: [(&str, Loss); 3] = [
    ("cross-entropy", Loss::CROSS_ENTROPY),
    ("label-smoothing", Loss::SoftmaxCrossEntropy { label_smoothing: 0.1 }),
    ("binary-cross-entropy", Loss::BinaryCrossEntropy),
];

pub fn add(list: &mut List) {
    for (i, (name, optimizer)) in optimizers().into_iter().enumerate() {
        for (loss_name, loss) in LOSSES {
            list.on_each(&format!("training/{name}/{loss_name}"), async move |on: &Subject| {
                follows_the_references(on, optimizer, loss).await;
            });
        }
        for norm in [0.0, 0.1] {
            list.on_each(&format!("training/{name}/parts-of-a-batch-clipped-at-{norm}"), async move |on: &Subject| {
                parts_equal_the_whole(on, optimizer, norm).await;
            });
        }
        for norm in [0.25, 1e6] {
            list.on_each(&format!("training/{name}/gradients-clipped-at-{norm}"), async move |on: &Subject| {
                gradients_are_clipped(on, optimizer, norm).await;
            });
        }
        let norm = if i % 3 == 2 { 0.1 } else { 0.0 };
        list.on_each(&format!("training/{name}/frozen-layers"), async move |on: &Subject| {
            frozen_layers_stay(on, optimizer, norm).await;
        });
    }
}

fn assert_close(got: &Params, want: &Params, tolerance: f32) {
    for (name, want) in want.iter() {
        for (a, b) in got.tensor(name).data.iter().zip(&want.data) {
            assert!((a - b).abs() < tolerance, "{name}: {a} instead of {b}");
        }
    }
}

async fn follows_the_references(on: &Subject, optimizer: Optimizer, loss: Loss) {
    let graph = small_network();
    let mut params = Params::init(&graph, Init::He, 4);
    let mut trainer = on.trainer(&graph, &params, loss, optimizer).await.unwrap();
    let mut state = BTreeMap::new();
    for t in 1..=20 {
        // The last batch of an epoch is smaller.
        let n = if t % 5 == 0 { 3 } else { 7 };
        let (x, labels) = (random(&[n, 2, 9, 9], t % 4), [0, 3, 1, 2, 3, 3, 1]);
        let update = Update { optimizer, learning_rate: 0.02, t };
        let want = reference_step(&graph, &mut params, &mut state, (&x, &labels[..n]), loss, update);
        let report = trainer.step(&x, &labels[..n], 0.02).await.unwrap();
        let error = (f64::from(report.loss) - want).abs();
        assert!(error < f64::from(on.drift), "loss {} instead of {want}", report.loss);
    }
    assert_eq!(trainer.steps(), 20);
    assert_close(&trainer.params().await, &params, 2.0 * on.drift);
}

async fn parts_equal_the_whole(on: &Subject, optimizer: Optimizer, norm: f32) {
    let graph = separable();
    let params = Params::init(&graph, Init::He, 4);
    let mut whole = on.classifier(&graph, &params, optimizer).await;
    let mut parts = on.classifier(&graph, &params, optimizer).await;
    whole.set_clip_norm(norm).unwrap();
    parts.set_clip_norm(norm).unwrap();
    for t in 1..=3 {
        let (x, labels) = (random(&[6, 2, 9, 9], t), [0, 3, 1, 2, 3, 3]);
        whole.step(&x, &labels, 0.05).await.unwrap();
        let thirds = thirds(&x);
        parts.part(&thirds[0], &labels[..2]).await.unwrap();
        parts.part(&thirds[1], &labels[2..4]).await.unwrap();
        parts.step(&thirds[2], &labels[4..], 0.05).await.unwrap();
    }
    assert_close(&parts.params().await, &whole.params().await, on.tolerance);
}

async fn gradients_are_clipped(on: &Subject, optimizer: Optimizer, norm: f32) {
    let graph = small_network();
    let mut params = Params::init(&graph, Init::He, 4);
    let mut trainer = on.classifier(&graph, &params, optimizer).await;
    trainer.set_clip_norm(norm).unwrap();
    let mut state = BTreeMap::new();
    for t in 1..=4 {
        let (x, labels) = (random(&[7, 2, 9, 9], t), [0, 3, 1, 2, 3, 3, 1]);
        let (update, batch) = (Update { optimizer, learning_rate: 0.05, t }, (&x, &labels[..]));
        limited_step(&graph, &mut params, &mut state, batch, Loss::CROSS_ENTROPY, update, norm, |_| 1.0);
        trainer.step(&x, &labels, 0.05).await.unwrap();
    }
    assert_close(&trainer.params().await, &params, on.drift);
}

/// Frozen layers run as in inference, and the others learn at their own rates.
async fn frozen_layers_stay(on: &Subject, optimizer: Optimizer, norm: f32) {
    let (graph, rate) = half_frozen();
    let params = half_frozen_params(&graph);
    let (scaled, mut want) = with_scales(&graph, &params);
    let mut trainer = on.classifier(&graph, &params, optimizer).await;
    trainer.set_rates(&rates_of(&graph, rate)).unwrap();
    trainer.set_clip_norm(norm).unwrap();
    let mut state = BTreeMap::new();
    for t in 1..=4 {
        let (x, labels) = (random(&[7, 3, 9, 9], t), [0, 3, 1, 2, 3, 3, 1]);
        let (update, batch) = (Update { optimizer, learning_rate: 0.05, t }, (&x, &labels[..]));
        let loss = limited_step(&scaled, &mut want, &mut state, batch, Loss::CROSS_ENTROPY, update, norm, rate);
        let report = trainer.step(&x, &labels, 0.05).await.unwrap();
        assert!((f64::from(report.loss) - loss).abs() < 1e-3, "loss {} instead of {loss}", report.loss);
    }
    let got = trainer.params().await;
    for (name, before) in params.iter() {
        let after = got.tensor(name);
        let frozen = rate(name) == 0.0;
        assert_eq!(before == after, frozen, "{name}");
        let close = |(a, b): (&f32, &f32)| (a - b).abs() < on.drift;
        assert!(frozen || after.data.iter().zip(&want.tensor(name).data).all(close), "{name}");
    }
}
