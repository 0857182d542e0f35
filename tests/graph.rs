//! Graphs: their JSON form, and everything that is not a graph.

#![cfg(not(target_arch = "wasm32"))]

use convoke::graph::{Builder, Graph, Init, Params, Value};
use convoke::layers::{Conv2d, Linear, MaxPool2d, Padding};
use convoke::{Error, zoo};
use proptest::prelude::*;

fn lenet() -> Graph {
    zoo::network("lenet5", zoo::Options::default()).unwrap()
}

/// LeNet-5's JSON with one text replaced by another.
fn edited(from: &str, to: &str) -> Result<Graph, Error> {
    let json = lenet().to_json();
    assert!(json.contains(from), "{from} is not in {json}");
    Graph::from_json(&json.replace(from, to))
}

#[test]
fn every_network_survives_its_json() {
    for name in zoo::names() {
        let graph = zoo::network(&name, zoo::Options::default()).unwrap();
        assert_eq!(Graph::from_json(&graph.to_json()).unwrap(), graph, "{name}");
    }
}

#[test]
fn lenet_has_the_figures_of_the_table() {
    let costs = lenet().costs();
    assert_eq!(costs.iter().map(|c| c.parameters).sum::<u64>(), 61_706);
    assert_eq!(costs.iter().map(|c| c.macs).sum::<u64>(), 416_520);
    let shapes: Vec<String> = costs.iter().map(|c| c.shape.to_string()).collect();
    assert_eq!(
        shapes,
        ["6x28x28", "6x28x28", "6x14x14", "16x10x10", "16x10x10", "16x5x5", "400", "120", "120", "84", "84", "10"]
    );
}

#[test]
fn what_is_wrong_is_named() {
    let message = |r: Result<Graph, Error>| r.unwrap_err().to_string();
    let unknown = message(edited("\"kind\":\"linear\"", "\"kind\":\"lstm\""));
    assert!(unknown.contains("fc1") && unknown.contains("lstm") && unknown.contains("conv2d"), "{unknown}");
    let version = message(edited("\"version\":1", "\"version\":99"));
    assert!(version.contains("99"), "{version}");
    let missing = message(edited("\"inputs\":[\"pool1\"]", "\"inputs\":[\"nowhere\"]"));
    assert!(missing.contains("nowhere"), "{missing}");
    let twice = message(edited("\"fc3\"", "\"conv1\""));
    assert!(twice.contains("conv1"), "{twice}");
    let attribute = message(edited("\"out_features\":120", "\"out_feature\":120"));
    assert!(attribute.contains("fc1") && attribute.contains("out_feature"), "{attribute}");
    let kernel = message(edited("\"kernel\":[5,5]", "\"kernel\":[50,5]"));
    assert!(kernel.contains("conv1") && kernel.contains("50") && kernel.contains("32"), "{kernel}");
}

#[test]
fn shapes_that_do_not_fit_name_the_layer() {
    let mut b = Builder::new("bad", [3, 8, 8]);
    let x = b.add("halves", Conv2d::new(4, 3).groups(2), Value::INPUT);
    let Error::Layer { layer, what, actual, .. } = b.finish(x).unwrap_err() else { panic!("expected a layer error") };
    assert_eq!((layer.as_str(), what.as_str(), actual.as_str()), ("halves", "groups", "2"));

    let mut b = Builder::new("bad", [3, 8, 8]);
    let x = b.add("fc", Linear::new(4), Value::INPUT);
    assert!(b.finish(x).unwrap_err().to_string().contains("flatten"));

    let mut b = Builder::new("bad", [3, 8, 8]);
    let mut pool = MaxPool2d::new(2, 2);
    pool.window.padding = Padding::all(2);
    let x = b.add("pool", pool, Value::INPUT);
    assert!(b.finish(x).unwrap_err().to_string().contains("only padding"));
}

#[test]
fn sizes_beyond_memory_are_refused_before_anything_is_allocated() {
    let mut b = Builder::new("huge", [1, 30_000, 30_000]);
    let x = b.add("conv", Conv2d::new(60_000, 1), Value::INPUT);
    assert!(matches!(b.finish(x), Err(Error::TooLarge { .. })));
    assert!(Graph::new("huge", [usize::MAX, 2, 2].into(), vec![], vec![]).is_err());
}

#[test]
fn the_same_seed_gives_the_same_weights() {
    let graph = lenet();
    let weights = |seed| Params::init(&graph, Init::of(&graph), seed);
    assert_eq!(weights(1), weights(1));
    assert_ne!(weights(1), weights(2));
    let he = weights(1).tensor("fc1.weight").data.iter().map(|v| v * v).sum::<f32>() / 48_000.0;
    assert!((he * 400.0 / 2.0 - 1.0).abs() < 0.05, "variance times fan-in / 2 is {}", he * 200.0);
    assert!(weights(1).tensor("fc1.bias").data.iter().all(|&v| v == 0.0));
}

proptest! {
    #[test]
    fn arbitrary_text_is_refused_without_a_panic(text in ".{0,200}") {
        prop_assert!(Graph::from_json(&text).is_err());
    }

    #[test]
    fn damaged_json_never_panics(at in 0usize..3000, with in any::<char>(), number in any::<u64>()) {
        let json = lenet().to_json();
        let mut text: Vec<char> = json.chars().collect();
        let at = at % text.len();
        text[at] = with;
        let _ = Graph::from_json(&text.iter().collect::<String>());
        // Any number in place of any other.
        let digits = json.char_indices().filter(|(_, c)| c.is_ascii_digit()).map(|(i, _)| i).collect::<Vec<_>>();
        let i = digits[at % digits.len()];
        let _ = Graph::from_json(&format!("{}{number}{}", &json[..i], &json[i + 1..]));
    }
}
