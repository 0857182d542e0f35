//! Post-training quantization: the error that 8-bit weights cause ([`crate::tensor::quantized`] is their form), and
//! calibration, which finds the range of each layer's input (`calibration.rs`).

mod calibration;

use serde::Serialize;

pub(crate) use calibration::is_range;
pub use calibration::{Histogram, Method};

use crate::graph::{Graph, Params};
use crate::tensor::Tensor;
use crate::tensor::quantized::{dequantize, is_quantizable, quantize};

/// What 8 bits cost one tensor.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TensorError {
    /// The tensor's name.
    pub name: String,
    /// Its number of values.
    pub values: usize,
    /// The largest difference of a weight.
    pub max_error: f32,
    /// Root mean square of the differences, relative to that of the weights.
    pub relative_rms: f32,
}

/// The weights as they come back from an int8 file.
pub fn round_trip(graph: &Graph, params: &Params) -> Params {
    let mut rounded = params.clone();
    for (name, _) in graph.params() {
        let tensor = params.tensor(&name);
        if is_quantizable(&tensor) {
            let q = quantize(&tensor);
            rounded.tensor_mut(&name).data = dequantize(&q.values, &q.scales);
        }
    }
    rounded
}

/// What 8 bits cost each weight tensor, in the order of the graph.
pub fn errors(graph: &Graph, params: &Params) -> Vec<TensorError> {
    let rounded = round_trip(graph, params);
    let names = graph.params().into_iter().map(|(name, _)| name).filter(|name| is_quantizable(&params.tensor(name)));
    names.map(|name| compare(&params.tensor(&name), &rounded.tensor(&name), name.clone())).collect()
}

fn compare(before: &Tensor, after: &Tensor, name: String) -> TensorError {
    let (mut max_error, mut error, mut power) = (0f32, 0f64, 0f64);
    for (b, a) in before.data.iter().zip(&after.data) {
        max_error = max_error.max((b - a).abs());
        error += f64::from(b - a).powi(2);
        power += f64::from(*b).powi(2);
    }
    let relative_rms = if power > 0.0 { (error / power).sqrt() as f32 } else { 0.0 };
    TensorError { name, values: before.data.len(), max_error, relative_rms }
}
