//! Matrices for the tests of this folder.

use super::panels::Panels;
use crate::rng::Rng;

/// The panels of the matrix whose element in row `k` and column `n` is `at(k, n)`.
pub(crate) fn packed(panels: Panels, at: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    let mut packed = vec![0.0; panels.floats()];
    for n in 0..panels.n {
        let (start, width) = panels.view(n);
        (0..panels.k).for_each(|k| packed[start + k * width] = at(k, n));
    }
    packed
}

/// Floats in -1..1 that only `stream` decides.
pub(crate) fn random(n: usize, stream: u32) -> Vec<f32> {
    let mut rng = Rng::new(3, stream);
    (0..n).map(|_| rng.range(-1.0, 1.0)).collect()
}

/// Asserts that a sum is right but for rounding.
#[track_caller]
pub(crate) fn close(got: f32, want: f64) {
    assert!((f64::from(got) - want).abs() < 1e-5, "{got} instead of {want}");
}
