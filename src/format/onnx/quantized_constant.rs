//! Constants in 8 bits that a file dequantizes: weights keep the file's own int8 values, which takes a quarter of the
//! memory and lets layers compute in integers.

use std::sync::Arc;

use super::const_tensor::{ConstData, ConstTensor};
use crate::graph::Param;
use crate::tensor::Tensor;
use crate::tensor::quantized::Quantized;

/// A constant `value * scale`: int8 values of at least two dimensions, with one scale for all or one scale for each
/// index of an axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct QuantizedConstant {
    shape: Vec<usize>,
    values: Vec<i8>,
    scales: Vec<f32>,
    axis: usize,
}

impl QuantizedConstant {
    /// Makes `(q - zero) * scale`, with one zero point for each scale. `None` for tensors of fewer than two dimensions,
    /// for other types than int8 and uint8, and for differences that need a ninth bit.
    pub(super) fn new(q: &ConstTensor, scales: &[f32], zeros: &[f32], axis: usize) -> Option<Self> {
        let (size, inner) = (*q.shape.get(axis)?, q.shape[axis + 1..].iter().product::<usize>());
        if q.shape.len() < 2 || !(scales.len() == 1 || scales.len() == size) {
            return None;
        }
        let centered = |(i, q): (usize, f32)| {
            let difference = q - zeros[i / inner % size % zeros.len()];
            (difference == f32::from(difference as i8)).then_some(difference as i8)
        };
        let values: Option<Vec<i8>> = match &q.data {
            ConstData::Int8(v) if zeros.iter().all(|&zero| zero == 0.0) => Some(v.clone()),
            ConstData::Int8(v) => v.iter().map(|&q| f32::from(q)).enumerate().map(centered).collect(),
            ConstData::Uint8(v) => v.iter().map(|&q| f32::from(q)).enumerate().map(centered).collect(),
            _ => None,
        };
        Some(QuantizedConstant { shape: q.shape.clone(), values: values?, scales: scales.to_vec(), axis })
    }

    /// Returns the shape.
    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Computes the products in `f32`.
    pub(super) fn dequantize(&self) -> Tensor {
        let inner: usize = self.shape[self.axis + 1..].iter().product();
        let scale = |i: usize| self.scales[i / inner % self.shape[self.axis] % self.scales.len()];
        let data = self.values.iter().enumerate().map(|(i, &q)| f32::from(q) * scale(i)).collect();
        Tensor { shape: self.shape.clone(), data }
    }

    /// Converts to a layer's weights, whose first axis is the output channel. With `transposed`, the constant is a
    /// matrix `[in, out]`. `None` for scales along another axis than the outputs', and for a transposed tensor that is
    /// no matrix.
    pub(super) fn to_param(&self, transposed: bool) -> Option<Arc<Param>> {
        let axis = usize::from(transposed);
        let mut shape = self.shape.clone();
        let scales = match self.scales[..] {
            [scale] => vec![scale; shape[axis]],
            _ if self.axis == axis => self.scales.clone(),
            _ => return None,
        };
        let values = match (transposed, &self.shape[..]) {
            (false, _) => self.values.clone(),
            (true, &[rows, columns]) => {
                shape.reverse();
                (0..columns).flat_map(|c| (0..rows).map(move |r| self.values[r * columns + c])).collect()
            }
            _ => return None,
        };
        Some(Arc::new(Param::Quantized { shape, quantized: Quantized { values, scales } }))
    }
}
