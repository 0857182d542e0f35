//! Checks of what callers pass.

use crate::error::{Error, Result};
use crate::graph::{Graph, INPUT};
use crate::tensor::{Tensor, dims};

/// Returns the number of samples of `x`, a batch of inputs of `graph`.
///
/// # Errors
/// [`Error::Shape`] for another shape, [`Error::NotFinite`] for NaN or infinity.
pub(super) fn check_batch(graph: &Graph, x: &Tensor) -> Result<usize> {
    let n = x.shape.first().copied().unwrap_or(0);
    if n == 0 || x.shape[1..] != *graph.input().dims() || x.data.len() != n.saturating_mul(graph.input().elements()) {
        let expected = format!("Nx{} with N of at least 1", graph.input());
        return Err(Error::Shape { tensor: INPUT.into(), expected, actual: dims(&x.shape) });
    }
    check_finite(INPUT, &x.data)?;
    Ok(n)
}

/// # Errors
/// [`Error::NotFinite`] with the first value that is NaN or infinite.
pub(super) fn check_finite(what: &str, x: &[f32]) -> Result<()> {
    match x.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(Error::NotFinite { what: format!("tensor `{what}`"), index, value: x[index] }),
        None => Ok(()),
    }
}
