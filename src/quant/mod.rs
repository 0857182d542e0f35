//! Weights in 8 bits: symmetric, one scale for each output channel, biases untouched. And the range of each layer's inputs,
//! which it must know to compute in integers (`calibration.rs`).
//!
//! Channel `o` of a weight tensor is stored as `q = round(w / s)` with `s = max|w| / 127`. Scales are rounded up to 17
//! significant bits, so that every product `q * s` is exact in f32: quantizing what was quantized changes nothing.

mod calibration;

use serde::Serialize;

pub(crate) use calibration::is_range;
pub use calibration::{Histogram, Method};

use crate::graph::{Graph, Params};
use crate::tensor::Tensor;

/// The largest code of a weight.
pub const WEIGHT_LEVELS: f32 = 127.0;

/// The largest code of a layer's input where it computes in integers: 8 bits, and a sign besides.
pub const INPUT_LEVELS: f32 = 255.0;

/// Weights in 8 bits with the scale of each output channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantized {
    /// Row-major like the tensor they came from.
    pub values: Vec<i8>,
    /// One for each entry of the tensor's first dimension.
    pub scales: Vec<f32>,
}

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

/// Whether a tensor is stored in 8 bits: weights are, vectors (biases, scales, statistics) are not.
pub fn is_quantized(tensor: &Tensor) -> bool {
    tensor.shape.len() > 1
}

/// The 8-bit form of a weight tensor whose first dimension is the output channel.
pub fn quantize(tensor: &Tensor) -> Quantized {
    let channels = tensor.shape[0];
    let mut quantized = Quantized { values: Vec::with_capacity(tensor.data.len()), scales: vec![] };
    for channel in tensor.data.chunks_exact((tensor.data.len() / channels.max(1)).max(1)) {
        let scale = scale(channel.iter().fold(0.0, |m: f32, w| m.max(w.abs())));
        let code =
            |w: &f32| if scale == 0.0 { 0 } else { (w / scale).round().clamp(-WEIGHT_LEVELS, WEIGHT_LEVELS) as i8 };
        quantized.values.extend(channel.iter().map(code));
        quantized.scales.push(scale);
    }
    quantized
}

/// The weights that 8-bit values stand for. `values` must divide evenly among `scales`.
pub fn dequantize(values: &[i8], scales: &[f32]) -> Vec<f32> {
    let channel = (values.len() / scales.len().max(1)).max(1);
    let weights = |(q, &s): (&[i8], &f32)| q.iter().map(|&q| f32::from(q) * s).collect::<Vec<_>>();
    values.chunks(channel).zip(scales).flat_map(weights).collect()
}

/// The weights as they come back from an int8 file.
pub fn round_trip(graph: &Graph, params: &Params) -> Params {
    let mut rounded = params.clone();
    for (name, _) in graph.params() {
        let tensor = params.get(&name);
        if is_quantized(&tensor) {
            let q = quantize(&tensor);
            rounded.get_mut(&name).data = dequantize(&q.values, &q.scales);
        }
    }
    rounded
}

/// What 8 bits cost each weight tensor, in the order of the graph.
pub fn errors(graph: &Graph, params: &Params) -> Vec<TensorError> {
    let rounded = round_trip(graph, params);
    let names = graph.params().into_iter().map(|(name, _)| name).filter(|name| is_quantized(&params.get(name)));
    names.map(|name| compare(&params.get(&name), &rounded.get(&name), name.clone())).collect()
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

/// `largest / 127`, rounded up to 17 significant bits; 0 where the weights are too small for a normal number.
fn scale(largest: f32) -> f32 {
    const LOW_BITS: u32 = (1 << 7) - 1;
    let bits = (largest / WEIGHT_LEVELS).to_bits();
    let scale = f32::from_bits((bits + LOW_BITS) & !LOW_BITS);
    if scale.is_normal() { scale } else { 0.0 }
}

// The browser runs the shared suite, not the unit tests.
#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn errors_stay_within_half_a_step_and_a_second_time_changes_nothing(
            data in proptest::collection::vec(-1e3f32..1e3, 24),
            exponent in -60i32..30,
        ) {
            let data: Vec<f32> = data.iter().map(|w| w * 2f32.powi(exponent)).collect();
            let tensor = Tensor::new([4, 6], data).unwrap();
            let q = quantize(&tensor);
            let back = Tensor::new([4, 6], dequantize(&q.values, &q.scales)).unwrap();
            for (i, (a, b)) in tensor.data.iter().zip(&back.data).enumerate() {
                prop_assert!((a - b).abs() <= q.scales[i / 6] * 0.50001, "{} became {}", a, b);
            }
            prop_assert_eq!(quantize(&back), q);
        }
    }

    #[test]
    fn channels_of_zeros_and_of_dust_stay_finite() {
        let q = quantize(&Tensor::new([3, 2], vec![0.0, 0.0, 1e-44, -1e-44, 3.0, -127.0]).unwrap());
        assert_eq!(q.values, [0, 0, 0, 0, 3, -127]);
        assert_eq!(q.scales, [0.0, 0.0, 1.0]);
    }
}
