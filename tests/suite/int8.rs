//! Layers in 8-bit integers: single layers equal plain loops over their quantized values, to the last bit on every tier and
//! number of threads; networks stay near the references in double precision.

use std::sync::Arc;

use convoke::cpu::{Algorithm, Engine, Pool, Prefer};
use convoke::graph::{Builder, Graph, Node, Params, Ranges, Value, reference};
use convoke::layers::{Conv2d, Layer, Linear, Relu};
use convoke::tensor::Tensor;
use convoke::tensor::quantized::{INPUT_LEVELS, quantize};

use super::Case;

/// The largest error of an output, relative to the largest output: the rounding of 8-bit weights over a few layers.
const TOLERANCE: f64 = 0.03;

/// Tells whether the CPU engine computes a layer of this case in integers once its range is known.
pub fn applies(case: &Case) -> bool {
    let ranges = case.graph.nodes().iter().map(|node| (node.name.clone(), 1.0)).collect();
    let params = case.given().0.calibrated(&case.graph, &ranges);
    uses_integers(&engine(&case.graph, &params, &Pool::single()))
}

/// Runs a case to which [`applies`] applies, with all its layers in integers, and compares the results. Runs a single layer
/// on inputs of both signs, and behind a ReLU, after which quantized inputs may be unsigned bytes.
pub fn check(case: &Case, pools: &[Arc<Pool>]) -> Result<(), String> {
    let said = |why: String| format!("{why}\n  case: {}", case.name);
    let (params, x) = case.given();
    match case.graph.nodes() {
        [node] => {
            let [want, positive] = [x.clone(), x.map(|v| v.max(0.0))].map(|x| one_layer(case, node, &params, &x));
            behind_relu(case, node, positive, pools).map_err(|why| said(format!("behind a ReLU: {why}")))?;
            let params = params.calibrated(&case.graph, &Ranges::from_iter([(node.name.clone(), want.range)]));
            equal(&run(&case.graph, &params, &x, pools).map_err(said)?, &want.y).map_err(said)
        }
        _ => {
            let values = reference::forward(&case.graph, &params, &x.to_f64(), None);
            let got = run(&case.graph, &calibrated(case, params, &values), &x, pools).map_err(said)?;
            near(&got, &values[case.graph.outputs()[0].value.index()]).map_err(said)
        }
    }
}

fn engine(graph: &Graph, params: &Params, pool: &Arc<Pool>) -> Engine {
    Engine::with(graph, params, pool, Prefer::Only(Algorithm::Int8)).expect("a valid graph")
}

fn uses_integers(engine: &Engine) -> bool {
    engine.steps().iter().any(|step| step.algorithm == Some(Algorithm::Int8))
}

/// Runs the network in integers on each pool, and returns the result if it is identical on all of them.
fn run(graph: &Graph, params: &Params, x: &Tensor, pools: &[Arc<Pool>]) -> Result<Tensor, String> {
    let results = pools.iter().map(|pool| {
        let mut engine = engine(graph, params, pool);
        assert!(uses_integers(&engine), "no layer is computed in integers");
        engine.run(x).expect("a valid batch")
    });
    let mut results: Vec<Tensor> = results.collect();
    if results.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err("integers depend on the number of threads".into());
    }
    Ok(results.swap_remove(0))
}

/// The output of a layer by plain loops over integers, and the range that its input was quantized for.
struct Wanted {
    y: Vec<f32>,
    range: f32,
}

/// Computes a layer in integers, with a range that clips some of its inputs.
fn one_layer(case: &Case, node: &Node, params: &Params, x: &Tensor) -> Wanted {
    let range = 0.8 * largest(&x.to_f64().data);
    let y = match &node.layer {
        Layer::Conv2d(layer) => conv2d(layer, case, params, x, range),
        Layer::Linear(layer) => linear(layer, case, params, x, range),
        other => panic!("no integers for {}", other.kind()),
    };
    Wanted { y, range }
}

fn behind_relu(case: &Case, node: &Node, want: Wanted, pools: &[Arc<Pool>]) -> Result<(), String> {
    let (params, x) = case.given();
    let mut b = Builder::new("behind", case.graph.input().clone());
    let relu = b.add("relu", Relu {}, Value::INPUT);
    let y = b.add(&node.name, node.layer.clone(), relu);
    let graph = b.finish(y).expect("a valid graph");
    let params = params.calibrated(&graph, &Ranges::from_iter([(node.name.clone(), want.range)]));
    equal(&run(&graph, &params, &x, pools)?, &want.y)
}

fn equal(got: &Tensor, want: &[f32]) -> Result<(), String> {
    match got.data.iter().zip(want).position(|(a, b)| a != b) {
        _ if got.data.len() != want.len() => Err(format!("{} values instead of {}", got.data.len(), want.len())),
        Some(i) => Err(format!("value {i} is {} instead of {}", got.data[i], want[i])),
        None => Ok(()),
    }
}

fn near(got: &Tensor, want: &Tensor<f64>) -> Result<(), String> {
    let scale = f64::from(largest(&want.data));
    let error = got.data.iter().zip(&want.data).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
    // The negation also catches NaN.
    if !(error <= TOLERANCE * scale) {
        return Err(format!("an output is {error} away, of at most {scale}"));
    }
    Ok(())
}

fn largest(values: &[f64]) -> f32 {
    values.iter().fold(0.0, |m, v| v.abs().max(m)) as f32
}

/// Returns parameters with each layer's range, taken from its input's largest value in the references.
fn calibrated(case: &Case, params: Params, values: &[Tensor<f64>]) -> Params {
    let range = |n: &Node| (n.name.clone(), largest(&values[n.inputs[0].index()].data).max(1e-3));
    let ranges = case.graph.nodes().iter().map(range).collect();
    params.calibrated(&case.graph, &ranges)
}

/// Quantizes values of at most `range` symmetrically.
fn quantized(x: &Tensor, range: f32) -> Vec<i64> {
    let level = |v: &f32| (v * (INPUT_LEVELS / range)).clamp(-INPUT_LEVELS, INPUT_LEVELS).round_ties_even() as i64;
    x.data.iter().map(level).collect()
}

/// Turns integer sums into a layer's outputs.
struct Outputs {
    step: f32,
    scales: Vec<f32>,
    bias: Option<Vec<f32>>,
}

impl Outputs {
    fn of(params: &Params, name: &str, has_bias: bool, range: f32) -> (Vec<i64>, Self) {
        let weights = quantize(&params.tensor(&format!("{name}.weight")));
        let bias = has_bias.then(|| params.tensor(&format!("{name}.bias")).data.clone());
        let values = weights.values.iter().map(|&q| i64::from(q)).collect();
        (values, Outputs { step: range / INPUT_LEVELS, scales: weights.scales, bias })
    }

    fn finish(&self, sum: i64, o: usize) -> f32 {
        sum as f32 * (self.step * self.scales[o]) + self.bias.as_ref().map_or(0.0, |b| b[o])
    }
}

fn conv2d(layer: &Conv2d, case: &Case, params: &Params, x: &Tensor, range: f32) -> Vec<f32> {
    let (weights, outputs) = Outputs::of(params, &case.graph.nodes()[0].name, layer.bias, range);
    let (c, h, w) = case.graph.input().chw();
    let (oc, oh, ow) = case.graph.shape(Value::of_node(0)).chw();
    let ([kh, kw], [sy, sx], [dy, dx]) = (layer.window.kernel, layer.window.stride, layer.window.dilation);
    let [top, left, ..] = layer.window.pads([h, w]);
    let (cig, cog) = (c / layer.groups, oc / layer.groups);
    let x = quantized(x, range);
    let mut y = vec![];
    for i in 0..case.batch * oc * oh * ow {
        let (s, o, oy, ox) = (i / (oc * oh * ow), i / (oh * ow) % oc, i / ow % oh, i % ow);
        let mut sum = 0;
        for k in 0..cig * kh * kw {
            let (ci, ky, kx) = (k / (kh * kw), k / kw % kh, k % kw);
            let (iy, ix) = ((oy * sy + ky * dy).wrapping_sub(top), (ox * sx + kx * dx).wrapping_sub(left));
            if iy < h && ix < w {
                sum += x[((s * c + o / cog * cig + ci) * h + iy) * w + ix] * weights[o * cig * kh * kw + k];
            }
        }
        y.push(outputs.finish(sum, o));
    }
    y
}

fn linear(layer: &Linear, case: &Case, params: &Params, x: &Tensor, range: f32) -> Vec<f32> {
    let (weights, outputs) = Outputs::of(params, &case.graph.nodes()[0].name, layer.bias, range);
    let x = quantized(x, range);
    let k = x.len() / case.batch;
    let sum = |s: usize, o: usize| (0..k).map(|i| x[s * k + i] * weights[o * k + i]).sum();
    let out = layer.out_features;
    (0..case.batch * out).map(|i| outputs.finish(sum(i / out, i % out), i % out)).collect()
}
