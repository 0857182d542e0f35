//! The buffers that a program binds besides its own arena.

use super::device::Buffer;
use super::weights::ParamSegment;
use crate::layers::Loss;
use crate::plan::Optimizer;

/// Memory and settings that only training needs.
pub(super) struct TrainingBuffers {
    pub loss: Loss,
    pub optimizer: Optimizer,
    /// Parameters that the update changes.
    pub segments: Vec<ParamSegment>,
    /// Whether the norm of all gradients has a limit.
    pub clips: bool,
    /// One gradient buffer for each parameter buffer.
    pub grads: Vec<Buffer>,
    /// The optimizer's first and second moments, one buffer for each parameter buffer; empty where not needed.
    pub moments: [Vec<Buffer>; 2],
}

/// Buffers that several programs share.
pub(super) struct SharedBuffers<'a> {
    pub params: &'a [Buffer],
    pub control: &'a Buffer,
    /// Bound in place of buffers that no kernel of the program uses.
    pub dummy: &'a Buffer,
    pub training: Option<&'a TrainingBuffers>,
}
