//! The purpose of a plan.

/// The purpose of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Classification: only the main output is computed, and memory is reused as soon as a value has no reader left.
    Inference,
    /// A training step: all outputs are computed, and values are kept until the backward half has read them.
    Training {
        /// Whether the gradient of the network's input is computed.
        input_grad: bool,
        /// Whether values are recomputed instead of kept, where that saves memory; costs about a third more work.
        recompute: bool,
    },
}

impl Purpose {
    pub(super) fn is_training(self) -> bool {
        self != Purpose::Inference
    }

    pub(super) fn wants_input_grad(self) -> bool {
        matches!(self, Purpose::Training { input_grad: true, .. })
    }
}
