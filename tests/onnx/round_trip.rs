//! Every layer, written and read back, gives equal numbers.

use convoke::Error;
use convoke::cpu::Pool;
use convoke::engine::Backend;
use convoke::format::{Meta, Model, WeightFormat, onnx};
use convoke::graph::{Builder, Graph, Init, OutputKind, Params, Value};
use convoke::layers::{Flatten, Layer, MaxPool2d, Sigmoid, Softmax};
use convoke::runner::ModelRunner;
use convoke::tensor::Tensor;
use convoke::vision::{Channels, Preprocess};
use convoke::zoo;

use crate::suite::{cases, random};
use crate::{by_reference, difference, write};

fn check(graph: &Graph, params: &Params, batch: usize) {
    let bytes = write(graph, params);
    let back = onnx::read(bytes).unwrap_or_else(|e| panic!("{e}\n{}", graph.to_json()));
    let x = random(&graph.input().batched(batch), 5);
    for (got, want) in by_reference(&back.graph, &back.params, &x).iter().zip(&by_reference(graph, params, &x)) {
        if let Some(difference) = difference(&got.data, &want.data, 1e-6) {
            panic!("{difference}\nwritten {}\nread {}", graph.to_json(), back.graph.to_json());
        }
    }
}

#[test]
fn every_case_of_the_suite() {
    let cases = cases();
    for case in &cases {
        check(&case.graph, &case.problem().params, case.batch);
    }
    let covered = |kind: &&&str| cases.iter().any(|c| c.graph.nodes().iter().any(|n| n.layer.kind() == **kind));
    assert_eq!(Layer::KINDS.iter().filter(covered).count(), Layer::KINDS.len(), "the suite has every layer");
}

#[test]
fn names_layers_and_weights_survive() {
    for name in ["lenet5", "lenet5-1998", "resnet20", "nin", "densenet40", "inception", "first-example"] {
        let graph = zoo::network(name, zoo::Options::default()).unwrap();
        let params = Params::init(&graph, Init::He, 7);
        let back = onnx::read(write(&graph, &params)).unwrap();
        let names = |g: &Graph| g.nodes().iter().map(|n| (n.name.clone(), n.layer.kind())).collect::<Vec<_>>();
        assert_eq!(names(&back.graph), names(&graph), "{name}");
        assert_eq!(back.params, params, "{name}");
        assert_eq!(back.graph.input(), graph.input(), "{name}");
        assert_eq!(write(&back.graph, &back.params).len(), write(&graph, &params).len(), "{name}");
    }
}

/// A file that ends in a softmax or a sigmoid gives probabilities; a second softmax would answer 0.40 and 0.37.
#[test]
fn probabilities_of_a_file_are_answers_as_they_are() {
    let ends: [(Layer, OutputKind, f32); 2] = [
        (Softmax {}.into(), OutputKind::Probabilities, 0.532_18),
        (Sigmoid {}.into(), OutputKind::IndependentProbabilities, 0.817_57),
    ];
    for (layer, kind, probability) in ends {
        let mut b = Builder::new("ending", [3, 1, 1]);
        let x = b.add("flatten", Flatten {}, Value::INPUT);
        let x = b.add("end", layer, x);
        let graph = b.finish(x).unwrap();
        let model = onnx::read(write(&graph, &Params::init(&graph, Init::He, 7))).unwrap();
        assert_eq!(model.graph.output_kind(), kind);

        let file = model.to_bytes(WeightFormat::F32).unwrap();
        let pool = Pool::single();
        let mut network = ModelRunner::load(&file[..], None, &pool, u64::MAX).unwrap();
        let top = pollster::block_on(async {
            network.plan(Backend::Cpu(pool.clone())).await?;
            network.classify(Tensor::new([1, 3, 1, 1], vec![0.2, 1.5, 1.0])?, 1).await
        });
        let top = top.unwrap();
        assert_eq!(top[0].index, 1);
        assert!((top[0].probability - probability).abs() < 1e-5, "{kind}: {}", top[0].probability);
    }
}

#[test]
fn auxiliary_heads_are_outputs() {
    let options = zoo::Options { auxiliary: true, ..zoo::Options::default() };
    let graph = zoo::network("googlenet-torchvision", options).unwrap();
    let params = Params::init(&graph, Init::He, 7);
    let back = onnx::read(write(&graph, &params)).unwrap();
    assert_eq!(back.graph.outputs().len(), 3);
    assert_eq!(back.params, params);
}

#[test]
fn a_truncated_file_is_refused_at_every_length() {
    let graph = zoo::network("lenet5", zoo::Options::default()).unwrap();
    let bytes = write(&graph, &Params::init(&graph, Init::He, 1));
    for length in (0..bytes.len()).step_by(997) {
        let error = onnx::read(bytes[..length].to_vec()).unwrap_err();
        assert!(matches!(error, Error::Format { .. } | Error::Version { .. }), "{length}: {error}");
    }
}

#[test]
fn labels_preprocessing_and_provenance_survive() {
    let graph = zoo::network("lenet5", zoo::Options { classes: Some(2), ..zoo::Options::default() }).unwrap();
    let preprocess = Preprocess {
        channels: Channels::Gray,
        resize: Some(28),
        pad: 2,
        mean: vec![0.1307],
        std: vec![0.3081],
        ..Preprocess::default()
    };
    let meta = Meta {
        labels: ["näin", "\"so\"\n"].map(String::from).to_vec(),
        preprocess: Some(preprocess),
        provenance: [("seed", "3"), ("command", "convoke train lenet5")].map(|(k, v)| (k.into(), v.into())).into(),
    };
    let model = Model { params: Params::init(&graph, Init::He, 1), graph, meta };
    let back = onnx::read(onnx::write(&model).unwrap()).unwrap();
    assert_eq!(back.meta, model.meta);
    let none = Model { meta: Meta::default(), ..model.clone() };
    assert_eq!(onnx::read(onnx::write(&none).unwrap()).unwrap().meta, Meta::default());
    let wrong = Model { meta: Meta { labels: vec!["one".into()], ..Meta::default() }, ..model };
    let error = onnx::write(&wrong).unwrap_err().to_string();
    assert!(error.contains("2 names") && error.contains("got 1"), "{error}");
}

#[test]
fn a_network_whose_file_could_not_be_read_again_is_not_written() {
    let mut b = Builder::new("long", [1, 2, 2]);
    let mut x = Value::INPUT;
    for i in 0..16_000 {
        x = b.add(format!("{i}"), MaxPool2d::new(1, 1), x);
    }
    let graph = b.finish(x).unwrap();
    let params = Params::init(&graph, Init::He, 1);
    let error = onnx::write(&Model { graph, params, meta: Meta::default() }).unwrap_err();
    assert_eq!(error.code(), "too-large", "{error}");
    assert!(error.to_string().contains("records"), "{error}");
}
