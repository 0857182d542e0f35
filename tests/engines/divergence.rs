//! Training runs whose numbers overflow, and numbers that no run should be given: each step gives a report or an error, and
//! the network that is left answers in finite numbers.

use convoke::Error;
use convoke::cpu::{Engine, Pool};
use convoke::graph::{Graph, Init, Params};
use convoke::layers::Loss;
use convoke::plan::Optimizer;
use convoke::tensor::Tensor;
use convoke::zoo;

use crate::list::List;
use crate::suite::random;
use crate::suite::subject::{Subject, Trainer};
use crate::suite::training::small_network;

pub fn add(list: &mut List) {
    for network in ["lenet5", "resnet20"] {
        list.on_each(&format!("divergence/{network}-answers-afterwards"), async move |on: &Subject| {
            answers_afterwards(on, network).await;
        });
    }
    list.on_each("divergence/an-outlier-changes-nothing", outlier_changes_nothing);
    list.on_each("divergence/no-number-panics", no_number_panics);
    list.on_each("divergence/no-setting-panics", no_setting_panics);
}

/// Asserts that the trainer's network answers `x` in finite numbers, and that the optimizer's state is finite.
async fn assert_answers(trainer: &Trainer, graph: &Graph, x: &Tensor, what: &str) {
    let params = trainer.params().await;
    let y = Engine::new(graph, &params, &Pool::single()).unwrap().run(x).unwrap();
    assert!(y.data.iter().all(|v| v.is_finite()), "{what}: {:?}", &y.data[..y.data.len().min(10)]);
    assert!(trainer.state().await.iter().all(|(_, t)| t.data.iter().all(|v| v.is_finite())), "{what}: state");
}

async fn answers_afterwards(on: &Subject, network: &str) {
    let graph = zoo::network(network, zoo::Options::default()).unwrap();
    let params = Params::init(&graph, Init::of(&graph), 1);
    for (optimizer, rate) in [
        (Optimizer::sgd(0.9), 20.0),
        (Optimizer::sgd(0.9), 1e6),
        (Optimizer::sgd(0.0), 3e38),
        (Optimizer::adam(), 1e18),
        (Optimizer::rmsprop(), 1e30),
    ] {
        let mut trainer = on.classifier(&graph, &params, optimizer).await;
        let mut diverged = 0;
        for step in 0..6 {
            let x = random(&graph.input().batched(4), step);
            let what = format!("{network}, {optimizer:?} at {rate}, step {step}");
            match trainer.step(&x, &[0, 1, 2, 3], rate).await {
                Ok(report) => assert!(report.loss.is_finite(), "{what}"),
                Err(Error::Diverged { .. }) => {
                    diverged += 1;
                    assert_answers(&trainer, &graph, &x, &what).await;
                }
                Err(other) => panic!("{what}: {other}"),
            }
            let finite = |t: &Tensor| t.data.iter().all(|v| v.is_finite());
            assert!(trainer.params().await.iter().all(|(_, t)| finite(&t)), "{what}");
        }
        assert!(diverged > 0 || rate < 1e6, "{network}, {optimizer:?} at {rate} never diverges");
    }
}

/// A batch that no weights answer is not the weights' fault.
async fn outlier_changes_nothing(on: &Subject) {
    let graph = zoo::network("lenet5", zoo::Options::default()).unwrap();
    let params = Params::init(&graph, Init::of(&graph), 1);
    let mut trainer = on.classifier(&graph, &params, Optimizer::sgd(0.9)).await;
    let x = random(&graph.input().batched(2), 1);
    for _ in 0..3 {
        trainer.step(&x, &[0, 1], 0.01).await.unwrap();
    }
    let before = (trainer.params().await, trainer.state().await);
    let outlier = Tensor::new(x.shape.clone(), vec![3e38; x.data.len()]).unwrap();
    assert_eq!(trainer.step(&outlier, &[0, 1], 0.01).await.unwrap_err().code(), "diverged");
    assert!((trainer.params().await, trainer.state().await) == before);
    assert!(trainer.step(&x, &[0, 1], 0.01).await.is_ok());
}

const NUMBERS: [f32; 12] = [0.0, 1e-45, 1e-30, 0.5, 1.0, 20.0, 1e10, 1e38, f32::MAX, -1.0, f32::INFINITY, f32::NAN];

/// Every number as every constant of every optimizer, as a learning rate, and in the inputs.
async fn no_number_panics(on: &Subject) {
    let graph = small_network();
    let params = Params::init(&graph, Init::He, 4);
    let x = random(&[2, 2, 9, 9], 1);
    for number in NUMBERS {
        let optimizers = [
            Optimizer::sgd(number),
            Optimizer::Sgd { momentum: 0.9, nesterov: true, weight_decay: number },
            Optimizer::Adam { beta1: number, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 },
            Optimizer::Adam { beta1: 0.9, beta2: number, epsilon: 0.0, weight_decay: 0.0 },
            Optimizer::AdamW { beta1: 0.9, beta2: 0.999, epsilon: number, weight_decay: number },
            Optimizer::RmsProp { alpha: number, momentum: 0.0, epsilon: 0.0, weight_decay: 0.0 },
            Optimizer::RmsProp { alpha: 0.99, momentum: number, epsilon: number, weight_decay: number },
        ];
        for optimizer in optimizers {
            let Ok(mut trainer) = on.trainer(&graph, &params, Loss::CROSS_ENTROPY, optimizer).await else { continue };
            for rate in [0.1, number] {
                step_or_error(&mut trainer, &x, rate).await;
            }
        }
        let mut trainer = on.classifier(&graph, &params, Optimizer::sgd(0.9)).await;
        let mut extreme = x.clone();
        extreme.data[7] = number;
        step_or_error(&mut trainer, &extreme, 0.1).await;
        step_or_error(&mut trainer, &x, 0.1).await;
    }
}

async fn step_or_error(trainer: &mut Trainer, x: &Tensor, rate: f32) {
    match trainer.step(x, &[0, 1], rate).await {
        Ok(report) => assert!(report.loss.is_finite()),
        Err(error) => {
            let code = error.code();
            assert!(["diverged", "argument", "not-finite"].contains(&code), "{error}");
        }
    }
    assert!(trainer.params().await.iter().all(|(_, t)| t.data.iter().all(|v| v.is_finite())));
    assert!(trainer.state().await.iter().all(|(_, t)| t.data.iter().all(|v| v.is_finite())));
}

/// Batch sizes, labels and settings of all sizes.
async fn no_setting_panics(on: &Subject) {
    let graph = small_network();
    let params = Params::init(&graph, Init::He, 4);
    let mut trainer = on.classifier(&graph, &params, Optimizer::sgd(0.9)).await;
    for batch in [0, usize::MAX, usize::MAX / 2, 1 << 32] {
        assert_eq!(trainer.prepare(batch).await.unwrap_err().code(), "argument", "{batch}");
    }
    let x = random(&[2, 2, 9, 9], 1);
    for labels in [&[][..], &[0], &[0, 4], &[u32::MAX, 0], &[0, 1, 2]] {
        assert!(["argument", "label"].contains(&trainer.step(&x, labels, 0.1).await.unwrap_err().code()));
        assert!(["argument", "label"].contains(&trainer.part(&x, labels).await.unwrap_err().code()));
    }
    for shape in [vec![], vec![0, 2, 9, 9], vec![2], vec![2, 2, 9, 8]] {
        let x = Tensor { data: vec![0.0; shape.iter().product()], shape };
        assert_eq!(trainer.step(&x, &[0, 1], 0.1).await.unwrap_err().code(), "shape");
    }
    let short = Tensor { shape: vec![2, 4], data: vec![0.0; 7] };
    assert_eq!(trainer.gradients(&x, &short, 0).await.unwrap_err().code(), "shape");
    for number in NUMBERS {
        let _ = trainer.set_clip_norm(number);
        let _ = trainer.set_mixup_lambda(number);
        let _ = trainer.set_rates(&vec![number; graph.nodes().len()]);
        step_or_error(&mut trainer, &x, 0.1).await;
    }
    assert_eq!(trainer.set_rates(&[1.0]).unwrap_err().code(), "argument");
    assert_eq!(trainer.set_mixup_lambda(1.5).unwrap_err().code(), "argument");
    let state = trainer.state().await;
    trainer.restore(&state, u32::MAX).unwrap();
    step_or_error(&mut trainer, &x, 0.1).await;
    for label_smoothing in NUMBERS {
        let loss = Loss::SoftmaxCrossEntropy { label_smoothing };
        if let Ok(mut trainer) = on.trainer(&graph, &params, loss, Optimizer::adam()).await {
            step_or_error(&mut trainer, &x, 0.1).await;
        }
    }
}
