//! Adaptive average pooling as matrices. ONNX has no such operator, so poolings whose windows differ in size are
//! written as products with these matrices and recognized by them.

use crate::layers::AdaptiveAvgPool2d;
use crate::tensor::Tensor;

/// Returns the matrix `[out, in]` that pools one axis from `input` to `out` means.
pub(super) fn adaptive_matrix(out: usize, input: usize) -> Tensor {
    let mut matrix = Tensor::zeros([out, input]);
    for o in 0..out {
        let range = AdaptiveAvgPool2d::range(o, out, input);
        let mean = 1.0 / range.len() as f32;
        range.for_each(|i| matrix.data[o * input + i] = mean);
    }
    matrix
}
