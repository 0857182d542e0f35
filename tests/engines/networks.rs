//! Networks of the zoo, and the self-test that a user can run over any network.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use convoke::cpu::Pool;
use convoke::engine::Backend;
use convoke::graph::{Graph, Init, Params};
use convoke::layers::Loss;
use convoke::plan::{Optimizer, Update};
use convoke::self_test::{LayerError, self_test};
use convoke::zoo;
use pollster::block_on;

use crate::list::{Engines, List};
use crate::suite::subject::Subject;
use crate::suite::training::reference_step;
use crate::suite::{Case, checks, random};

/// Networks of the zoo, narrow where their width can be chosen.
static SMALL_ZOO: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let bottleneck =
        zoo::ResNet { block: zoo::Block::Bottleneck, shortcut: zoo::Shortcut::Projection, ..narrow_resnet() };
    let dense = zoo::DenseNet { layers: vec![2, 2], growth: 4, start: 6, bottleneck: true, large_images: false };
    let options = zoo::Options::default();
    [
        zoo::resnet("resnet", &narrow_resnet(), options),
        zoo::resnet("bottleneck", &bottleneck, options),
        zoo::resnet("plain", &narrow_resnet().plain(), options),
        zoo::densenet("dense", &dense, options),
        zoo::inception(options),
        zoo::inception_naive(options),
        zoo::nin(options),
    ]
    .map(|graph| graph.expect("a valid network"))
    .map(|graph| Case::new(format!("zoo/{}", graph.name()), graph, 1))
    .into()
});

fn narrow_resnet() -> zoo::ResNet {
    zoo::ResNet { width: 4, ..zoo::ResNet::cifar(8) }
}

pub fn add(list: &mut List) {
    for engine in Engines::ALL {
        for case in SMALL_ZOO.iter() {
            let name = |mode| format!("{}::{}::{mode}", engine.name(), case.name);
            list.check(name("forward"), move || block_on(checks::forward(case, &engine.subject(2))));
            list.test(name("self-test"), move || block_on(every_step_is_compared(&case.graph, &engine.subject(2))));
        }
        let name = format!("{}::lenet5/losses-of-fifty-steps", engine.name());
        list.check(name, move || block_on(checks::lenet_losses(&engine.subject(2))));
    }
    list.on_each("zoo/resnet::training-step", resnet_training_step);
    list.on_each("self-test/finds-the-layer-that-differs", finds_the_layer_that_differs);
}

async fn resnet_training_step(on: &Subject) {
    let graph = zoo::resnet("resnet", &narrow_resnet(), zoo::Options::default()).expect("a valid network");
    let mut params = Params::init(&graph, Init::He, 4);
    let optimizer = Optimizer::Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.01 };
    let mut trainer = on.classifier(&graph, &params, optimizer).await;
    let (x, labels) = (random(&[4, 3, 32, 32], 1), [3, 1, 4, 1]);
    let update = Update { optimizer, learning_rate: 0.1, t: 1 };
    let batch = (&x, &labels[..]);
    let want = reference_step(&graph, &mut params, &mut BTreeMap::new(), batch, Loss::CROSS_ENTROPY, update);
    let report = trainer.step(&x, &labels, 0.1).await.unwrap();
    assert!((f64::from(report.loss) - want).abs() < 1e-4, "loss {} instead of {want}", report.loss);
    for (name, got) in trainer.params().await.iter() {
        for (a, b) in got.data.iter().zip(&params.tensor(name).data) {
            assert!((a - b).abs() < 1e-4, "{name}: {a} instead of {b}");
        }
    }
}

async fn every_step_is_compared(graph: &Graph, on: &Subject) {
    let params = Params::init(graph, Init::He, 3);
    let errors = compared(graph, &params, &params, on).await;
    assert!(errors.iter().all(|e| e.error < on.tolerance), "{}: {errors:?}", graph.name());
    // On the CPU an engine without Winograd's algorithm adds in the order of the exact sums.
    if !matches!(on.backend, Backend::Cpu(_)) {
        assert!(errors.iter().any(|e| e.error > 0.0), "{}: nothing was rounded", graph.name());
    }
}

/// Compares an engine that runs with the weights `run` with exact sums over `params`.
async fn compared(graph: &Graph, params: &Params, run: &Params, on: &Subject) -> Vec<LayerError> {
    let mut engine = on.engine(graph, run).await.unwrap();
    let mut seen = vec![];
    let report = &mut |i, steps| seen.push((i, steps));
    let errors = self_test(graph, params, &Pool::single(), &mut engine, report).await.unwrap();
    assert_eq!(seen, (0..errors.len()).map(|i| (i, errors.len())).collect::<Vec<_>>());
    errors
}

async fn finds_the_layer_that_differs(on: &Subject) {
    let graph = zoo::resnet("resnet", &zoo::ResNet::cifar(8), zoo::Options::default()).unwrap();
    let params = Params::init(&graph, Init::He, 3);
    let right = compared(&graph, &params, &params, on).await;
    if let Backend::Cpu(_) = on.backend {
        assert!(right.iter().any(|e| e.algorithm == Some("winograd") && e.error > 0.0));
    }
    assert!(right.iter().all(|e| e.error < on.tolerance), "{right:?}");

    let mut wrong = params.clone();
    wrong.tensor_mut("layer2.0.conv2.weight").data[0] += 1.0;
    let errors = compared(&graph, &params, &wrong, on).await;
    let at = errors.iter().position(|e| e.name == "layer2.0.conv2").unwrap();
    assert_eq!(errors[..at], right[..at]);
    assert!(errors[at].error > 0.01, "{:?}", errors[at]);
}
