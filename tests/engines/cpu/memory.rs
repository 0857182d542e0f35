//! Memory: allocations while a network runs, borrowed weights, footprints, and sizes that cannot be addressed.

use std::sync::LazyLock;

use convoke::Error;
use convoke::cpu::{Engine, Footprint, Pool, Prefer};
use convoke::format::{Meta, Model, WeightFormat};
use convoke::graph::{Builder, Graph, Init, Param, Params, Value};
use convoke::layers::{Conv2d, Padding, Relu};
use convoke::zoo;

use super::quantized_weights::quantized;
use crate::cases::CASES;
use crate::counting::counting;
use crate::list::List;
use crate::suite::{Case, random};

static NETWORKS: LazyLock<[Case; 4]> = LazyLock::new(|| {
    ["lenet5", "resnet20", "googlenet-cifar", "densenet22"]
        .map(|name| Case::new(format!("zoo/{name}"), zoo::network(name, zoo::Options::default()).unwrap(), 2))
});

pub fn add(list: &mut List) {
    for case in CASES.iter().chain(NETWORKS.iter()) {
        list.check(format!("cpu::{}::allocation", case.name), move || allocates_only_its_result(case));
    }
    for name in ["lenet5", "alexnet-cifar", "vgg9", "resnet20", "densenet22", "googlenet-cifar"] {
        list.test(format!("cpu::memory/borrowed-weights-of-{name}"), || borrowed_weights_return(name, false));
        list.test(format!("cpu::memory/borrowed-int8-weights-of-{name}"), || borrowed_weights_return(name, true));
    }
    for name in ["alexnet", "googlenet", "resnet18", "nin", "densenet121"] {
        list.test(format!("cpu::memory/footprint-of-{name}"), || footprint_is_what_an_engine_takes(name));
    }
    list.test("cpu::memory/vgg16-is-held-once", || vgg16_is_held_once(WeightFormat::F32));
    list.test("cpu::memory/int8-vgg16-is-held-once", || vgg16_is_held_once(WeightFormat::Int8));
    list.test("cpu::memory/footprint-beyond-4-GiB-of-vgg16", footprint_beyond_32_bits);
    list.test("cpu::memory/too-much-scratch-is-refused", too_much_scratch);
    list.test("cpu::memory/too-many-values-are-refused", too_many_values);
}

/// Counts the allocations of the caller's thread, which computes alone.
fn allocates_only_its_result(case: &Case) -> Result<(), String> {
    let (params, x) = case.given();
    let mut engine = Engine::new(&case.graph, &params, &Pool::single()).unwrap();
    engine.run(&x).unwrap();
    let (y, allocated) = counting(|| engine.run(&x).unwrap());
    let result = size_of_val(&y.data[..]) + size_of_val(&y.shape[..]);
    if allocated > result {
        return Err(format!("{}: {allocated} bytes for a result of {result}", case.name));
    }
    Ok(())
}

/// Returns the bytes of weights as they are stored.
fn stored(params: &Params) -> usize {
    let bytes = |tensor: &Param| match tensor {
        Param::Floats(tensor) => 4 * tensor.data.len(),
        Param::Quantized { quantized, .. } => quantized.values.len() + 4 * quantized.scales.len(),
        Param::Deferred { .. } | Param::RowScaled { .. } => panic!("neither is in a model that was read"),
    };
    params.params().map(|(_, tensor)| bytes(tensor)).sum()
}

fn borrowed_weights_return(name: &str, int8: bool) {
    let graph = zoo::network(name, zoo::Options { auxiliary: true, ..Default::default() }).unwrap();
    let mut params = Params::init(&graph, Init::of(&graph), 3);
    if int8 {
        params = quantized(&graph, &params);
    }
    let x = random(&graph.input().batched(2), 5);
    let pool = Pool::new(2);
    let mut left = params.clone();
    let mut engine = Engine::borrowing(&graph, &mut left, &pool, Prefer::Speed).unwrap();
    assert!(left.count() < params.count(), "nothing was borrowed");
    assert_eq!(engine.run(&x).unwrap(), Engine::new(&graph, &params, &pool).unwrap().run(&x).unwrap());
    engine.give_back(&mut left);
    assert_eq!(left, params);
}

fn footprint_is_what_an_engine_takes(name: &str) {
    let graph = zoo::network(name, zoo::Options::default()).unwrap();
    let mut params = Params::init(&graph, Init::of(&graph), 3);
    let pool = Pool::new(2);
    let said = Footprint::of(&graph, false, params.ranges(), &pool).unwrap();
    assert_eq!(said.weights, stored(&params) as u64);
    let engine = Engine::borrowing(&graph, &mut params, &pool, Prefer::Speed).unwrap();
    let (taken, said) = (engine.bytes() + stored(&params), said.at_rest());
    let ratio = said as f64 / taken as f64;
    assert!((0.98..1.1).contains(&ratio), "{said} said, {taken} taken");
}

/// Checks the largest network of the lecture notes: its linear layers, nine tenths of it, are in memory once, and loading
/// it takes little more than it takes afterwards.
fn vgg16_is_held_once(weights: WeightFormat) {
    let graph = zoo::network("vgg16", zoo::Options::default()).unwrap();
    let params = Params::init(&graph, Init::He, 1);
    let said = Footprint::of(&graph, weights == WeightFormat::Int8, params.ranges(), &Pool::single()).unwrap();
    let file = Model { graph: graph.clone(), params, meta: Meta::default() }.to_bytes(weights).unwrap();
    let ((engine, left), peak) = counting(|| {
        let mut params = Model::from_bytes(&file).unwrap().params;
        (Engine::borrowing(&graph, &mut params, &Pool::single(), Prefer::Speed).unwrap(), params)
    });
    let at_rest = (engine.bytes() + stored(&left)) as f64;
    let beside = (said.transformed + said.activations) as f64;
    assert!(at_rest <= 1.15 * file.len() as f64 + beside, "{at_rest} of {weights:?}, {said:?}");
    assert!(peak as f64 <= 1.4 * at_rest, "{peak} of {weights:?}, {said:?}");
}

fn footprint_beyond_32_bits() {
    let wide = zoo::Options { classes: Some(200_000), ..Default::default() };
    let wide = zoo::network("vgg16", wide).unwrap();
    let said = Footprint::of(&wide, false, Params::default().ranges(), &Pool::single()).unwrap();
    assert!(said.peak() > u64::from(u32::MAX), "{said:?}");
}

fn assert_refused(graph: &Graph, part: &str) {
    let error = Engine::new(graph, &Params::init(graph, Init::He, 1), &Pool::single()).unwrap_err();
    assert!(matches!(&error, Error::TooLarge { what, .. } if what.contains(part)), "{error}");
}

/// A small input gets 32768 zeros on every side.
fn too_much_scratch() {
    let mut b = Builder::new("padded", [4, 2, 2]);
    let far = Conv2d::new(1, 1).padding(Padding::all(1 << 15)).stride(1 << 15);
    let x = b.add("far", far, Value::INPUT);
    assert_refused(&b.finish(x).unwrap(), "scratch");
}

/// Each value can be addressed, but not their sum.
fn too_many_values() {
    let mut b = Builder::new("wide", [1, 1 << 15, 1 << 15]);
    let x = b.add("a", Relu {}, Value::INPUT);
    let x = b.add("b", Relu {}, x);
    let x = b.add("c", Relu {}, x);
    assert_refused(&b.finish(x).unwrap(), "values");
}
