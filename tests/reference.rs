//! The references' own derivatives, checked by central differences in double precision, and against golden numbers.

#![cfg(not(target_arch = "wasm32"))]

mod suite;

use std::collections::BTreeMap;

use convoke::graph::{Graph, Init, Params, Value, reference};
use convoke::layers::{Layer, Loss, Mode};
use convoke::plan::{Optimizer, Update, clip_factor};
use convoke::tensor::{Shape, Tensor};
use convoke::zoo;
use serde::Deserialize;
use suite::{Case, SEED, STEP, cases, gradients, random};

/// `sum(y * dy)`, whose gradient is what `backward` computes from `dy`.
fn objective(graph: &Graph, params: &Params, x: &Tensor<f64>, dy: &Tensor<f64>) -> f64 {
    let values = reference::forward(graph, params, x, Some((SEED, STEP)));
    let y = &values[graph.outputs()[0].value.index()];
    y.data.iter().zip(&dy.data).map(|(y, d)| y * d).sum()
}

/// Cases without stairs, whose gradient is by definition not that of the function.
fn smooth_cases() -> Vec<Case> {
    let rounds = |case: &Case| case.graph.nodes().iter().any(|n| matches!(n.layer, Layer::FakeQuantize(_)));
    cases().into_iter().filter(|case| !rounds(case)).collect()
}

/// Checks a spread of the input's derivatives. Steps that cross a kink (ReLU, max) are told by the second difference.
fn check(case: &Case) -> usize {
    let problem = case.problem();
    let x = problem.x.to_f64();
    let dy = problem.dy.to_f64();
    let (h, mut checked) = (1e-5, 0);
    for i in (0..x.data.len()).step_by(1 + x.data.len() / 7) {
        let at = |delta: f64| {
            let mut x = x.clone();
            x.data[i] += delta;
            objective(&case.graph, &problem.params, &x, &dy)
        };
        let (minus, zero, plus) = (at(-h), at(0.0), at(h));
        if (plus - 2.0 * zero + minus).abs() > 1e-7 {
            continue;
        }
        let numeric = (plus - minus) / (2.0 * h);
        let analytic = f64::from(problem.dx.data[i]);
        assert!(
            (numeric - analytic).abs() <= 1e-5 * (1.0 + analytic.abs()),
            "d/dx[{i}]: numeric {numeric}, analytic {analytic}\n{}",
            case.name
        );
        checked += 1;
    }
    checked
}

#[test]
fn input_gradients_match_central_differences() {
    let checked: usize = smooth_cases().iter().map(check).sum();
    assert!(checked > 1000, "only {checked} derivatives were smooth enough to check");
}

#[test]
fn parameter_gradients_match_central_differences() {
    let mut checked = 0;
    for case in smooth_cases() {
        let problem = case.problem();
        let (x, dy) = (problem.x.to_f64(), problem.dy.to_f64());
        for (name, grad) in &problem.dparams {
            let direction = random(&grad.shape, 77);
            // A directional derivative checks every value of the tensor at once. Weights are f32, hence the larger step.
            let at = |delta: f32| {
                let mut params = problem.params.clone();
                let tensor = params.tensor_mut(name);
                let before = tensor.clone();
                tensor.data.iter_mut().zip(&direction.data).for_each(|(w, d)| *w += delta * d);
                let moved: f64 = tensor
                    .data
                    .iter()
                    .zip(&before.data)
                    .zip(&grad.data)
                    .map(|((a, b), g)| f64::from(a - b) * f64::from(*g))
                    .sum();
                (objective(&case.graph, &params, &x, &dy), moved)
            };
            let h = 1.0 / 4096.0;
            let ((minus, down), (zero, _), (plus, up)) = (at(-h), at(0.0), at(h));
            if (plus - 2.0 * zero + minus).abs() > 1e-6 {
                continue;
            }
            assert!(
                (plus - minus - (up - down)).abs() <= 1e-4 * (up - down).abs() + 1e-6,
                "{name}: objective moved by {}, gradient says {}\n{}",
                plus - minus,
                up - down,
                case.name
            );
            checked += 1;
        }
    }
    assert!(checked > 100, "only {checked} tensors were smooth enough to check");
}

#[test]
fn values_have_the_shapes_the_graph_says() {
    for case in cases() {
        let problem = case.problem();
        let values = reference::forward(&case.graph, &problem.params, &problem.x.to_f64(), None);
        for (v, value) in case.graph.values().zip(&values) {
            assert_eq!(value.shape, case.graph.shape(v).batched(case.batch), "{}", case.name);
        }
        assert_eq!(values[Value::INPUT.index()].data.len(), problem.x.data.len());
    }
}

/// The file that tests/golden/make.py writes.
#[derive(Deserialize)]
struct Golden {
    layers: Vec<GoldenLayer>,
    losses: Vec<GoldenLoss>,
}

#[derive(Deserialize)]
struct GoldenLayer {
    layer: serde_json::Map<String, serde_json::Value>, // its kind beside its attributes
    inputs: Vec<GoldenTensor>,
    params: Vec<GoldenTensor>,
    dy: GoldenTensor,
    y: GoldenTensor,
    dx: Vec<GoldenTensor>,
    dparams: Vec<GoldenTensor>,
}

#[derive(Deserialize)]
struct GoldenLoss {
    loss: Loss,
    labels: Vec<u32>,
    logits: GoldenTensor,
    value: f64,
    grad: GoldenTensor,
}

#[derive(Deserialize)]
struct GoldenTensor {
    shape: Vec<usize>,
    data: Vec<f64>,
}

impl GoldenLayer {
    fn layer(&self) -> Layer {
        let mut attributes = self.layer.clone();
        let kind = attributes.remove("kind").unwrap();
        Layer::from_attributes(kind.as_str().unwrap(), attributes).expect("a known kind").unwrap()
    }
}

impl GoldenTensor {
    fn tensor(&self) -> Tensor<f64> {
        Tensor::new(self.shape.clone(), self.data.clone()).unwrap()
    }

    fn assert_close(&self, got: &Tensor<f64>, what: &str) {
        assert_eq!(self.shape, got.shape, "{what}");
        for (i, (want, got)) in self.data.iter().zip(&got.data).enumerate() {
            assert!((want - got).abs() <= 1e-7 * (1.0 + want.abs()), "{what}[{i}]: JAX says {want}, reference {got}");
        }
    }
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/layers.json")).unwrap()
}

#[test]
fn layers_match_jax() {
    let golden = golden();
    for kind in Layer::KINDS {
        assert!(golden.layers.iter().any(|e| e.layer["kind"] == *kind), "no golden numbers for {kind}");
    }
    for e in golden.layers {
        let layer = e.layer();
        let what = format!("{layer:?}");
        let inputs: Vec<_> = e.inputs.iter().map(GoldenTensor::tensor).collect();
        let params: Vec<_> = e.params.iter().map(GoldenTensor::tensor).collect();
        let (x, p): (Vec<_>, Vec<_>) = (inputs.iter().collect(), params.iter().collect());
        let y = layer.reference().forward(&x, &p, Mode::Inference);
        e.y.assert_close(&y, &format!("{what}: y"));
        let grads = layer.reference().backward(&x, &p, &y, &e.dy.tensor(), Mode::Inference);
        for (want, got) in e.dx.iter().zip(&grads.inputs) {
            want.assert_close(got, &format!("{what}: dx"));
        }
        assert_eq!(e.dparams.len(), grads.params.len(), "{what}");
        let specs = layer.def().params(&inputs.iter().map(|x| Shape::new(&x.shape[1..])).collect::<Vec<_>>());
        for ((want, got), spec) in e.dparams.iter().zip(&grads.params).zip(specs) {
            if spec.role.is_trained() {
                want.assert_close(got, &format!("{what}: gradient of {}", spec.name));
            }
        }
    }
}

#[test]
fn losses_match_jax() {
    for e in golden().losses {
        let (value, grad) = e.loss.forward_backward(&e.logits.tensor(), &e.labels);
        assert!(
            (value - e.value).abs() <= 1e-9 * (1.0 + e.value.abs()),
            "{:?}: JAX says {}, reference {value}",
            e.loss,
            e.value
        );
        e.grad.assert_close(&grad, &format!("{:?}", e.loss));
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Optimized {
    optimizer: Optimizer,
    learning_rate: f32,
    clip_norm: f32,
    /// After each step.
    weights: Vec<[f64; 2]>,
}

#[derive(Deserialize)]
struct Optimizers {
    start: [f64; 2],
    entries: Vec<Optimized>,
}

/// The numbers come from tests/golden/optimizers.py.
#[test]
fn optimizers_agree_with_optax() {
    let golden: Optimizers = serde_json::from_str(include_str!("golden/optimizers.json")).unwrap();
    for e in golden.entries {
        let (mut weights, mut state) = (golden.start, [[0.0; 2]; 2]);
        for (t, want) in (1..).zip(e.weights) {
            let update = Update { optimizer: e.optimizer, learning_rate: e.learning_rate, t };
            let gradients = weights.map(|w| (3.0 * w + f64::from(t)).sin());
            let scale = f64::from(clip_factor(gradients.iter().map(|g| g * g).sum(), e.clip_norm));
            for ((w, g), state) in weights.iter_mut().zip(gradients).zip(&mut state) {
                *w = update.apply(*w, scale * g, state, true);
            }
            for (got, want) in weights.iter().zip(want) {
                assert!((got - want).abs() < 1e-6, "{got} instead of {want} at step {t} of {:?}", e.optimizer);
            }
        }
    }
}

/// The numbers come from tests/golden/gradients.py.
#[test]
fn networks_match_jax() {
    let networks = gradients::networks();
    assert_eq!(networks.len(), 9);
    for n in networks {
        let training = Some((SEED, STEP));
        let values = reference::forward(&n.graph, &n.params, &n.x.to_f64(), training);
        let (mut total, mut seeds) = (0.0, vec![]);
        for output in n.graph.outputs() {
            let weight = f64::from(output.loss_weight);
            let (loss, d) = Loss::CROSS_ENTROPY.forward_backward(&values[output.value.index()], &n.labels);
            total += weight * loss;
            seeds.push((output.value, d.map(|d| d * weight)));
        }
        assert!((total - n.loss).abs() < 1e-7, "{}: {total}, JAX says {}", n.graph.name(), n.loss);
        let (_, gradients) = reference::backward(&n.graph, &n.params, &values, &seeds, training);
        let names = n.graph.params().into_iter().map(|(name, _)| name);
        let gradients: BTreeMap<_, _> = names.zip(gradients.into_iter().flatten()).collect();
        n.check_gradients(1e-7, |name| gradients[name].data.clone());
    }
}

/// The notes' section 3.1: a residual block whose last weights are 0 lets its input through, in training and after it.
/// The same block without its shortcut lets nothing through.
#[test]
fn a_residual_block_with_zeroed_last_weights_is_the_identity() {
    let residual = zoo::ResNet { blocks: vec![2], width: 4, ..zoo::ResNet::cifar(8) };
    for block in [zoo::Block::Basic, zoo::Block::Bottleneck] {
        let residual = zoo::ResNet { block, shortcut: zoo::Shortcut::Projection, ..residual.clone() };
        for (form, identity) in [(residual.clone(), true), (residual.plain(), false)] {
            let graph = zoo::resnet("resnet", &form, zoo::Options::default()).unwrap();
            let mut params = Params::init(&graph, Init::He, 1);
            let last = if block == zoo::Block::Basic { "layer1.1.conv2.weight" } else { "layer1.1.conv3.weight" };
            params.tensor_mut(last).data.fill(0.0);
            for training in [None, Some((SEED, STEP))] {
                let values = reference::forward(&graph, &params, &random(&[2, 3, 32, 32], 1).to_f64(), training);
                let value = |name: &str| {
                    let node = graph.nodes().iter().position(|n| n.name == name).unwrap();
                    &values[Value::of_node(node).index()]
                };
                let (x, y) = (value("layer1.0.relu"), value("layer1.1.relu"));
                assert!(x.data.iter().any(|&v| v > 0.1));
                assert_eq!(y.shape, x.shape);
                assert!(y.data.iter().zip(&x.data).all(|(&y, &x)| y == if identity { x } else { 0.0 }), "{form:?}");
            }
        }
    }
}
