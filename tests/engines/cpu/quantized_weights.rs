//! Weights that stay in 8 bits while the engine computes in floats.

use convoke::cpu::{Engine, Pool};
use convoke::format::{Meta, Model, WeightFormat};
use convoke::graph::{Builder, Graph, Init, Params, Value};
use convoke::layers::{Flatten, Linear, Relu};

use super::winograd::error;
use crate::list::List;
use crate::suite::random;

/// Even and odd channels, maps and vectors, more rows than are dequantized at a time, remainders of columns.
const LAYERS: [([usize; 3], usize); 5] =
    [([6, 1, 1], 3), ([4, 5, 3], 9), ([130, 3, 3], 20), ([1, 28, 28], 7), ([1024, 1, 1], 33)];

pub fn add(list: &mut List) {
    for ([c, h, w], features) in LAYERS {
        let name = format!("cpu::quantized-weights/linear-{c}x{h}x{w}-to-{features}");
        list.test(name, move || linear_layer_agrees_with_floats([c, h, w], features));
    }
}

/// Returns weights in 8 bits, as a file has them.
pub fn quantized(graph: &Graph, params: &Params) -> Params {
    let model = Model { graph: graph.clone(), params: params.clone(), meta: Meta::default() };
    Model::from_bytes(&model.to_bytes(WeightFormat::Int8).unwrap()).unwrap().params
}

fn linear_layer_agrees_with_floats(input: [usize; 3], features: usize) {
    let mut b = Builder::new("linear", input);
    let x = b.add("flatten", Flatten {}, Value::INPUT);
    let x = b.add("fc", Linear::new(features), x);
    let y = b.add("relu", Relu {}, x);
    let graph = b.finish(y).unwrap();
    let quantized = quantized(&graph, &Params::init(&graph, Init::He, 7));
    let mut floats = quantized.clone();
    floats.tensor_mut("fc.weight"); // A tensor that is written to is in floats from then on.
    for n in [1, 2, 7] {
        let x = random(&graph.input().batched(n), 8);
        let run = |params: &Params, threads| Engine::new(&graph, params, &Pool::new(threads)).unwrap().run(&x).unwrap();
        let (want, got) = (run(&floats, 1), run(&quantized, 1));
        assert!(error(&got, &want.to_f64()) < 5e-6, "batch {n}");
        assert_eq!(got, run(&quantized, 3));
    }
}
