//! The error that 8-bit weights cause.

use serde::Serialize;

use crate::graph::{Graph, Params};
use crate::tensor::Tensor;
use crate::tensor::quantized::{dequantize, is_quantizable, quantize};

/// The difference between a tensor and its 8-bit version.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TensorError {
    /// The tensor's name.
    pub name: String,
    /// The number of values.
    pub values: usize,
    /// The largest magnitude of a difference.
    pub max_error: f32,
    /// The root mean square of the differences, divided by the root mean square of the weights; 0 for weights of zeros.
    pub relative_rms: f32,
}

/// Returns the parameters as an int8 file would hold them: weights quantized and dequantized, vectors unchanged.
///
/// # Panics
/// Panics when `params` belong to another graph, and for values that have not been read from their file.
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

/// Returns the error of 8 bits for each weight tensor, in the order of the graph.
///
/// # Panics
/// Panics when `params` belong to another graph, and for values that have not been read from their file.
///
/// # Examples
/// ```
/// use convoke::graph::{Init, Params};
/// use convoke::quant;
/// use convoke::zoo::{self, Options};
/// let graph = zoo::network("lenet5", Options::default())?;
/// let params = Params::init(&graph, Init::He, 1);
/// let errors = quant::errors(&graph, &params);
/// assert_eq!(errors[0].name, "conv1.weight");
/// assert!(errors.iter().all(|error| error.relative_rms < 0.01));
/// # Ok::<(), convoke::Error>(())
/// ```
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
