//! What operations are made for.

use super::algorithm::{Calibrated, Prefer};
use super::pool::Pool;

/// What operations are made for.
pub(super) struct Setting<'a> {
    /// Samples.
    pub n: usize,
    pub pool: &'a Pool,
    pub training: bool,
    pub prefer: Prefer,
    /// What is known of this layer's inputs.
    pub calibrated: Calibrated,
}
