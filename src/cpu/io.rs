//! The way of batches into the arena and out of it.

use super::nchw::{from_chw, to_chw};
use super::operation::ExecContext;
use super::rows::{for_each_sample, reading};
use crate::plan::View;
use crate::tensor::Tensor;

/// Copies a batch from NCHW to its place.
pub(super) fn import(frame: &ExecContext, x: &Tensor, view: View) {
    let sample = x.data.len() / frame.n;
    for_each_sample(frame.pool, frame.n, sample, [], &mut frame.map(view), |s, [], map| {
        from_chw(&x.data[s * sample..][..sample], map, s, false);
    });
}

/// Copies a batch from its place to NCHW.
pub(super) fn export(frame: &ExecContext, view: View, shape: Vec<usize>) -> Tensor {
    let map = frame.map(view);
    let mut y = Tensor::zeros(shape);
    let sample = y.data.len() / frame.n;
    let [rows] = reading([&map]);
    y.data.chunks_exact_mut(sample).enumerate().for_each(|(s, to)| to_chw(rows, s, to));
    y
}
