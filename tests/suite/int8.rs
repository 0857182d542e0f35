//! What integers must give: layers by plain loops over their codes, to the last bit on every backend, tier and number of
//! threads; and networks beside the references in double precision.

use std::sync::Arc;

use convoke::cpu::{Algorithm, Engine, Pool, Prefer};
use convoke::graph::{Builder, Node, Params, Ranges, Value, reference};
use convoke::layers::{Conv2d, Layer, Linear, Relu};
use convoke::tensor::Tensor;
use convoke::tensor::quantized::{INPUT_LEVELS, quantize};

use super::Case;

/// The largest error of an output, relative to the largest output: of the 8-bit weights' rounding, over a few layers.
const TOLERANCE: f64 = 0.03;

/// Runs a case with all its layers in integers and compares; whether it has such layers. A single layer is run on inputs of
/// both signs, and behind a ReLU, where codes may be bytes.
pub fn check(case: &Case, pools: &[Arc<Pool>]) -> Result<bool, String> {
    if let [node] = case.graph.nodes() {
        behind_relu(case, node, pools)?;
    }
    let (params, x) = case.given();
    let said = |why: String| format!("{why}\n  case: {}", case.name);
    let values = reference::forward(&case.graph, &params, &x.to_f64(), None);
    let (params, want) = match case.graph.nodes() {
        [node] => {
            // A range that cuts some values off.
            let range = 0.8 * largest(&x.data.iter().map(|v| f64::from(*v)).collect::<Vec<_>>());
            let want = match &node.layer {
                Layer::Conv2d(layer) => conv2d(layer, case, &params, &x, range),
                Layer::Linear(layer) => linear(layer, case, &params, &x, range),
                _ => return Ok(false),
            };
            (params.calibrated(&case.graph, &Ranges::from_iter([(node.name.clone(), range)])), Some(want))
        }
        _ => (calibrated(case, params, &values), None),
    };
    let run = |pool| {
        let mut engine =
            Engine::with(&case.graph, &params, pool, Prefer::Only(Algorithm::Int8)).expect("a valid graph");
        let used = engine.steps().iter().any(|s| s.algorithm == Some(Algorithm::Int8));
        used.then(|| engine.run(&x).expect("a valid batch"))
    };
    let Some(got) = run(&pools[0]) else { return Ok(false) };
    for pool in &pools[1..] {
        if run(pool).as_ref() != Some(&got) {
            return Err(said("integers depend on the number of threads".into()));
        }
    }
    match want {
        Some(want) => equal(&got, &want).map_err(said)?,
        None => near(&got, &values[case.graph.outputs()[0].value.index()]).map_err(said)?,
    }
    Ok(true)
}

fn behind_relu(case: &Case, node: &Node, pools: &[Arc<Pool>]) -> Result<(), String> {
    let (params, x) = case.given();
    let positive = Tensor { data: x.data.iter().map(|v| v.max(0.0)).collect(), ..x.clone() };
    let range = 0.8 * largest(&positive.data.iter().map(|v| f64::from(*v)).collect::<Vec<_>>());
    let want = match &node.layer {
        Layer::Conv2d(layer) => conv2d(layer, case, &params, &positive, range),
        Layer::Linear(layer) => linear(layer, case, &params, &positive, range),
        _ => return Ok(()),
    };
    let mut b = Builder::new("behind", case.graph.input().clone());
    let relu = b.add("relu", Relu {}, Value::INPUT);
    let y = b.add(&node.name, node.layer.clone(), relu);
    let graph = b.finish(y).expect("a valid graph");
    let params = params.calibrated(&graph, &Ranges::from_iter([(node.name.clone(), range)]));
    for pool in pools {
        let engine = Engine::with(&graph, &params, pool, Prefer::Only(Algorithm::Int8));
        let mut engine = engine.expect("a valid graph");
        if engine.steps().iter().all(|s| s.algorithm != Some(Algorithm::Int8)) {
            return Ok(());
        }
        let got = engine.run(&x).expect("a valid batch");
        equal(&got, &want).map_err(|why| format!("{why}\n  case: {}, behind a ReLU", case.name))?;
    }
    Ok(())
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

/// Each layer's range as its input is in the references.
fn calibrated(case: &Case, params: Params, values: &[Tensor<f64>]) -> Params {
    let range = |n: &Node| (n.name.clone(), largest(&values[n.inputs[0].index()].data).max(1e-3));
    let ranges = case.graph.nodes().iter().map(range).collect();
    params.calibrated(&case.graph, &ranges)
}

fn codes(x: &Tensor, range: f32) -> Vec<i64> {
    let code = |v: &f32| (v * (INPUT_LEVELS / range)).clamp(-INPUT_LEVELS, INPUT_LEVELS).round_ties_even() as i64;
    x.data.iter().map(code).collect()
}

/// A sum as an output.
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
    let x = codes(x, range);
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
    let x = codes(x, range);
    let k = x.len() / case.batch;
    let sum = |s: usize, o: usize| (0..k).map(|i| x[s * k + i] * weights[o * k + i]).sum();
    let out = layer.out_features;
    (0..case.batch * out).map(|i| outputs.finish(sum(i / out, i % out), i % out)).collect()
}
