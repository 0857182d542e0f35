//! What an engine asks of a layer: to run forward and backward on memory that the plan has laid out.

use super::gemm::weights::Weights;
use super::memory::{Map, Shared};
use super::pool::Pool;
use crate::layers::Mode;
use crate::layers::dropout::training_mode;
use crate::plan::{BackwardStep, View};

/// What an operation may use while it runs.
pub(super) struct Frame<'a> {
    pub arena: Shared,
    pub scratch: Shared,
    /// Samples.
    pub n: usize,
    pub pool: &'a Pool,
    /// By node.
    pub weights: &'a [Option<Weights>],
    pub mode: Dropping,
}

/// Whether dropout drops.
#[derive(Clone, Copy)]
pub(super) enum Dropping {
    Inference,
    Training { seed: u32, step: u32 },
}

impl Dropping {
    /// The mode of a node.
    pub(super) fn of(self, node: usize) -> Mode {
        match self {
            Dropping::Inference => Mode::Inference,
            Dropping::Training { seed, step } => training_mode(seed, step, node),
        }
    }
}

impl Frame<'_> {
    /// The batch of maps at a place of the plan.
    pub(super) fn map(&self, view: View) -> Map {
        // SAFETY: the arena is as large as the plan asks for, and `place` is one of the plan's.
        unsafe { Map::new(self.arena, view, self.n) }
    }

    /// The weights of a node whose layer has some.
    pub(super) fn weights(&self, node: usize) -> &Weights {
        self.weights[node].as_ref().expect("the engine packed the weights of each such node")
    }
}

/// A step of a plan, ready to run.
pub(super) trait Operation: Send + Sync {
    /// Writes the step's output, the activation included.
    fn forward(&self, frame: &Frame);

    /// Writes the gradients of its inputs (and parameters), given `step.dy` in which the fused activation's derivative
    /// is already multiplied. Never called on what is chosen only for inference.
    fn backward(&self, _frame: &Frame, _step: &BackwardStep, _gradients: Option<&mut Weights>) {
        unreachable!("chosen for inference only");
    }

    /// Floats of scratch memory it needs.
    fn scratch(&self) -> usize {
        0
    }
}
