//! The WebGPU engine against the references, on whatever Vulkan adapter there is (a software one will do). A machine
//! without any fails these tests: skipping them would say nothing.

#![cfg(all(feature = "gpu", not(target_arch = "wasm32")))]

mod suite;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use convoke::cpu::Pool;
use convoke::engine::{self, Backend};
use convoke::error::Error;
use convoke::gpu::{Device, Engine, Trainer};
use convoke::graph::{Builder, Graph, Init, Params, Value, reference};
use convoke::layers::{Conv2d, Flatten, Linear, Loss};
use convoke::plan::{Optimizer, Update};
use convoke::self_test::self_test;
use convoke::tensor::Tensor;
use convoke::train::{self, Augmentation, Config, Dataset};
use convoke::zoo;
use pollster::block_on;
use suite::training::{
    half_frozen, half_frozen_params, in_parts, limited_step, optimizers, rates_of, reference_step, small_network,
    thirds, with_scales,
};
use suite::{Case, SEED, STEP, cases, gradients, random};

/// Parity with the double-precision references, relative to the largest value.
const TOLERANCE: f32 = 1e-4;

/// One device for all tests: making one takes longer than most cases.
static DEVICE: LazyLock<Device> =
    LazyLock::new(|| block_on(Device::request()).expect("these tests need a Vulkan adapter, such as lavapipe"));

fn in_inference(case: &Case, (params, x): &(Params, Tensor)) -> Result<(), String> {
    let values = reference::forward(&case.graph, params, &x.to_f64(), None);
    let want = values[case.graph.outputs()[0].value.index()].to_f32();
    let run = async {
        let mut engine = Engine::new(&case.graph, params, &DEVICE).await?;
        engine.run(x).await
    };
    let got = block_on(run).map_err(|e| format!("{e}\n  case: {}", case.name))?;
    case.check("inference", &got, &want, TOLERANCE)
}

fn in_training(case: &Case) -> Result<(), String> {
    let problem = case.problem();
    let run = async {
        let (loss, optimizer) = (Loss::CROSS_ENTROPY, Optimizer::sgd(0.9));
        let mut trainer = Trainer::new(&case.graph, &problem.params, loss, optimizer, SEED, &DEVICE).await?;
        trainer.gradients(&problem.x, &problem.dy, STEP).await
    };
    let (y, dx, dparams) = block_on(run).map_err(|e: Error| format!("{e}\n  case: {}", case.name))?;
    case.check("y", &y, &problem.y, TOLERANCE)?;
    case.check("dx", &dx, &problem.dx, TOLERANCE)?;
    for (name, want) in &problem.dparams {
        case.check(&format!("gradient of {name}"), &dparams.tensor(name), want, TOLERANCE)?;
    }
    Ok(())
}

/// Runs every case and reports all that fail.
fn every_case(run: impl Fn(&Case) -> Result<(), String>) {
    let failures: Vec<String> = cases().iter().filter_map(|case| run(case).err()).collect();
    assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn inference_matches_the_references() {
    every_case(|case| in_inference(case, &case.given()));
}

#[test]
fn gradients_match_the_references() {
    every_case(in_training);
}

/// Networks of the zoo, narrow where they have a width.
fn small_zoo() -> Vec<Graph> {
    let resnet = zoo::ResNet { width: 4, ..zoo::ResNet::cifar(8) };
    let bottleneck =
        zoo::ResNet { block: zoo::Block::Bottleneck, shortcut: zoo::Shortcut::Projection, ..resnet.clone() };
    let dense = zoo::DenseNet { layers: vec![2, 2], growth: 4, start: 6, bottleneck: true, large_images: false };
    let options = zoo::Options::default();
    [
        zoo::resnet("resnet", &resnet, options),
        zoo::resnet("bottleneck", &bottleneck, options),
        zoo::resnet("plain", &resnet.plain(), options),
        zoo::densenet("dense", &dense, options),
        zoo::inception(options),
        zoo::inception_naive(options),
        zoo::nin(options),
    ]
    .map(|graph| graph.expect("a valid network"))
    .into()
}

#[test]
fn networks_of_the_zoo_match_the_references() {
    for graph in small_zoo() {
        let case = Case { name: graph.name().into(), graph, batch: 1 };
        in_inference(&case, &case.given()).unwrap();
    }
}

#[test]
fn a_small_resnet_trains_as_the_references_do() {
    let graph = small_zoo().swap_remove(0);
    let mut params = Params::init(&graph, Init::He, 4);
    let optimizer = Optimizer::Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.01 };
    let mut trainer = trainer(&graph, &params, Loss::CROSS_ENTROPY, optimizer);
    let (x, labels) = (random(&[4, 3, 32, 32], 1), [3, 1, 4, 1]);
    let update = Update { optimizer, learning_rate: 0.1, t: 1 };
    let loss = Loss::CROSS_ENTROPY;
    let want = reference_step(&graph, &mut params, &mut BTreeMap::new(), (&x, &labels), loss, update);
    let report = block_on(trainer.step(&x, &labels, 0.1)).unwrap();
    assert!((f64::from(report.loss) - want).abs() < 1e-4, "loss {} instead of {want}", report.loss);
    for (name, got) in block_on(trainer.params()).unwrap().iter() {
        for (a, b) in got.data.iter().zip(&params.tensor(name).data) {
            assert!((a - b).abs() < 1e-4, "{name}: {a} instead of {b}");
        }
    }
}

#[test]
fn networks_of_every_family_go_down_the_gradient_that_jax_finds() {
    for n in gradients::networks() {
        let mut trainer = trainer(&n.graph, &n.params, Loss::CROSS_ENTROPY, Optimizer::sgd(0.0));
        let report = block_on(trainer.step(&n.x, &n.labels, 1.0)).unwrap();
        n.check_step(f64::from(TOLERANCE), report.loss, &block_on(trainer.params()).unwrap());
    }
}

#[test]
fn values_that_are_computed_again_give_the_same_weights() {
    let mut less = 0;
    for n in gradients::networks() {
        let [mut keeps, mut again] =
            [(); 2].map(|()| trainer(&n.graph, &n.params, Loss::CROSS_ENTROPY, Optimizer::sgd(0.9)));
        again.set_recompute(true);
        for _ in 0..2 {
            let a = block_on(keeps.step(&n.x, &n.labels, 0.01)).unwrap();
            assert_eq!(a, block_on(again.step(&n.x, &n.labels, 0.01)).unwrap());
        }
        assert_eq!(block_on(keeps.params()).unwrap(), block_on(again.params()).unwrap(), "{}", n.graph.name());
        less += usize::from(again.bytes() < keeps.bytes());
        assert!(again.bytes() <= keeps.bytes(), "{}", n.graph.name());
    }
    assert!(less > 3, "{less} networks need less memory");
}

fn trainer(graph: &Graph, params: &Params, loss: Loss, optimizer: Optimizer) -> Trainer {
    block_on(Trainer::new(graph, params, loss, optimizer, SEED, &DEVICE)).expect("valid arguments")
}

#[test]
fn training_follows_the_references_with_every_optimizer_and_loss() {
    let graph = small_network();
    let losses = [Loss::CROSS_ENTROPY, Loss::SoftmaxCrossEntropy { label_smoothing: 0.1 }, Loss::BinaryCrossEntropy];
    for optimizer in optimizers() {
        for loss in losses {
            let mut params = Params::init(&graph, Init::He, 4);
            let mut trainer = trainer(&graph, &params, loss, optimizer);
            let mut state = BTreeMap::new();
            for t in 1..=20 {
                // The last batch of an epoch is smaller.
                let n = if t % 5 == 0 { 3 } else { 7 };
                let (x, labels) = (random(&[n, 2, 9, 9], t % 4), [0, 3, 1, 2, 3, 3, 1]);
                let update = Update { optimizer, learning_rate: 0.02, t };
                let want = reference_step(&graph, &mut params, &mut state, (&x, &labels[..n]), loss, update);
                let report = block_on(trainer.step(&x, &labels[..n], 0.02)).unwrap();
                assert!((f64::from(report.loss) - want).abs() < 1e-3, "loss {} instead of {want}", report.loss);
            }
            assert_eq!(trainer.steps(), 20);
            for (name, got) in block_on(trainer.params()).unwrap().iter() {
                for (a, b) in got.data.iter().zip(&params.tensor(name).data) {
                    assert!((a - b).abs() < 1e-3, "{name}: {a} instead of {b} with {optimizer:?}");
                }
            }
        }
    }
}

/// Of one step down the gradient, which is as linear in the labels as the loss is.
#[test]
fn mixed_labels_pull_in_proportion() {
    let graph = in_parts();
    let params = Params::init(&graph, Init::He, 4);
    let x = random(&[3, 2, 9, 9], 1);
    let step = |labels: &[u32], share| {
        let mut trainer = trainer(&graph, &params, Loss::CROSS_ENTROPY, Optimizer::sgd(0.0));
        trainer.set_mixup_lambda(share);
        let report = block_on(trainer.step(&x, labels, 0.1)).unwrap();
        (report.loss, block_on(trainer.params()).unwrap())
    };
    let ((own_loss, own), (other_loss, other)) = (step(&[0, 3, 1], 1.0), step(&[1, 0, 3], 1.0));
    let (loss, mixed) = step(&[0, 3, 1], 0.7);
    assert!((loss - (0.7 * own_loss + 0.3 * other_loss)).abs() < 1e-5);
    for (name, own) in own.iter() {
        let both = own.data.iter().zip(&other.tensor(name).data).map(|(a, b)| 0.7 * a + 0.3 * b).collect::<Vec<_>>();
        assert!(mixed.tensor(name).data.iter().zip(both).all(|(a, b)| (a - b).abs() < 1e-5), "{name}");
    }
}

#[test]
fn parts_of_a_batch_are_as_good_as_the_whole() {
    let graph = in_parts();
    let params = Params::init(&graph, Init::He, 4);
    for (optimizer, norm) in optimizers().into_iter().zip([0.0, 0.1, 0.0, 0.1, 0.0, 0.1]) {
        let [mut whole, mut parts] = [(); 2].map(|()| {
            let mut trainer = trainer(&graph, &params, Loss::CROSS_ENTROPY, optimizer);
            trainer.set_clip_norm(norm).unwrap();
            trainer
        });
        for t in 1..=3 {
            let (x, labels) = (random(&[6, 2, 9, 9], t), [0, 3, 1, 2, 3, 3]);
            block_on(whole.step(&x, &labels, 0.05)).unwrap();
            let thirds = thirds(&x);
            block_on(parts.part(&thirds[0], &labels[..2])).unwrap();
            block_on(parts.part(&thirds[1], &labels[2..4])).unwrap();
            block_on(parts.step(&thirds[2], &labels[4..], 0.05)).unwrap();
        }
        let (parts, whole) = (block_on(parts.params()).unwrap(), block_on(whole.params()).unwrap());
        for (name, want) in whole.iter() {
            for (a, b) in parts.tensor(name).data.iter().zip(&want.data) {
                assert!((a - b).abs() < 1e-4, "{name}: {a} instead of {b} with {optimizer:?}");
            }
        }
    }
}

#[test]
fn one_output_is_binary_and_correct_samples_are_counted() {
    let mut b = Builder::new("binary", [3]);
    let x = b.add("fc", Linear { out_features: 1, bias: false }, Value::INPUT);
    let graph = b.finish(x).unwrap();
    let mut params = Params::init(&graph, Init::Xavier, 1);
    params.tensor_mut("fc.weight").data.copy_from_slice(&[1.0, 2.0, -1.0]);
    let x = Tensor::new([4, 3], vec![1., 0., 0., -1., 0., 0., 0., 1., 1., 0., 0., 1.]).unwrap();
    let labels = [1, 0, 0, 1];
    let mut trainer = trainer(&graph, &params, Loss::BinaryCrossEntropy, Optimizer::sgd(0.0));
    let report = block_on(trainer.step(&x, &labels, 0.1)).unwrap();
    let logits = Tensor::new([4, 1], vec![1.0, -1.0, 1.0, -1.0]).unwrap();
    let (want, _) = Loss::BinaryCrossEntropy.forward_backward(&logits, &labels);
    assert!((f64::from(report.loss) - want).abs() < 1e-6);
    assert_eq!(report.correct, 2);
}

fn assert_close(got: &Params, want: &Params, tolerance: f32, what: &str) {
    for (name, want) in want.iter() {
        for (a, b) in got.tensor(name).data.iter().zip(&want.data) {
            assert!((a - b).abs() < tolerance, "{name}: {a} instead of {b} with {what}");
        }
    }
}

#[test]
fn long_gradients_are_scaled_down_to_the_limit() {
    let graph = small_network();
    for optimizer in optimizers() {
        for norm in [0.25, 1e6] {
            let mut params = Params::init(&graph, Init::He, 4);
            let mut trainer = trainer(&graph, &params, Loss::CROSS_ENTROPY, optimizer);
            trainer.set_clip_norm(norm).unwrap();
            let mut state = BTreeMap::new();
            for t in 1..=4 {
                let (x, labels) = (random(&[7, 2, 9, 9], t), [0, 3, 1, 2, 3, 3, 1]);
                let (update, batch) = (Update { optimizer, learning_rate: 0.05, t }, (&x, &labels[..]));
                limited_step(&graph, &mut params, &mut state, batch, Loss::CROSS_ENTROPY, update, norm, |_| 1.0);
                block_on(trainer.step(&x, &labels, 0.05)).unwrap();
            }
            assert_close(&block_on(trainer.params()).unwrap(), &params, 1e-3, &format!("{optimizer:?} and {norm}"));
        }
    }
    let params = Params::init(&graph, Init::He, 4);
    let mut trainer = trainer(&graph, &params, Loss::CROSS_ENTROPY, Optimizer::sgd(0.9));
    assert_eq!(trainer.set_clip_norm(f32::NAN).unwrap_err().code(), "argument");
}

#[test]
fn frozen_layers_run_as_at_inference_and_the_others_learn_at_their_rates() {
    let (graph, rate) = half_frozen();
    let params = half_frozen_params(&graph);
    let (scaled, mut want) = with_scales(&graph, &params);
    for (optimizer, norm) in optimizers().into_iter().zip([0.0, 0.0, 0.1, 0.0, 0.0, 0.1]) {
        let mut trainer = trainer(&graph, &params, Loss::CROSS_ENTROPY, optimizer);
        trainer.set_rates(&rates_of(&graph, rate));
        trainer.set_clip_norm(norm).unwrap();
        let (mut state, start) = (BTreeMap::new(), want.clone());
        for t in 1..=4 {
            let (x, labels) = (random(&[7, 3, 9, 9], t), [0, 3, 1, 2, 3, 3, 1]);
            let (update, batch) = (Update { optimizer, learning_rate: 0.05, t }, (&x, &labels[..]));
            let loss = limited_step(&scaled, &mut want, &mut state, batch, Loss::CROSS_ENTROPY, update, norm, rate);
            let report = block_on(trainer.step(&x, &labels, 0.05)).unwrap();
            assert!((f64::from(report.loss) - loss).abs() < 1e-3, "loss {} instead of {loss}", report.loss);
        }
        let got = block_on(trainer.params()).unwrap();
        for (name, before) in params.iter() {
            let after = got.tensor(name);
            let frozen = rate(name) == 0.0;
            assert_eq!(before == after, frozen, "{name} with {optimizer:?}");
            let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-3;
            assert!(frozen || after.data.iter().zip(&want.tensor(name).data).all(close), "{name} with {optimizer:?}");
        }
        want = start;
    }
}

fn train(trainer: &mut Trainer, steps: std::ops::Range<u32>) -> Vec<f32> {
    let step = |t| block_on(trainer.step(&random(&[6, 2, 9, 9], t), &[0, 1, 2, 3, 0, 1], 0.05)).unwrap().loss;
    steps.map(step).collect()
}

#[test]
fn the_same_seed_gives_the_same_bits_and_a_stopped_run_goes_on_exactly() {
    let graph = small_network();
    let start = Params::init(&graph, Init::He, 4);
    for optimizer in optimizers() {
        let mut whole = trainer(&graph, &start, Loss::CROSS_ENTROPY, optimizer);
        let losses = train(&mut whole, 0..8);
        let mut first = trainer(&graph, &start, Loss::CROSS_ENTROPY, optimizer);
        assert_eq!(train(&mut first, 0..5), losses[..5]);
        let middle = block_on(first.params()).unwrap();
        let mut second = trainer(&graph, &middle, Loss::CROSS_ENTROPY, optimizer);
        second.restore(&block_on(first.state()).unwrap(), first.steps()).unwrap();
        assert_eq!(train(&mut second, 5..8), losses[5..]);
        assert_eq!(block_on(second.params()).unwrap(), block_on(whole.params()).unwrap());
        assert_eq!(block_on(second.state()).unwrap(), block_on(whole.state()).unwrap());
    }
}

#[test]
fn the_state_survives_new_constants_but_not_a_new_formula() {
    let graph = small_network();
    let params = Params::init(&graph, Init::He, 4);
    let mut trainer = trainer(&graph, &params, Loss::CROSS_ENTROPY, Optimizer::sgd(0.9));
    train(&mut trainer, 0..2);
    let state = block_on(trainer.state()).unwrap();
    trainer.set_optimizer(Optimizer::sgd(0.5)).unwrap();
    assert_eq!(block_on(trainer.state()).unwrap(), state);
    trainer.set_optimizer(Optimizer::adam()).unwrap();
    let cleared = block_on(trainer.state()).unwrap();
    assert!(cleared.len() == 2 * state.len() && cleared.iter().all(|(_, t)| t.data.iter().all(|&v| v == 0.0)));
    assert_eq!(trainer.restore(&state, 1).unwrap_err().code(), "weights");
    train(&mut trainer, 2..3);
    assert_eq!(trainer.steps(), 3);
    assert!(trainer.set_optimizer(Optimizer::sgd(1.5)).is_err());
}

#[test]
fn divergence_is_told_and_changes_nothing() {
    let graph = small_network();
    let mut params = Params::init(&graph, Init::He, 4);
    params.tensor_mut("fc1.weight").data[7] = f32::MAX;
    params.tensor_mut("fc2.weight").data.fill(f32::MAX);
    let mut trainer = trainer(&graph, &params, Loss::CROSS_ENTROPY, Optimizer::sgd(0.9));
    let (x, labels) = (random(&[6, 2, 9, 9], 1), [0, 1, 2, 3, 0, 1]);
    let state = block_on(trainer.state()).unwrap();
    match block_on(trainer.step(&x, &labels, 0.1)) {
        Err(Error::Diverged { step: 0, layer, .. }) => assert_eq!(layer, "fc2"),
        other => panic!("expected divergence, got {other:?}"),
    }
    let after = (block_on(trainer.params()).unwrap(), block_on(trainer.state()).unwrap(), trainer.steps());
    assert_eq!(after, (params, state, 0));
}

#[test]
fn an_overflowing_gradient_is_divergence_too() {
    let mut b = Builder::new("steep", [1, 2, 2]);
    let x = b.add("conv", Conv2d::new(1, 1), Value::INPUT);
    let x = b.add("flat", Flatten {}, x);
    let x = b.add("fc", Linear::new(2), x);
    let graph = b.finish(x).unwrap();
    let mut params = Params::init(&graph, Init::He, 4);
    params.tensor_mut("conv.weight").data.fill(1e-37);
    params.tensor_mut("fc.weight").data.copy_from_slice(&[3e38, 3e38, 3e38, 3e38, -3e38, -3e38, -3e38, -3e38]);
    let mut trainer = trainer(&graph, &params, Loss::CROSS_ENTROPY, Optimizer::adam());
    let x = Tensor::new([1, 1, 2, 2], vec![0.05; 4]).unwrap();
    let x = x.map(|v| v * 20.0);
    match block_on(trainer.step(&x, &[1], 0.1)) {
        Err(Error::Diverged { layer, loss, .. }) => assert!(layer == "conv" && loss.is_finite(), "{layer} {loss}"),
        other => panic!("expected divergence, got {other:?}"),
    }
    assert_eq!(block_on(trainer.params()).unwrap(), params);
}

#[test]
fn batches_of_any_size_follow_each_other() {
    let graph = small_network();
    let params = Params::init(&graph, Init::He, 1);
    let mut engine = block_on(Engine::new(&graph, &params, &DEVICE)).unwrap();
    for n in [1, 5, 5, 2, 1] {
        let x = random(&[n, 2, 9, 9], n as u32);
        let values = reference::forward(&graph, &params, &x.to_f64(), None);
        let want = values[graph.outputs()[0].value.index()].to_f32();
        let case = Case { name: format!("batch {n}"), graph: graph.clone(), batch: n };
        for _ in 0..2 {
            case.check("y", &block_on(engine.run(&x)).unwrap(), &want, TOLERANCE).unwrap();
        }
    }
    assert!(engine.bytes() > 0);
}

#[test]
fn lenet_takes_few_dispatches() {
    let graph = zoo::lenet5(zoo::Options::default()).unwrap();
    let params = Params::init(&graph, Init::He, 4);
    let engine = block_on(Engine::new(&graph, &params, &DEVICE)).unwrap();
    // One for each convolution, pooling and linear layer: activations are fused, flatten costs nothing.
    assert_eq!(engine.dispatches(), 7);
    let mut trainer = trainer(&graph, &params, Loss::CROSS_ENTROPY, Optimizer::sgd(0.9));
    let labels: Vec<u32> = (0..10).collect();
    block_on(trainer.step(&random(&[10, 1, 32, 32], 1), &labels, 0.02)).unwrap();
    let dispatches = trainer.dispatches(10).unwrap();
    assert!(dispatches <= 30, "{dispatches} dispatches");
}

#[test]
fn wrong_inputs_are_refused_with_a_reason() {
    let graph = small_network();
    let params = Params::init(&graph, Init::He, 4);
    let mut engine = block_on(Engine::new(&graph, &params, &DEVICE)).unwrap();
    let mut trainer = trainer(&graph, &params, Loss::CROSS_ENTROPY, Optimizer::sgd(0.9));
    for shape in [vec![], vec![2], vec![0, 2, 9, 9], vec![1, 9, 9, 2], vec![2, 9, 9]] {
        let x = Tensor::zeros(shape);
        assert_eq!(block_on(engine.run(&x)).unwrap_err().code(), "shape");
        assert_eq!(block_on(trainer.step(&x, &[], 0.1)).unwrap_err().code(), "shape");
    }
    let mut x = random(&[2, 2, 9, 9], 1);
    assert_eq!(block_on(trainer.step(&x, &[0], 0.1)).unwrap_err().code(), "argument");
    assert_eq!(block_on(trainer.step(&x, &[0, 4], 0.1)).unwrap_err().code(), "label");
    assert_eq!(block_on(trainer.step(&x, &[0, 1], f32::NAN)).unwrap_err().code(), "argument");
    assert_eq!(block_on(trainer.gradients(&x, &Tensor::zeros([2, 5]), 0)).unwrap_err().code(), "shape");
    x.data[100] = f32::INFINITY;
    for error in [block_on(engine.run(&x)).unwrap_err(), block_on(trainer.step(&x, &[0, 1], 0.1)).unwrap_err()] {
        assert!(matches!(&error, Error::NotFinite { what, index: 100, .. } if what.contains("input")), "{error}");
    }
    assert_eq!(trainer.steps(), 0);
}

#[test]
fn a_machine_without_an_adapter_says_so() {
    let error = block_on(Device::request_from(wgpu::Backends::empty())).unwrap_err();
    assert!(matches!(&error, Error::Backend { backend, .. } if backend == "webgpu"), "{error}");
}

#[test]
fn a_lost_device_is_an_error_and_never_an_answer() {
    let graph = small_network();
    let params = Params::init(&graph, Init::He, 4);
    let device = block_on(Device::request()).unwrap();
    let mut engine = block_on(Engine::new(&graph, &params, &device)).unwrap();
    let loss = Loss::CROSS_ENTROPY;
    let mut trainer = block_on(Trainer::new(&graph, &params, loss, Optimizer::sgd(0.9), SEED, &device)).unwrap();
    let x = random(&[1, 2, 9, 9], 1);
    block_on(engine.run(&x)).unwrap();
    device.destroy();
    assert!(device.lost().is_some());
    for error in [
        block_on(engine.run(&x)).unwrap_err(),
        block_on(trainer.step(&x, &[0], 0.1)).unwrap_err(),
        block_on(trainer.params()).unwrap_err(),
        block_on(Engine::new(&graph, &params, &device)).err().expect("no engine on a lost device"),
    ] {
        assert_eq!(error.code(), "device-lost", "{error}");
    }
}

/// While the device works the next batch is made: it must be the one that comes, also after the batch size has changed.
#[test]
fn a_run_sees_the_batches_that_it_sees_on_the_cpu() {
    let graph = in_parts();
    let params = Params::init(&graph, Init::He, 4);
    let samples = random(&[40, 2, 9, 9], 1).data;
    let labels = (0..40).map(|i| i % 4).collect();
    let data = Arc::new(Dataset::from_floats("random", [2, 9, 9], samples, labels, 4).unwrap());
    let augment = Augmentation { crop: 2, flip: true, mixup: 0.5, ..Augmentation::default() };
    let config = Config { batch_size: 6, accumulate: 2, epochs: 3, augment, ..Config::default() };
    let reports = |backend: Backend| {
        let new = train::Trainer::new(&graph, &params, data.clone(), config.clone(), &backend);
        let mut trainer = block_on(new).unwrap();
        let mut step = |t: usize| {
            if t == 5 {
                trainer.set_batch_size(9).unwrap();
            }
            block_on(trainer.step()).unwrap()
        };
        (0..9).map(&mut step).collect::<Vec<_>>()
    };
    for (got, want) in reports(Backend::Gpu(DEVICE.clone())).iter().zip(reports(Backend::Cpu(Pool::new(2)))) {
        assert!((got.loss - want.loss).abs() < 1e-4, "{got:?} instead of {want:?}");
        assert_eq!((got.epoch, got.samples), (want.epoch, want.samples));
    }
}

#[test]
fn a_self_test_compares_every_step() {
    for graph in small_zoo() {
        let params = Params::init(&graph, Init::He, 3);
        let run = async {
            let mut engine = engine::Engine::new(&graph, &params, &Backend::Gpu(DEVICE.clone())).await?;
            self_test(&graph, &params, &Pool::single(), &mut engine, &mut |_, _| {}).await
        };
        let errors = block_on(run).unwrap();
        assert!(errors.iter().all(|e| e.error < TOLERANCE), "{}: {errors:?}", graph.name());
        assert!(errors.iter().any(|e| e.error > 0.0), "{}: nothing was rounded", graph.name());
    }
}
