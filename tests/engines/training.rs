//! Training steps: gradients, mixed labels, recomputed values and divergence.

use std::sync::LazyLock;

use convoke::Error;
use convoke::engine::Backend;
use convoke::graph::{Builder, Graph, Init, Params, Value};
use convoke::layers::{Conv2d, Flatten, Linear, Loss};
use convoke::plan::Optimizer;
use convoke::tensor::Tensor;
use convoke::zoo;

use crate::list::List;
use crate::suite::gradients::{self, Network};
use crate::suite::random;
use crate::suite::subject::Subject;
use crate::suite::training::{separable, small_network};

static NETWORKS: LazyLock<Vec<Network>> = LazyLock::new(gradients::networks);

pub fn add(list: &mut List) {
    for network in NETWORKS.iter() {
        let name = network.graph.name();
        list.on_each(&format!("jax/{name}::gradient"), async |on: &Subject| gradient_of_jax(on, network).await);
        list.on_each(&format!("jax/{name}::recompute"), async |on: &Subject| {
            recomputing(on, network).await;
        });
    }
    list.on_each("training/recomputing-takes-less-memory", recomputing_takes_less_memory);
    list.on_each("training/mixed-labels", mixed_labels);
    list.on_each("training/one-output-is-binary", one_output_is_binary);
    list.on_each("training/loss-falls", loss_falls);
    list.on_each("divergence/changes-nothing", divergence_changes_nothing);
    list.on_each("divergence/of-a-gradient-alone", divergence_of_a_gradient_alone);
    list.on_each("divergence/of-a-gradient-between-steps", divergence_between_steps);
}

async fn gradient_of_jax(on: &Subject, network: &Network) {
    let mut trainer = on.classifier(&network.graph, &network.params, Optimizer::sgd(0.0)).await;
    let report = trainer.step(&network.x, &network.labels, 1.0).await.unwrap();
    let tolerance = if let Backend::Cpu(_) = on.backend { 1e-5 } else { 1e-4 };
    network.check_step(tolerance, report.loss, &trainer.params().await);
}

/// Trains with and without recomputed values, with equal bits, and tells whether recomputing takes less memory.
async fn recomputing(on: &Subject, network: &Network) -> bool {
    let mut keeps = on.classifier(&network.graph, &network.params, Optimizer::sgd(0.9)).await;
    let mut recomputes = on.classifier(&network.graph, &network.params, Optimizer::sgd(0.9)).await;
    recomputes.set_recompute(true);
    assert!(recomputes.recomputes() && !keeps.recomputes());
    for _ in 0..2 {
        let a = keeps.step(&network.x, &network.labels, 0.01).await.unwrap();
        let b = recomputes.step(&network.x, &network.labels, 0.01).await.unwrap();
        assert_eq!(a, b);
    }
    assert_eq!(keeps.params().await, recomputes.params().await);
    assert!(recomputes.bytes() <= keeps.bytes());
    recomputes.bytes() < keeps.bytes()
}

async fn recomputing_takes_less_memory(on: &Subject) {
    let mut less = 0;
    for network in NETWORKS.iter() {
        less += usize::from(recomputing(on, network).await);
    }
    assert!(less > 3, "{less} networks need less memory");
}

/// One step of plain gradient descent is linear in the labels, as the loss is.
async fn mixed_labels(on: &Subject) {
    let graph = separable();
    let params = Params::init(&graph, Init::He, 4);
    let x = random(&[3, 2, 9, 9], 1);
    let step = async |labels: &[u32], lambda| {
        let mut trainer = on.classifier(&graph, &params, Optimizer::sgd(0.0)).await;
        trainer.set_mixup_lambda(lambda).unwrap();
        let report = trainer.step(&x, labels, 0.1).await.unwrap();
        (report.loss, trainer.params().await)
    };
    let (own_loss, own) = step(&[0, 3, 1], 1.0).await;
    let (other_loss, other) = step(&[1, 0, 3], 1.0).await;
    let (loss, mixed) = step(&[0, 3, 1], 0.7).await;
    assert!((loss - (0.7 * own_loss + 0.3 * other_loss)).abs() < 1e-5);
    for (name, own) in own.iter() {
        let both = own.data.iter().zip(&other.tensor(name).data).map(|(a, b)| 0.7 * a + 0.3 * b).collect::<Vec<_>>();
        assert!(mixed.tensor(name).data.iter().zip(both).all(|(a, b)| (a - b).abs() < 1e-5), "{name}");
    }
}

/// One output is a logit of class 1, and a sample is correct where the sign is right.
async fn one_output_is_binary(on: &Subject) {
    let mut b = Builder::new("binary", [3]);
    let x = b.add("fc", Linear { out_features: 1, bias: false }, Value::INPUT);
    let graph = b.finish(x).unwrap();
    let mut params = Params::init(&graph, Init::Xavier, 1);
    params.tensor_mut("fc.weight").data.copy_from_slice(&[1.0, 2.0, -1.0]);
    let x = Tensor::new([4, 3], vec![1., 0., 0., -1., 0., 0., 0., 1., 1., 0., 0., 1.]).unwrap();
    let labels = [1, 0, 0, 1];
    let mut trainer = on.trainer(&graph, &params, Loss::BinaryCrossEntropy, Optimizer::sgd(0.0)).await.unwrap();
    let report = trainer.step(&x, &labels, 0.1).await.unwrap();
    let logits = Tensor::new([4, 1], vec![1.0, -1.0, 1.0, -1.0]).unwrap();
    let (want, _) = Loss::BinaryCrossEntropy.forward_backward(&logits, &labels);
    assert!((f64::from(report.loss) - want).abs() < 1e-6);
    assert_eq!(report.correct, 2);
}

async fn loss_falls(on: &Subject) {
    let graph = zoo::lenet5(zoo::Options::default()).unwrap();
    let params = Params::init(&graph, Init::He, 4);
    let mut trainer = on.classifier(&graph, &params, Optimizer::sgd(0.9)).await;
    let (x, labels): (_, Vec<u32>) = (random(&[10, 1, 32, 32], 1), (0..10).collect());
    let mut reports = vec![];
    for _ in 0..30 {
        reports.push(trainer.step(&x, &labels, 0.02).await.unwrap());
    }
    assert!(reports[29].loss < 0.2 * reports[0].loss, "{} to {}", reports[0].loss, reports[29].loss);
    assert_eq!(reports[29].correct, 10);
}

async fn divergence_changes_nothing(on: &Subject) {
    let graph = small_network();
    let mut params = Params::init(&graph, Init::He, 4);
    params.tensor_mut("fc1.weight").data[7] = f32::MAX;
    params.tensor_mut("fc2.weight").data.fill(f32::MAX);
    let mut trainer = on.classifier(&graph, &params, Optimizer::sgd(0.9)).await;
    let (x, labels) = (random(&[6, 2, 9, 9], 1), [0, 1, 2, 3, 0, 1]);
    let state = trainer.state().await;
    match trainer.step(&x, &labels, 0.1).await {
        Err(Error::Diverged { step: 0, layer, .. }) => assert_eq!(layer, "fc2"),
        other => panic!("expected divergence, got {other:?}"),
    }
    assert_eq!((trainer.params().await, trainer.state().await, trainer.steps()), (params, state, 0));
}

/// Returns a network whose last layer multiplies gradients by the largest weights, and its parameters.
fn steep(first: f32) -> (Graph, Params) {
    let mut b = Builder::new("steep", [1, 2, 2]);
    let x = b.add("conv", Conv2d::new(1, 1), Value::INPUT);
    let x = b.add("flat", Flatten {}, x);
    let x = b.add("fc", Linear::new(2), x);
    let graph = b.finish(x).unwrap();
    let mut params = Params::init(&graph, Init::He, 4);
    params.tensor_mut("conv.weight").data.fill(first);
    params.tensor_mut("fc.weight").data.copy_from_slice(&[3e38, 3e38, 3e38, 3e38, -3e38, -3e38, -3e38, -3e38]);
    (graph, params)
}

async fn divergence_of_a_gradient_alone(on: &Subject) {
    let (graph, params) = steep(1e-37);
    let mut trainer = on.classifier(&graph, &params, Optimizer::adam()).await;
    let x = Tensor::new([1, 1, 2, 2], vec![1.0; 4]).unwrap();
    match trainer.step(&x, &[1], 0.1).await {
        Err(Error::Diverged { layer, loss, .. }) => assert!(layer == "conv" && loss.is_finite(), "{layer} {loss}"),
        other => panic!("expected divergence, got {other:?}"),
    }
    assert_eq!(trainer.params().await, params);
}

async fn divergence_between_steps(on: &Subject) {
    let (graph, params) = steep(1e-30);
    let mut trainer = on.classifier(&graph, &params, Optimizer::adam()).await;
    let x = Tensor::new([1, 1, 2, 2], vec![1e-5; 4]).unwrap();
    match trainer.step(&x, &[1], 0.1).await {
        Ok(report) => assert!(report.loss.is_finite()),
        Err(Error::Diverged { layer, .. }) => assert_eq!(layer, "conv"),
        Err(other) => panic!("{other}"),
    }
    let x = Tensor::new([1, 1, 2, 2], vec![3e6; 4]).unwrap();
    match trainer.step(&x, &[1], 0.1).await {
        Err(Error::Diverged { layer, .. }) => assert_eq!(layer, "conv"),
        other => panic!("expected divergence, got {other:?}"),
    }
    assert!(trainer.params().await.iter().all(|(_, t)| t.data.iter().all(|v| v.is_finite())));
}
