//! The interface of layers on the CPU: run forward and backward on memory that the plan has laid out.

use super::gemm::weights::Weights;
use super::memory::{FloatPtr, Map};
use super::pool::Pool;
use crate::layers::Mode;
use crate::layers::dropout::training_mode;
use crate::plan::{BackwardStep, View};

/// The memory, weights and threads that an operation may use while it runs.
pub(super) struct ExecContext<'a> {
    pub arena: FloatPtr,
    pub scratch: FloatPtr,
    /// Samples of the batch.
    pub n: usize,
    pub pool: &'a Pool,
    /// The packed weights of each node of the graph; `None` for nodes without weights.
    pub weights: &'a [Option<Weights>],
    pub mode: DropoutMode,
}

/// Mode of dropout: inference keeps every value, training draws a mask from a seed and the number of the step.
#[derive(Clone, Copy)]
pub(super) enum DropoutMode {
    Inference,
    Training { seed: u32, step: u32 },
}

impl DropoutMode {
    /// Returns the mode of a node.
    pub(super) fn of(self, node: usize) -> Mode {
        match self {
            DropoutMode::Inference => Mode::Inference,
            DropoutMode::Training { seed, step } => training_mode(seed, step, node),
        }
    }
}

impl ExecContext<'_> {
    /// Returns the batch of maps at a view of the plan.
    pub(super) fn map(&self, view: View) -> Map {
        // SAFETY: the arena is as large as the plan requires, and the plan's views lie within it.
        unsafe { Map::new(self.arena, view, self.n) }
    }

    /// Returns the packed weights of a node whose layer has weights.
    pub(super) fn weights(&self, node: usize) -> &Weights {
        self.weights[node].as_ref().expect("the engine packed the weights of each such node")
    }
}

/// A step of a plan, compiled for the CPU.
pub(super) trait Operation: Send + Sync {
    /// Writes the step's output, the activation included.
    fn forward(&self, ctx: &ExecContext);

    /// Writes the gradients of the inputs and parameters. `step.dy` already includes the derivative of the fused
    /// activation.
    ///
    /// # Panics
    /// If the operation is for inference only.
    fn backward(&self, _frame: &ExecContext, _step: &BackwardStep, _gradients: Option<&mut Weights>) {
        unreachable!("chosen for inference only");
    }

    /// Floats of scratch memory that the operation needs.
    fn scratch(&self) -> usize {
        0
    }
}
