//! The CPU engine against the references: every case of the suite, training as a whole, and its promises.

#![cfg(not(target_arch = "wasm32"))]

#[path = "support/counting.rs"]
mod counting;
mod suite;

use std::collections::BTreeMap;
use std::sync::Arc;

use convoke::Error;
use convoke::cpu::{Algorithm, Engine, Footprint, Pool, Prefer, Trainer, isa};
use convoke::engine::Backend;
use convoke::format::{Meta, Model, Weights};
use convoke::graph::{Builder, Graph, Init, Param, Params, Value, reference};
use convoke::layers::{Conv2d, Flatten, Linear, Loss, Padding, Relu};
use convoke::plan::{Optimizer, Update};
use convoke::self_test::self_test;
use convoke::tensor::Tensor;
use convoke::zoo;
use pollster::block_on;
use suite::training::{
    half_frozen, half_frozen_params, in_parts, limited_step, optimizers, rates_of, reference_step, small_network,
    thirds, with_scales,
};
use suite::{Case, SEED, STEP, cases, gradients, random};

const TOLERANCE: f32 = 2e-5;

fn trainer(graph: &Graph, params: &Params, optimizer: Optimizer, pool: &Arc<Pool>) -> Trainer {
    Trainer::new(graph, params, Loss::CROSS_ENTROPY, optimizer, SEED, pool).expect("valid arguments")
}

/// All that an engine computes for a case: inference, training output, gradients by name.
fn outputs(case: &Case, pool: &Arc<Pool>) -> Vec<(String, Tensor)> {
    let problem = case.problem();
    let mut trainer = trainer(&case.graph, &problem.params, Optimizer::sgd(0.0), pool);
    let (y, dx, dparams) = trainer.gradients(&problem.x, &problem.dy, STEP).expect("a valid batch");
    let mut engine = Engine::new(&case.graph, &problem.params, pool).expect("a valid graph");
    let inferred = engine.run(&problem.x).expect("a valid batch");
    let named = [("inference", inferred), ("y", y), ("dx", dx)].map(|(name, t)| (name.to_string(), t));
    let gradients = problem.dparams.keys().map(|name| (format!("d{name}"), dparams.tensor(name).into_owned()));
    named.into_iter().chain(gradients).collect()
}

fn check(case: &Case, outputs: &[(String, Tensor)]) -> Result<(), String> {
    let problem = case.problem();
    let values = reference::forward(&case.graph, &problem.params, &problem.x.to_f64(), None);
    let inferred = values[case.graph.outputs()[0].value.index()].to_f32();
    let mut wants =
        BTreeMap::from([("inference".to_string(), inferred), ("y".into(), problem.y), ("dx".into(), problem.dx)]);
    wants.extend(problem.dparams.into_iter().map(|(name, t)| (format!("d{name}"), t)));
    assert_eq!(wants.len(), outputs.len());
    outputs.iter().try_for_each(|(name, got)| case.check(name, got, &wants[name], TOLERANCE))
}

#[test]
fn every_case_agrees_with_the_references_on_any_number_of_threads() {
    let pools = [Pool::single(), Pool::new(2), Pool::new(3)];
    let mut failures = vec![];
    for case in cases() {
        let alone = outputs(&case, &pools[0]);
        failures.extend(check(&case, &alone).err());
        for pool in &pools[1..] {
            for ((name, a), (_, b)) in alone.iter().zip(outputs(&case, pool)) {
                assert!(*a == b, "{name} depends on the number of threads: {}", case.name);
            }
        }
    }
    assert!(failures.is_empty(), "{} failures on {}; the first:\n{}", failures.len(), isa(), failures[0]);
}

/// Inference by one algorithm wherever it can compute the layer; `None` when it can nowhere.
fn inferred(case: &Case, algorithm: Algorithm, pool: &Arc<Pool>) -> Option<Tensor> {
    let problem = case.problem();
    let mut engine = Engine::with(&case.graph, &problem.params, pool, Prefer::Only(algorithm)).expect("a valid graph");
    let used = engine.steps().iter().any(|s| s.algorithm == Some(algorithm));
    used.then(|| engine.run(&problem.x).expect("a valid batch"))
}

#[test]
fn every_algorithm_agrees_with_the_references_wherever_it_can() {
    let pools = [Pool::single(), Pool::new(3)];
    for (algorithm, at_least) in [(Algorithm::Direct, 100), (Algorithm::Winograd, 28), (Algorithm::Depthwise, 18)] {
        let mut used = 0;
        for case in cases() {
            let Some(got) = inferred(&case, algorithm, &pools[0]) else { continue };
            used += 1;
            let problem = case.problem();
            let values = reference::forward(&case.graph, &problem.params, &problem.x.to_f64(), None);
            let want = values[case.graph.outputs()[0].value.index()].to_f32();
            case.check(algorithm.name(), &got, &want, TOLERANCE).unwrap();
            let threaded = inferred(&case, algorithm, &pools[1]);
            assert!(threaded == Some(got), "{algorithm:?} depends on the number of threads: {}", case.name);
        }
        assert!(used >= at_least, "{algorithm:?} computed only {used} cases");
    }
}

#[test]
fn integers_are_exact_wherever_a_layer_has_them() {
    let pools = [Pool::single(), Pool::new(3)];
    let checked = cases().iter().filter(|case| suite::int8::check(case, &pools).unwrap()).count();
    assert!(checked >= 100, "only {checked} cases");
}

/// The largest error, of the root mean square of what is wanted.
fn error(got: &Tensor, want: &Tensor<f64>) -> f64 {
    let rms = (want.data.iter().map(|v| v * v).sum::<f64>() / want.data.len() as f64).sqrt();
    got.data.iter().zip(&want.data).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max) / rms
}

/// The bound that [`Prefer::Speed`] documents, on layers deep enough for errors to add up.
#[test]
fn the_error_of_winograd_is_bounded() {
    for kernel in [3, 5] {
        let mut b = Builder::new("deep", [256, 12, 12]);
        let y = b.add("conv", Conv2d::new(64, kernel).padding(Padding::Same), Value::INPUT);
        let case = Case { name: "deep".into(), graph: b.finish(y).unwrap(), batch: 1 };
        let problem = case.problem();
        let want = &reference::forward(&case.graph, &problem.params, &problem.x.to_f64(), None)[y.index()];
        for algorithm in [Algorithm::Direct, Algorithm::Winograd] {
            let worst = error(&inferred(&case, algorithm, &Pool::single()).expect("both can"), want);
            assert!(worst < 2e-5, "{algorithm:?}: {worst:e} of the output's root mean square");
        }
    }
}

/// Over whole networks, with both of Winograd's kernels: errors neither grow from layer to layer nor exceed those of sums
/// of products by much.
#[test]
fn the_error_over_a_whole_network_is_bounded() {
    for name in ["resnet20", "vgg9", "googlenet-cifar"] {
        let graph = zoo::network(name, zoo::Options::default()).unwrap();
        let params = Params::init(&graph, Init::He, 5);
        let x = random(&[1, 3, 32, 32], 6);
        let values = reference::forward(&graph, &params, &x.to_f64(), None);
        let want = &values[graph.outputs()[0].value.index()];
        let worst = [Prefer::Exactness, Prefer::Speed].map(|prefer| {
            let mut engine = Engine::with(&graph, &params, &Pool::new(2), prefer).unwrap();
            error(&engine.run(&x).unwrap(), want)
        });
        assert!(worst[0] < 5e-6 && worst[1] < 5e-6, "{name}: {worst:?}");
    }
}

/// Of the caller's thread, which computes alone: a run allocates its result and nothing else.
#[test]
fn inference_allocates_only_its_result() {
    let networks = ["lenet5", "resnet20", "googlenet-cifar", "densenet22"].map(|name| {
        let graph = zoo::network(name, zoo::Options::default()).unwrap();
        Case { name: name.into(), graph, batch: 2 }
    });
    for case in cases().into_iter().chain(networks) {
        let (params, x) = case.given();
        let mut engine = Engine::new(&case.graph, &params, &Pool::single()).unwrap();
        engine.run(&x).unwrap();
        let (y, allocated) = counting::counting(|| engine.run(&x).unwrap());
        let result = size_of_val(&y.data[..]) + size_of_val(&y.shape[..]);
        assert!(allocated <= result, "{}: {allocated} bytes for a result of {result}", case.name);
    }
}

#[test]
fn batches_of_any_size_follow_each_other() {
    let graph = small_network();
    let params = Params::init(&graph, Init::He, 1);
    let pool = Pool::new(2);
    let mut engine = Engine::new(&graph, &params, &pool).unwrap();
    for n in [1, 5, 5, 2, 1] {
        let x = random(&[n, 2, 9, 9], n as u32);
        let values = reference::forward(&graph, &params, &x.to_f64(), None);
        let want = values[graph.outputs()[0].value.index()].to_f32();
        let case = Case { name: format!("batch {n}"), graph: graph.clone(), batch: n };
        for _ in 0..2 {
            case.check("y", &engine.run(&x).unwrap(), &want, TOLERANCE).unwrap();
        }
    }
    assert!(engine.bytes() > 0);
}

/// The same weights in 8 bits, as they come from a file.
fn is_quantized(graph: &Graph, params: &Params) -> Params {
    let model = Model { graph: graph.clone(), params: params.clone(), meta: Meta::default() };
    Model::from_bytes(&model.to_bytes(Weights::Int8).unwrap()).unwrap().params
}

/// Bytes of weights as they are stored.
fn stored(params: &Params) -> usize {
    let bytes = |tensor: &Param| match tensor {
        Param::Floats(tensor) => 4 * tensor.data.len(),
        Param::Quantized { quantized, .. } => quantized.values.len() + 4 * quantized.scales.len(),
        Param::Deferred { .. } | Param::RowScaled { .. } => panic!("neither is in a model that was read"),
    };
    params.params().map(|(_, tensor)| bytes(tensor)).sum()
}

#[test]
fn borrowed_weights_come_back_as_they_were() {
    for name in ["lenet5", "alexnet-cifar", "vgg9", "resnet20", "densenet22", "googlenet-cifar"] {
        let graph = zoo::network(name, zoo::Options { auxiliary: true, ..Default::default() }).unwrap();
        let floats = Params::init(&graph, Init::of(&graph), 3);
        let x = random(&graph.input().batched(2), 5);
        for (params, what) in [(is_quantized(&graph, &floats), "codes"), (floats, "floats")] {
            let pool = Pool::new(2);
            let mut left = params.clone();
            let mut engine = Engine::borrowing(&graph, &mut left, &pool, Prefer::Speed).unwrap();
            assert!(left.count() < params.count(), "{name} in {what}: nothing was borrowed");
            assert_eq!(engine.run(&x).unwrap(), Engine::new(&graph, &params, &pool).unwrap().run(&x).unwrap());
            engine.give_back(&mut left);
            assert_eq!(left, params, "{name} in {what}");
        }
    }
}

/// Even and odd channels, maps and vectors, more rows than are floats at a time, remainders of columns and batches.
#[test]
fn linear_layers_in_codes_give_what_their_floats_give() {
    for (input, features) in [([6, 1, 1], 3), ([4, 5, 3], 9), ([130, 3, 3], 20), ([1, 28, 28], 7), ([1024, 1, 1], 33)] {
        let mut b = Builder::new("linear", input);
        let x = b.add("flatten", Flatten {}, Value::INPUT);
        let x = b.add("fc", Linear::new(features), x);
        let y = b.add("relu", Relu {}, x);
        let graph = b.finish(y).unwrap();
        let codes = is_quantized(&graph, &Params::init(&graph, Init::He, 7));
        let mut floats = codes.clone();
        floats.tensor_mut("fc.weight"); // Written to, it is no longer in codes.
        for n in [1, 2, 7] {
            let x = random(&graph.input().batched(n), 8);
            let run =
                |params: &Params, threads| Engine::new(&graph, params, &Pool::new(threads)).unwrap().run(&x).unwrap();
            let (want, got) = (run(&floats, 1), run(&codes, 1));
            assert!(error(&got, &want.to_f64()) < 5e-6, "{input:?} to {features}, batch {n}");
            assert_eq!(got, run(&codes, 3));
        }
    }
}

#[test]
fn a_footprint_is_what_an_engine_then_takes() {
    for name in ["alexnet", "googlenet", "resnet18", "nin", "densenet121"] {
        let graph = zoo::network(name, zoo::Options::default()).unwrap();
        let mut params = Params::init(&graph, Init::of(&graph), 3);
        let pool = Pool::new(2);
        let said = Footprint::of(&graph, false, params.ranges(), &pool).unwrap();
        assert_eq!(said.weights, stored(&params) as u64);
        let engine = Engine::borrowing(&graph, &mut params, &pool, Prefer::Speed).unwrap();
        let (taken, said) = (engine.bytes() + stored(&params), said.at_rest());
        let ratio = said as f64 / taken as f64;
        assert!((0.98..1.1).contains(&ratio), "{name}: {said} said, {taken} taken");
    }
}

/// The notes' largest network: linear layers, nine tenths of it, are there once, in floats and in codes, and while it is
/// loaded there is little more than then.
#[test]
fn vgg16_is_held_once() {
    let graph = zoo::network("vgg16", zoo::Options::default()).unwrap();
    let params = Params::init(&graph, Init::He, 1);
    let model = Model { graph: graph.clone(), params, meta: Meta::default() };
    for weights in [Weights::F32, Weights::Int8] {
        let file = model.to_bytes(weights).unwrap();
        let said = Footprint::of(&graph, weights == Weights::Int8, model.params.ranges(), &Pool::single()).unwrap();
        let ((engine, left), peak) = counting::counting(|| {
            let mut params = Model::from_bytes(&file).unwrap().params;
            (Engine::borrowing(&graph, &mut params, &Pool::single(), Prefer::Speed).unwrap(), params)
        });
        let at_rest = (engine.bytes() + stored(&left)) as f64;
        let beside = (said.transformed + said.activations) as f64;
        assert!(at_rest <= 1.15 * file.len() as f64 + beside, "{at_rest} of {weights:?}, {said:?}");
        assert!(peak as f64 <= 1.4 * at_rest, "{peak} of {weights:?}, {said:?}");
    }
    let wide = zoo::Options { classes: Some(200_000), ..Default::default() };
    let wide = zoo::network("vgg16", wide).unwrap();
    let said = Footprint::of(&wide, false, Params::default().ranges(), &Pool::single()).unwrap();
    assert!(said.peak() > u64::from(u32::MAX), "{said:?}");
}

#[test]
fn training_follows_the_references_with_every_optimizer_and_loss() {
    let graph = small_network();
    let losses = [Loss::CROSS_ENTROPY, Loss::SoftmaxCrossEntropy { label_smoothing: 0.1 }, Loss::BinaryCrossEntropy];
    for optimizer in optimizers() {
        for loss in losses {
            let mut params = Params::init(&graph, Init::He, 4);
            let mut trainer = Trainer::new(&graph, &params, loss, optimizer, SEED, &Pool::new(2)).unwrap();
            let mut state = BTreeMap::new();
            for t in 1..=6 {
                // The last batch of an epoch is smaller.
                let n = if t % 3 == 0 { 3 } else { 7 };
                let (x, labels) = (random(&[n, 2, 9, 9], t), [0, 3, 1, 2, 3, 3, 1]);
                let update = Update { optimizer, learning_rate: 0.02, t };
                let want = reference_step(&graph, &mut params, &mut state, (&x, &labels[..n]), loss, update);
                let report = trainer.step(&x, &labels[..n], 0.02).unwrap();
                assert!((f64::from(report.loss) - want).abs() < 1e-4, "loss {} instead of {want}", report.loss);
            }
            assert_eq!(trainer.steps(), 6);
            for (name, got) in trainer.params().iter() {
                for (a, b) in got.data.iter().zip(&params.tensor(name).data) {
                    assert!((a - b).abs() < 2e-4, "{name}: {a} instead of {b} with {optimizer:?}");
                }
            }
        }
    }
}

#[test]
fn networks_of_every_family_go_down_the_gradient_that_jax_finds() {
    for n in gradients::networks() {
        let mut trainer = trainer(&n.graph, &n.params, Optimizer::sgd(0.0), &Pool::new(2));
        let report = trainer.step(&n.x, &n.labels, 1.0).unwrap();
        n.check_step(1e-5, report.loss, &trainer.params());
    }
}

fn assert_close(got: &Params, want: &Params, tolerance: f32, what: &str) {
    for (name, want) in want.iter() {
        for (a, b) in got.tensor(name).data.iter().zip(&want.data) {
            assert!((a - b).abs() < tolerance, "{name}: {a} instead of {b} with {what}");
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
        let mut trainer = trainer(&graph, &params, Optimizer::sgd(0.0), &Pool::single());
        trainer.set_mixup_lambda(share);
        let report = trainer.step(&x, labels, 0.1).unwrap();
        (report.loss, trainer.params())
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
fn values_that_are_computed_again_are_the_same_bits() {
    let mut less = 0;
    for n in gradients::networks() {
        let [mut keeps, mut again] = [(); 2].map(|()| trainer(&n.graph, &n.params, Optimizer::sgd(0.9), &Pool::new(2)));
        again.set_recompute(true);
        assert!(again.recomputes() && !keeps.recomputes());
        for _ in 0..2 {
            let [a, b] = [&mut keeps, &mut again].map(|trainer| trainer.step(&n.x, &n.labels, 0.01).unwrap());
            assert_eq!(a, b);
        }
        assert_eq!(keeps.params(), again.params(), "{}", n.graph.name());
        less += usize::from(again.bytes() < keeps.bytes());
        assert!(again.bytes() <= keeps.bytes(), "{}", n.graph.name());
    }
    assert!(less > 3, "{less} networks need less memory");
}

#[test]
fn parts_of_a_batch_are_as_good_as_the_whole() {
    let graph = in_parts();
    for optimizer in optimizers() {
        for norm in [0.0, 0.1] {
            let params = Params::init(&graph, Init::He, 4);
            let [mut whole, mut parts] = [(); 2].map(|()| {
                let mut trainer = trainer(&graph, &params, optimizer, &Pool::new(2));
                trainer.set_clip_norm(norm).unwrap();
                trainer
            });
            for t in 1..=3 {
                let (x, labels) = (random(&[6, 2, 9, 9], t), [0, 3, 1, 2, 3, 3]);
                whole.step(&x, &labels, 0.05).unwrap();
                let thirds = thirds(&x);
                parts.part(&thirds[0], &labels[..2]).unwrap();
                parts.part(&thirds[1], &labels[2..4]).unwrap();
                parts.step(&thirds[2], &labels[4..], 0.05).unwrap();
            }
            assert_close(&parts.params(), &whole.params(), 2e-5, &format!("{optimizer:?} and {norm}"));
        }
    }
    // A part that is refused takes those before it along.
    let params = Params::init(&graph, Init::He, 4);
    let [mut alone, mut after] = [(); 2].map(|()| trainer(&graph, &params, Optimizer::sgd(0.9), &Pool::single()));
    let x = random(&[2, 2, 9, 9], 5);
    after.part(&x, &[1, 2]).unwrap();
    assert_eq!(after.part(&x, &[1, 9]).unwrap_err().code(), "label");
    alone.step(&x, &[0, 3], 0.05).unwrap();
    after.step(&x, &[0, 3], 0.05).unwrap();
    assert_eq!(after.params(), alone.params());
}

#[test]
fn long_gradients_are_scaled_down_to_the_limit() {
    let graph = small_network();
    for optimizer in optimizers() {
        for norm in [0.25, 1e6] {
            let mut params = Params::init(&graph, Init::He, 4);
            let mut trainer =
                Trainer::new(&graph, &params, Loss::CROSS_ENTROPY, optimizer, SEED, &Pool::new(2)).unwrap();
            trainer.set_clip_norm(norm).unwrap();
            let mut state = BTreeMap::new();
            for t in 1..=4 {
                let (x, labels) = (random(&[7, 2, 9, 9], t), [0, 3, 1, 2, 3, 3, 1]);
                let (update, batch) = (Update { optimizer, learning_rate: 0.05, t }, (&x, &labels[..]));
                limited_step(&graph, &mut params, &mut state, batch, Loss::CROSS_ENTROPY, update, norm, |_| 1.0);
                trainer.step(&x, &labels, 0.05).unwrap();
            }
            assert_close(&trainer.params(), &params, 1e-4, &format!("{optimizer:?} and {norm}"));
        }
    }
    let params = Params::init(&graph, Init::He, 4);
    let mut trainer =
        Trainer::new(&graph, &params, Loss::CROSS_ENTROPY, Optimizer::sgd(0.9), SEED, &Pool::new(2)).unwrap();
    assert_eq!(trainer.set_clip_norm(f32::NAN).unwrap_err().code(), "argument");
}

#[test]
fn frozen_layers_run_as_at_inference_and_the_others_learn_at_their_rates() {
    let (graph, rate) = half_frozen();
    let params = half_frozen_params(&graph);
    let (scaled, mut want) = with_scales(&graph, &params);
    for (optimizer, norm) in optimizers().into_iter().zip([0.0, 0.0, 0.1, 0.0, 0.0, 0.1]) {
        let mut trainer = Trainer::new(&graph, &params, Loss::CROSS_ENTROPY, optimizer, SEED, &Pool::new(2)).unwrap();
        trainer.set_rates(&rates_of(&graph, rate));
        trainer.set_clip_norm(norm).unwrap();
        let (mut state, start) = (BTreeMap::new(), want.clone());
        for t in 1..=4 {
            let (x, labels) = (random(&[7, 3, 9, 9], t), [0, 3, 1, 2, 3, 3, 1]);
            let (update, batch) = (Update { optimizer, learning_rate: 0.05, t }, (&x, &labels[..]));
            let loss = limited_step(&scaled, &mut want, &mut state, batch, Loss::CROSS_ENTROPY, update, norm, rate);
            let report = trainer.step(&x, &labels, 0.05).unwrap();
            assert!((f64::from(report.loss) - loss).abs() < 1e-3, "loss {} instead of {loss}", report.loss);
        }
        let got = trainer.params();
        for (name, before) in params.iter() {
            let after = got.tensor(name);
            let frozen = rate(name) == 0.0;
            assert_eq!(before == after, frozen, "{name} with {optimizer:?}");
            let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4;
            assert!(frozen || after.data.iter().zip(&want.tensor(name).data).all(close), "{name} with {optimizer:?}");
        }
        want = start;
    }
}

fn train(trainer: &mut Trainer, steps: std::ops::Range<u32>) -> Vec<f32> {
    let step = |t| trainer.step(&random(&[6, 2, 9, 9], t), &[0, 1, 2, 3, 0, 1], 0.05).unwrap().loss;
    steps.map(step).collect()
}

#[test]
fn the_same_seed_gives_the_same_bits_and_a_stopped_run_goes_on_exactly() {
    let graph = small_network();
    let start = Params::init(&graph, Init::He, 4);
    for optimizer in optimizers() {
        let mut whole = trainer(&graph, &start, optimizer, &Pool::single());
        let losses = train(&mut whole, 0..8);

        let mut first = trainer(&graph, &start, optimizer, &Pool::new(3));
        assert_eq!(train(&mut first, 0..5), losses[..5]);
        let mut second = trainer(&graph, &first.params(), optimizer, &Pool::new(2));
        second.restore(&first.state(), first.steps()).unwrap();
        assert_eq!(train(&mut second, 5..8), losses[5..]);
        assert_eq!(second.params(), whole.params());
        assert_eq!(second.state(), whole.state());
    }
}

#[test]
fn the_loss_falls() {
    let graph = zoo::lenet5(zoo::Options::default()).unwrap();
    let params = Params::init(&graph, Init::He, 4);
    let mut trainer = trainer(&graph, &params, Optimizer::sgd(0.9), &Pool::single());
    let (x, labels): (_, Vec<u32>) = (random(&[10, 1, 32, 32], 1), (0..10).collect());
    let reports: Vec<_> = (0..30).map(|_| trainer.step(&x, &labels, 0.02).unwrap()).collect();
    assert!(reports[29].loss < 0.2 * reports[0].loss, "{} to {}", reports[0].loss, reports[29].loss);
    assert_eq!(reports[29].correct, 10);
}

#[test]
fn divergence_is_told_and_changes_nothing() {
    let graph = small_network();
    let mut params = Params::init(&graph, Init::He, 4);
    params.tensor_mut("fc1.weight").data[7] = f32::MAX;
    params.tensor_mut("fc2.weight").data.fill(f32::MAX);
    let mut trainer = trainer(&graph, &params, Optimizer::sgd(0.9), &Pool::single());
    let (x, labels) = (random(&[6, 2, 9, 9], 1), [0, 1, 2, 3, 0, 1]);
    let state = trainer.state();
    match trainer.step(&x, &labels, 0.1) {
        Err(Error::Diverged { step: 0, layer, .. }) => assert_eq!(layer, "fc2"),
        other => panic!("expected divergence, got {other:?}"),
    }
    assert_eq!((trainer.params(), trainer.state(), trainer.steps()), (params, state, 0));
}

#[test]
fn an_overflowing_gradient_is_divergence_too() {
    let mut b = Builder::new("steep", [1, 2, 2]);
    let x = b.add("conv", Conv2d::new(1, 1), Value::INPUT);
    let x = b.add("flat", Flatten {}, x);
    let x = b.add("fc", Linear::new(2), x);
    let graph = b.finish(x).unwrap();
    let mut params = Params::init(&graph, Init::He, 4);
    params.tensor_mut("conv.weight").data.fill(1e-30);
    params.tensor_mut("fc.weight").data.copy_from_slice(&[3e38, 3e38, 3e38, 3e38, -3e38, -3e38, -3e38, -3e38]);
    let mut trainer = trainer(&graph, &params, Optimizer::adam(), &Pool::single());
    let x = Tensor::new([1, 1, 2, 2], vec![1e-5; 4]).unwrap();
    match trainer.step(&x, &[1], 0.1) {
        Ok(report) => assert!(report.loss.is_finite()),
        Err(Error::Diverged { layer, .. }) => assert_eq!(layer, "conv"),
        Err(other) => panic!("{other}"),
    }
    let x = Tensor::new([1, 1, 2, 2], vec![3e6; 4]).unwrap();
    match trainer.step(&x, &[1], 0.1) {
        Err(Error::Diverged { layer, .. }) => assert_eq!(layer, "conv"),
        other => panic!("expected divergence, got {other:?}"),
    }
    assert!(trainer.params().iter().all(|(_, t)| t.data.iter().all(|v| v.is_finite())));
}

#[test]
fn wrong_inputs_are_refused_with_a_reason() {
    let graph = small_network();
    let params = Params::init(&graph, Init::He, 4);
    let pool = Pool::single();
    let mut engine = Engine::new(&graph, &params, &pool).unwrap();
    let mut trainer = trainer(&graph, &params, Optimizer::sgd(0.9), &pool);
    for shape in [vec![], vec![2], vec![0, 2, 9, 9], vec![1, 9, 9, 2], vec![2, 9, 9]] {
        let x = Tensor::zeros(shape);
        assert_eq!(engine.run(&x).unwrap_err().code(), "shape");
        assert_eq!(trainer.step(&x, &[], 0.1).unwrap_err().code(), "shape");
    }
    let mut x = random(&[2, 2, 9, 9], 1);
    assert_eq!(trainer.step(&x, &[0], 0.1).unwrap_err().code(), "argument");
    assert_eq!(trainer.step(&x, &[0, 4], 0.1).unwrap_err().code(), "label");
    assert_eq!(trainer.step(&x, &[0, 1], f32::NAN).unwrap_err().code(), "argument");
    assert_eq!(trainer.gradients(&x, &Tensor::zeros([2, 5]), 0).unwrap_err().code(), "shape");
    x.data[100] = f32::INFINITY;
    for error in [engine.run(&x).unwrap_err(), trainer.step(&x, &[0, 1], 0.1).unwrap_err()] {
        assert!(matches!(&error, Error::NotFinite { what, index: 100, .. } if what.contains("input")), "{error}");
    }
    assert_eq!((trainer.params(), trainer.steps()), (params.clone(), 0));
    let bad = Optimizer::Sgd { momentum: 1.5, nesterov: false, weight_decay: 0.0 };
    assert!(trainer.set_optimizer(bad).is_err());
    assert!(Trainer::new(&graph, &params, Loss::SoftmaxCrossEntropy { label_smoothing: 1.0 }, bad, 1, &pool).is_err());
}

#[test]
fn the_state_survives_new_constants_but_not_a_new_formula() {
    let graph = small_network();
    let params = Params::init(&graph, Init::He, 4);
    let mut trainer = trainer(&graph, &params, Optimizer::sgd(0.9), &Pool::single());
    train(&mut trainer, 0..2);
    let state = trainer.state();
    trainer.set_optimizer(Optimizer::sgd(0.5)).unwrap();
    assert_eq!(trainer.state(), state);
    trainer.set_optimizer(Optimizer::adam()).unwrap();
    assert!(trainer.state().iter().all(|(_, t)| t.data.iter().all(|&v| v == 0.0)));
    assert_eq!(trainer.state().len(), 2 * state.len());
    match trainer.restore(&state, 1) {
        Err(Error::Weights { missing, unexpected, .. }) => {
            assert_eq!((missing.len(), unexpected.len()), (2 * state.len(), state.len()));
        }
        other => panic!("expected an error, got {other:?}"),
    }
    assert_eq!(trainer.steps(), 2);
}

#[test]
fn memory_that_cannot_be_addressed_is_refused_before_it_is_asked_for() {
    let pool = Pool::single();
    let refused = |graph: &Graph, what: &str| {
        let error = Engine::new(graph, &Params::init(graph, Init::He, 1), &pool).unwrap_err();
        assert!(matches!(&error, Error::TooLarge { what: w, .. } if w.contains(what)), "{error}");
    };
    // A small input in a frame of 32768 zeros on every side.
    let mut b = Builder::new("padded", [4, 2, 2]);
    let far = Conv2d::new(1, 1).padding(Padding::all(1 << 15)).stride(1 << 15);
    let x = b.add("far", far, Value::INPUT);
    refused(&b.finish(x).unwrap(), "scratch");
    // Small layers whose sum is not.
    let mut b = Builder::new("wide", [1, 1 << 15, 1 << 15]);
    let x = b.add("a", Relu {}, Value::INPUT);
    let x = b.add("b", Relu {}, x);
    let x = b.add("c", Relu {}, x);
    refused(&b.finish(x).unwrap(), "values");
}

#[test]
fn a_self_test_finds_the_layer_that_differs() {
    let graph = zoo::resnet("resnet", &zoo::ResNet::cifar(8), zoo::Options::default()).unwrap();
    let params = Params::init(&graph, Init::He, 3);
    let pool = Pool::new(2);
    let backend = Backend::Cpu(pool.clone());
    let test = |run: &Params| {
        let mut engine = block_on(convoke::engine::Engine::new(&graph, run, &backend)).unwrap();
        let mut seen = vec![];
        let report = &mut |i, steps| seen.push((i, steps));
        let errors = block_on(self_test(&graph, &params, &pool, &mut engine, report)).unwrap();
        assert_eq!(seen, (0..errors.len()).map(|i| (i, errors.len())).collect::<Vec<_>>());
        errors
    };
    let same = test(&params);
    assert!(same.iter().any(|e| e.algorithm == Some("winograd") && e.error > 0.0));
    assert!(same.iter().all(|e| e.error < TOLERANCE), "{same:?}");

    let mut wrong = params.clone();
    wrong.tensor_mut("layer2.0.conv2.weight").data[0] += 1.0;
    let errors = test(&wrong);
    let at = errors.iter().position(|e| e.name == "layer2.0.conv2").unwrap();
    assert_eq!(errors[..at], same[..at]);
    assert!(errors[at].error > 0.01, "{:?}", errors[at]);
}
