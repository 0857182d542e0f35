//! Training by the references, and one run that every backend repeats: LeNet-5, fifty steps from one seed. The losses
//! that the references find are in tests/golden/losses.json, which `tests/losses.rs` checks and can write.

use std::collections::BTreeMap;

use convoke::graph::{Builder, Graph, Init, Params, Value, reference};
use convoke::layers::{
    AvgPool2d, BatchNorm2d, Conv2d, Dropout, Flatten, Layer, Linear, Loss, MaxPool2d, Padding, ParamSpec, Relu, Tanh,
};
use convoke::plan::{Optimizer, Update, clip_factor};
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
    limited_step(graph, params, state, (x, labels), loss, update, 0.0, |_| 1.0)
}

/// The same with a limit on the norm of all gradients, and layers that learn at rates of their own.
#[expect(clippy::too_many_arguments, reason = "all that decides a step")]
pub fn limited_step(
    graph: &Graph,
    params: &mut Params,
    state: &mut State,
    (x, labels): (&Tensor, &[u32]),
    loss: Loss,
    update: Update,
    clip_norm: f32,
    rate: impl Fn(&str) -> f32,
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
    let gradients = || graph.params().into_iter().zip(gradients.iter().flatten());
    let learns = |(name, spec): &(String, ParamSpec)| spec.role.is_trained() && rate(name) != 0.0;
    let learning = gradients().filter(|(param, _)| learns(param)).flat_map(|(_, gradient)| &gradient.data);
    let scale = f64::from(clip_factor(learning.map(|g| g * g).sum(), clip_norm));
    for ((name, spec), gradient) in gradients().filter(|(param, _)| learns(param)) {
        let update = Update { learning_rate: update.learning_rate * rate(&name), ..update };
        let state = state.entry(name.clone()).or_insert_with(|| vec![[0.0; 2]; gradient.data.len()]);
        for ((w, g), state) in params.tensor_mut(&name).data.iter_mut().zip(&gradient.data).zip(state) {
            *w = update.apply(f64::from(*w), scale * g, state, spec.role.decays()) as f32;
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
        let running = (f64::from(params.tensor(&m).data[c]), f64::from(params.tensor(&v).data[c]));
        let moved = norm.moved(running, batch, count);
        params.tensor_mut(&m).data[c] = moved.0 as f32;
        params.tensor_mut(&v).data[c] = moved.1 as f32;
    }
}

/// Every formula, with constants that leave no part of it out.
pub fn optimizers() -> [Optimizer; 6] {
    [
        Optimizer::sgd(0.0),
        Optimizer::Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.01 },
        Optimizer::Sgd { momentum: 0.8, nesterov: true, weight_decay: 0.02 },
        Optimizer::Adam { beta1: 0.9, beta2: 0.99, epsilon: 1e-4, weight_decay: 0.03 },
        Optimizer::AdamW { beta1: 0.9, beta2: 0.99, epsilon: 1e-4, weight_decay: 0.3 },
        Optimizer::RmsProp { alpha: 0.9, momentum: 0.5, epsilon: 1e-2, weight_decay: 0.03 },
    ]
}

/// A net whose first half is frozen: a convolution with its normalisation below one that learns, and a normalisation and
/// a depthwise convolution above that one.
pub fn half_frozen() -> (Graph, impl Fn(&str) -> f32 + Copy) {
    let mut b = Builder::new("half-frozen", [3, 9, 9]);
    let x = b.add("below", Conv2d::new(6, 3), Value::INPUT);
    let x = b.add("below_bn", BatchNorm2d::default(), x);
    let x = b.add("relu1", Relu {}, x);
    let x = b.add("learns", Conv2d::new(8, 3), x);
    let x = b.add("above_bn", BatchNorm2d::default(), x);
    let x = b.add("relu2", Relu {}, x);
    let x = b.add("above", Conv2d::new(8, 3).groups(8), x);
    let x = b.add("above_conv", Conv2d::new(5, 1), x);
    let x = b.add("flat", Flatten {}, x);
    let x = b.add("fc", Linear::new(4), x);
    (b.finish(x).expect("a valid graph"), |name: &str| match name.split('.').next() {
        Some("learns") => 0.5,
        Some("fc") => 1.0,
        _ => 0.0,
    })
}

/// Parameters for [`half_frozen`] whose running statistics are not those of the first batch.
pub fn half_frozen_params(graph: &Graph) -> Params {
    let mut params = Params::init(graph, Init::He, 4);
    for (i, name) in ["below_bn", "above_bn"].into_iter().enumerate() {
        for (part, shift) in [("running_mean", 0.0), ("running_var", 1.5), ("weight", 1.0), ("bias", 0.0)] {
            let tensor = params.tensor_mut(&format!("{name}.{part}"));
            let values = random(&tensor.shape, 70 + i as u32);
            tensor.data.iter_mut().zip(values.data).for_each(|(t, v)| *t = shift + 0.3 * v);
        }
    }
    params
}

/// The same net for the references, which know no frozen normalisation: each channel scaled and shifted by a
/// convolution. Its parameters are those of the other under its names.
pub fn with_scales(graph: &Graph, params: &Params) -> (Graph, Params) {
    let mut b = Builder::new("half-frozen", [3, 9, 9]);
    let mut x = Value::INPUT;
    for (i, node) in graph.nodes().iter().enumerate() {
        x = match node.layer {
            Layer::BatchNorm2d(_) => {
                let c = graph.shape(Value::of_node(i)).chw().0;
                b.add(&node.name, Conv2d::new(c, 1).groups(c), x)
            }
            ref layer => b.add(&node.name, layer.clone(), x),
        };
    }
    let scaled = b.finish(x).expect("a valid graph");
    let mut to = Params::init(&scaled, Init::He, 4);
    for (name, _) in scaled.params() {
        to.tensor_mut(&name).data.copy_from_slice(&params.tensor(&name).data);
    }
    for node in graph.nodes() {
        let Layer::BatchNorm2d(norm) = &node.layer else { continue };
        let part = |part: &str| params.tensor(&format!("{}.{part}", node.name)).into_owned().data;
        for c in 0..part("weight").len() {
            let scale = part("weight")[c] / (part("running_var")[c] + norm.epsilon).sqrt();
            to.tensor_mut(&format!("{}.weight", node.name)).data[c] = scale;
            to.tensor_mut(&format!("{}.bias", node.name)).data[c] = part("bias")[c] - scale * part("running_mean")[c];
        }
    }
    (scaled, to)
}

/// By node.
pub fn rates_of(graph: &Graph, rate: impl Fn(&str) -> f32) -> Vec<f32> {
    graph.nodes().iter().map(|node| rate(&node.name)).collect()
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

/// Every kind of layer with weights, and none that looks at the whole batch or draws.
pub fn in_parts() -> Graph {
    let mut b = Builder::new("parts", [2, 9, 9]);
    let x = b.add("conv", Conv2d::new(8, 3).padding(Padding::all(1)), Value::INPUT);
    let x = b.add("relu", Relu {}, x);
    let x = b.add("depthwise", Conv2d::new(8, 3).groups(8), x);
    let x = b.add("tanh", Tanh {}, x);
    let x = b.add("flatten", Flatten {}, x);
    let x = b.add("fc", Linear::new(4), x);
    b.finish(x).expect("a valid graph")
}

/// A batch in three.
pub fn thirds(x: &Tensor) -> [Tensor; 3] {
    let n = x.data.len() / 3;
    let shape: Vec<usize> = std::iter::once(x.shape[0] / 3).chain(x.shape[1..].iter().copied()).collect();
    [0, 1, 2].map(|i| Tensor::new(shape.clone(), x.data[i * n..][..n].to_vec()).expect("a third"))
}
