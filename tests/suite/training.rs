//! Training by the references, and one run that every backend repeats: LeNet-5, fifty steps from one seed. The losses
//! that the references find are in tests/golden/losses.json, which `tests/losses.rs` checks and can write.

use std::collections::BTreeMap;

use convoke::graph::{Builder, Graph, Init, Params, Value, reference};
use convoke::layers::{AvgPool2d, BatchNorm2d, Conv2d, Dropout, Flatten, Layer, Linear, Loss, MaxPool2d, Relu, Tanh};
use convoke::plan::{Optimizer, Update};
use convoke::tensor::Tensor;
use convoke::zoo;

use super::{SEED, random};

/// A net with everything that training has to get right: shared values, running statistics, a concatenation, dropout, two heads.
pub fn small_network() -> Graph {
    let mut b = Builder::new("small", [2, 9, 9]);
    let x = b.add("conv1", Conv2d::new(5, 3), Value::INPUT);
    let x = b.add("bn1", BatchNorm2d::default(), x);
    let x = b.add("relu1", Relu {}, x);
    let left = b.add("left", Conv2d::new(4, 1), x);
    let both = b.concat("both", &[left, x]);
    let p = b.add("pool", MaxPool2d::new(2, 2), both);
    let a = b.add("avg", AvgPool2d::new(3, 3), p);
    let a = b.add("aux_flat", Flatten {}, a);
    let a = b.add("aux_fc", Linear::new(4), a);
    b.auxiliary(a, 0.3);
    let x = b.add("flat", Flatten {}, p);
    let x = b.add("fc1", Linear::new(11), x);
    let x = b.add("act", Tanh {}, x);
    let x = b.add("drop", Dropout { p: 0.25 }, x);
    let x = b.add("fc2", Linear { out_features: 4, bias: false }, x);
    b.finish(x).expect("a valid graph")
}

/// What an optimizer keeps for each weight, by parameter.
pub type State = BTreeMap<String, Vec<[f64; 2]>>;

/// One step by the references: new weights and running statistics, and the loss.
pub fn reference_step(
    graph: &Graph,
    params: &mut Params,
    state: &mut State,
    (x, labels): (&Tensor, &[u32]),
    loss: Loss,
    update: Update,
) -> f64 {
    let training = Some((SEED, update.t - 1));
    let values = reference::forward(graph, params, &x.to_f64(), training);
    let mut total = 0.0;
    let mut seeds = vec![];
    for output in graph.outputs() {
        let weight = f64::from(output.loss_weight);
        let (l, d) = loss.forward_backward(&values[output.value.index()], labels);
        total += weight * l;
        seeds.push((output.value, d.map(|d| d * weight)));
    }
    let (_, gradients) = reference::backward(graph, params, &values, &seeds, training);
    for ((name, spec), gradient) in graph.params().into_iter().zip(gradients.into_iter().flatten()) {
        if !spec.role.is_trained() {
            continue;
        }
        let state = state.entry(name.clone()).or_insert_with(|| vec![[0.0; 2]; gradient.data.len()]);
        for ((w, g), state) in params.get_mut(&name).data.iter_mut().zip(&gradient.data).zip(state) {
            *w = update.apply(f64::from(*w), *g, state, spec.role.decays()) as f32;
        }
    }
    for node in graph.nodes() {
        if let Layer::BatchNorm2d(norm) = &node.layer {
            move_statistics(norm, params, &node.name, &values[node.inputs[0].index()]);
        }
    }
    total
}

fn move_statistics(norm: &BatchNorm2d, params: &mut Params, name: &str, x: &Tensor<f64>) {
    let (mean, var) = BatchNorm2d::statistics(x);
    let count = x.data.len() / mean.len();
    for (c, batch) in mean.into_iter().zip(var).enumerate() {
        let [m, v] = ["running_mean", "running_var"].map(|part| format!("{name}.{part}"));
        let running = (f64::from(params.get(&m).data[c]), f64::from(params.get(&v).data[c]));
        let moved = norm.moved(running, batch, count);
        params.get_mut(&m).data[c] = moved.0 as f32;
        params.get_mut(&v).data[c] = moved.1 as f32;
    }
}

pub const STEPS: u32 = 50;
pub const LEARNING_RATE: f32 = 0.02;
pub const OPTIMIZER: Optimizer = Optimizer::sgd(0.9);
pub const LOSS: Loss = Loss::CROSS_ENTROPY;
const BATCH: usize = 8;

pub fn lenet() -> (Graph, Params) {
    let graph = zoo::network("lenet5", zoo::Options::default()).expect("LeNet-5 is in the zoo");
    let params = Params::init(&graph, Init::He, 1);
    (graph, params)
}

/// A batch of noisy copies of ten random pictures, each a class.
pub fn batch(step: u32) -> (Tensor, Vec<u32>) {
    let pictures = random(&[10, 32 * 32], 1000);
    let noise = random(&[BATCH, 32 * 32], 2000 + step);
    let labels: Vec<u32> = (0..BATCH as u32).map(|i| (step * 3 + i * 7) % 10).collect();
    let pixel = |i: usize| 0.6 * pictures.data[labels[i / 1024] as usize * 1024 + i % 1024] + 0.4 * noise.data[i];
    let data = (0..BATCH * 1024).map(pixel).collect();
    (Tensor::new([BATCH, 1, 32, 32], data).expect("as many values as the shape says"), labels)
}

/// What the references find.
pub fn golden() -> Vec<f32> {
    serde_json::from_str(include_str!("../golden/losses.json")).expect("a list of numbers")
}

/// Fails unless every loss is within a thousandth of the references'.
pub fn check(backend: &str, losses: &[f32]) {
    let golden = golden();
    assert_eq!(losses.len(), golden.len());
    for (step, (got, want)) in losses.iter().zip(&golden).enumerate() {
        assert!(
            (got - want).abs() <= 1e-3 * want.abs(),
            "{backend}: loss {got} at step {step}, the references say {want}"
        );
    }
}
