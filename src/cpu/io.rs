//! The way of batches into the arena and out of it.

use super::nchw::{from_chw, to_chw};
use super::operation::ExecContext;
use super::rows::{for_each_sample, reading};
use super::simd::all_finite;
use crate::error::{Error, Result};
use crate::graph::{Graph, INPUT};
use crate::plan::View;
use crate::tensor::{Tensor, dims};

/// The number of samples of an input batch.
///
/// # Errors
/// [`Error::Shape`] and [`Error::NotFinite`].
pub(super) fn check_input(graph: &Graph, x: &Tensor) -> Result<usize> {
    let n = x.shape.first().copied().unwrap_or(0);
    if n == 0 || x.shape[1..] != *graph.input().dims() || x.data.len() != n.saturating_mul(graph.input().elements()) {
        let expected = format!("Nx{} with N of at least 1", graph.input());
        return Err(Error::Shape { tensor: INPUT.into(), expected, actual: dims(&x.shape) });
    }
    check_finite(INPUT, &x.data)?;
    Ok(n)
}

/// # Errors
/// [`Error::NotFinite`] with the first value that is not.
pub(super) fn check_finite(what: &str, x: &[f32]) -> Result<()> {
    if all_finite(x) {
        return Ok(());
    }
    let index = x.iter().position(|v| !v.is_finite()).unwrap_or(0);
    Err(Error::NotFinite { what: format!("tensor `{what}`"), index, value: x[index] })
}

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
