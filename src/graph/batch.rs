//! Checks of tensors that callers pass to engines and trainers.

use super::network::Graph;
use super::node::INPUT;
use super::param::is_finite;
use crate::error::{Error, Result};
use crate::tensor::{Tensor, dims};

impl Graph {
    /// Returns the number of samples of `x`, a batch of inputs.
    ///
    /// # Shapes
    /// `x` is `[N, ...input]` with N of at least 1.
    ///
    /// # Errors
    /// [`Error::Shape`] for another shape, [`Error::NotFinite`] for NaN or infinity.
    pub(crate) fn check_batch(&self, x: &Tensor) -> Result<usize> {
        let n = x.shape.first().copied().unwrap_or(0);
        if n == 0 || x.shape[1..] != *self.input().dims() || x.data.len() != n.saturating_mul(self.input().elements()) {
            let expected = format!("Nx{} with N of at least 1", self.input());
            return Err(Error::Shape { tensor: INPUT.into(), expected, actual: dims(&x.shape) });
        }
        check_finite(INPUT, &x.data)?;
        Ok(n)
    }

    /// Checks `dy`, a gradient of the main output for `n` samples, and returns its shape.
    ///
    /// # Errors
    /// [`Error::Shape`] for another shape, [`Error::NotFinite`] for NaN or infinity.
    pub(crate) fn check_output_gradient(&self, dy: &Tensor, n: usize) -> Result<Vec<usize>> {
        let shape = self.shape(self.outputs()[0].value).batched(n);
        if dy.shape != shape || dy.data.len() != shape.iter().product::<usize>() {
            return Err(Error::Shape { tensor: "dy".into(), expected: dims(&shape), actual: dims(&dy.shape) });
        }
        check_finite("dy", &dy.data)?;
        Ok(shape)
    }
}

/// Checks that all values of the tensor `name` are finite.
///
/// # Errors
/// [`Error::NotFinite`] with the first value that is NaN or infinite.
fn check_finite(name: &str, values: &[f32]) -> Result<()> {
    if is_finite(values) {
        return Ok(());
    }
    let index = values.iter().position(|v| !v.is_finite()).unwrap_or(0);
    Err(Error::NotFinite { what: format!("tensor `{name}`"), index, value: values[index] })
}
