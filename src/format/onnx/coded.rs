//! Weights that a file holds in 8 bits stay so: a quarter of the memory, and what is computed in integers is computed with
//! the file's own codes.

use std::sync::Arc;

use super::host::{Data, Host};
use crate::graph::Param;
use crate::tensor::Tensor;
use crate::tensor::quantized::Quantized;

/// Constants `code * scale`, with one scale, or one for each index of an axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Coded {
    shape: Vec<usize>,
    codes: Vec<i8>,
    scales: Vec<f32>,
    axis: usize,
}

impl Coded {
    /// `(q - zero) * scale` with a zero for each scale, if `q` are bytes of several dimensions and no difference needs a
    /// ninth bit.
    pub(super) fn of(q: &Host, scales: &[f32], zeros: &[f32], axis: usize) -> Option<Self> {
        let (size, inner) = (*q.shape.get(axis)?, q.shape[axis + 1..].iter().product::<usize>());
        if q.shape.len() < 2 || !(scales.len() == 1 || scales.len() == size) {
            return None;
        }
        let code = |(i, q): (usize, f32)| {
            let code = q - zeros[i / inner % size % zeros.len()];
            (code == f32::from(code as i8)).then_some(code as i8)
        };
        let codes: Option<Vec<i8>> = match &q.data {
            Data::Int8(v) if zeros.iter().all(|&zero| zero == 0.0) => Some(v.clone()),
            Data::Int8(v) => v.iter().map(|&q| f32::from(q)).enumerate().map(code).collect(),
            Data::Uint8(v) => v.iter().map(|&q| f32::from(q)).enumerate().map(code).collect(),
            _ => None,
        };
        Some(Coded { shape: q.shape.clone(), codes: codes?, scales: scales.to_vec(), axis })
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// In single precision.
    pub(super) fn floats(&self) -> Tensor {
        let inner: usize = self.shape[self.axis + 1..].iter().product();
        let scale = |i: usize| self.scales[i / inner % self.shape[self.axis] % self.scales.len()];
        let data = self.codes.iter().enumerate().map(|(i, &q)| f32::from(q) * scale(i)).collect();
        Tensor { shape: self.shape.clone(), data }
    }

    /// As weights of a layer, whose outputs come first: they are the first axis or, where a matrix is to be transposed,
    /// the second. `None` where the scales are along another.
    pub(super) fn param(&self, transposed: bool) -> Option<Arc<Param>> {
        let axis = usize::from(transposed);
        let mut shape = self.shape.clone();
        let scales = match self.scales[..] {
            [scale] => vec![scale; shape[axis]],
            _ if self.axis == axis => self.scales.clone(),
            _ => return None,
        };
        let values = match (transposed, &self.shape[..]) {
            (false, _) => self.codes.clone(),
            (true, &[rows, columns]) => {
                shape.reverse();
                (0..columns).flat_map(|c| (0..rows).map(move |r| self.codes[r * columns + c])).collect()
            }
            _ => return None,
        };
        Some(Arc::new(Param::Quantized { shape, quantized: Quantized { values, scales } }))
    }
}
