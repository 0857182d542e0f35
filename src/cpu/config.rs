//! The configuration that operations are built with.

use super::algorithm::{ActivationQuant, Prefer};
use super::pool::Pool;

/// The batch, threads and purpose that an operation is built for.
pub(super) struct OpConfig<'a> {
    /// Samples of a batch.
    pub n: usize,
    pub pool: &'a Pool,
    pub training: bool,
    pub prefer: Prefer,
    /// How the inputs of the layer are quantized.
    pub activation_quant: ActivationQuant,
}
