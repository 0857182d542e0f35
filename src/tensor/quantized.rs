//! Symmetric 8-bit quantization of weight tensors: one scale for each output channel; biases stay floats.
//!
//! Channel `o` of a weight tensor is stored as `q = round(w / s)` with `s = max|w| / 127`. Scales are rounded up to 17
//! significant bits, so that every product `q * s` is exact in f32 and quantizing a dequantized tensor changes nothing.

use super::Tensor;

/// The largest magnitude of a quantized weight.
pub const WEIGHT_LEVELS: f32 = 127.0;

/// The largest magnitude of a quantized activation: 8 bits, and a sign for layers whose input may be negative.
pub const INPUT_LEVELS: f32 = 255.0;

/// 8-bit weights with a scale for each output channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantized {
    /// Quantized values, in the row-major order of the tensor.
    pub values: Vec<i8>,
    /// One scale for each entry of the tensor's first dimension.
    pub scales: Vec<f32>,
}

/// Whether 8-bit files store this tensor in 8 bits: weights are, vectors (biases, scales, statistics) are not.
pub fn is_quantizable(tensor: &Tensor) -> bool {
    tensor.shape.len() > 1
}

/// Quantizes a weight tensor whose first dimension is the output channel.
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

/// Dequantizes `values`, which must divide evenly among `scales`.
pub fn dequantize(values: &[i8], scales: &[f32]) -> Vec<f32> {
    let channel = (values.len() / scales.len().max(1)).max(1);
    let weights = |(q, &s): (&[i8], &f32)| q.iter().map(|&q| f32::from(q) * s).collect::<Vec<_>>();
    values.chunks(channel).zip(scales).flat_map(weights).collect()
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
