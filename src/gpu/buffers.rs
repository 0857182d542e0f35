//! The buffers that a program binds besides its own arena.

use super::device::Buffer;
use super::weights::Segment;
use crate::layers::Loss;
use crate::plan::Optimizer;

/// What training adds to the device's memory.
pub(super) struct TrainingBuffers {
    pub loss: Loss,
    pub optimizer: Optimizer,
    /// What is updated.
    pub segments: Vec<Segment>,
    /// Whether the norm of all gradients has a limit.
    pub clips: bool,
    pub grads: Vec<Buffer>,
    /// For each bank, the optimizer's moments.
    pub state: [Vec<Buffer>; 2],
}

/// The buffers that a program works on, besides its own arena.
pub(super) struct Buffers<'a> {
    pub params: &'a [Buffer],
    pub control: &'a Buffer,
    /// Bound where nothing is needed.
    pub nothing: &'a Buffer,
    pub training: Option<&'a TrainingBuffers>,
}
