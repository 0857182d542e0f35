//! What an engine asks of a layer: to run forward and backward on memory that the plan has laid out.

use super::algorithm::{Calibrated, Prefer};
use super::memory::{Buffer, Map, Shared};
use super::pool::Pool;
use super::weights::Weights;
use super::{
    add, avg_pool2d, batch_norm2d, concat, conv2d, dropout, elementwise, flatten, hard_swish, linear,
    local_response_norm, log_softmax, max_pool2d, mul, permute, rearrange, softmax,
};
use crate::error::{Error, Result};
use crate::graph::{Graph, Ranges};
use crate::layers::dropout::training_mode;
use crate::layers::{Layer, Mode};
use crate::plan::{BackwardStep, Plan, Purpose, Step, View};

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

/// A plan with its memory and operations.
pub(super) struct Ready {
    pub plan: Plan,
    pub arena: Buffer,
    pub scratch: Buffer,
    pub operations: Vec<Box<dyn Operation>>,
}

/// A plan, and how much memory it needs.
pub(super) struct Sizes {
    pub plan: Plan,
    pub operations: Vec<Box<dyn Operation>>,
    /// Floats.
    pub scratch: usize,
}

impl Sizes {
    /// # Errors
    /// [`Error::TooLarge`] when the arena or the scratch memory cannot be addressed.
    pub(super) fn of(
        graph: &Graph,
        n: usize,
        purpose: Purpose,
        frozen: &[bool],
        pool: &Pool,
        prefer: Prefer,
        ranges: &Ranges,
    ) -> Result<Self> {
        let plan = plan(graph, n, purpose, frozen)?;
        let make = |step: &Step| {
            let calibrated = Calibrated::of(graph, ranges, step.node);
            operation(graph, step, &Setting { n, pool, training: purpose != Purpose::Inference, prefer, calibrated })
        };
        let operations: Vec<_> = plan.steps.iter().map(make).collect();
        let scratch = operations.iter().map(|o| o.scratch()).max().unwrap_or(0);
        check_size("floats of scratch memory", scratch as u64)?;
        Ok(Sizes { plan, operations, scratch })
    }

    /// With the memory.
    pub(super) fn allocate(self) -> Ready {
        let Sizes { plan, operations, scratch } = self;
        Ready { arena: Buffer::zeros(plan.arena), scratch: Buffer::zeros(scratch), operations, plan }
    }
}

impl Ready {
    pub(super) fn bytes(&self) -> usize {
        self.arena.bytes() + self.scratch.bytes()
    }
}

/// For engines that only run.
pub(super) fn nothing_frozen(graph: &Graph) -> Vec<bool> {
    vec![false; graph.nodes().len()]
}

/// The plan for a batch, if its memory can be addressed. Sizes are checked before the plan adds them up in `usize`:
/// graphs come from files, and on 32-bit machines a sum that wraps would be an arena that is too small.
///
/// # Errors
/// [`Error::TooLarge`].
pub(super) fn plan(graph: &Graph, n: usize, purpose: Purpose, frozen: &[bool]) -> Result<Plan> {
    // A value and its gradient, each with the arena's alignment.
    let floats = |v| 2 * (graph.shape(v).elements() as u64 + 64);
    check_size("floats of values of one sample", graph.values().map(floats).sum())?;
    let one = Plan::with_frozen(graph, 1, purpose, frozen);
    check_size("floats of activations", (one.arena as u64).saturating_mul(n as u64))?;
    if n == 1 {
        return Ok(one);
    }
    let plan = Plan::with_frozen(graph, n, purpose, frozen);
    check_size("floats of activations", plan.arena as u64)?;
    Ok(plan)
}

/// Offsets into maps are kept in 32 bits, and on 32-bit machines memory ends before that.
fn check_size(what: &str, floats: u64) -> Result<()> {
    let limit = (isize::MAX as u64 / size_of::<f32>() as u64).min(u64::from(u32::MAX));
    if floats > limit {
        return Err(Error::TooLarge { what: what.into(), actual: floats, limit });
    }
    Ok(())
}

fn operation(graph: &Graph, step: &Step, setting: &Setting) -> Box<dyn Operation> {
    let node = &graph.nodes()[step.node];
    let s = step.clone();
    match &node.layer {
        Layer::Conv2d(conv) => conv2d::operation(conv, s, setting),
        Layer::Linear(linear) => linear::operation(linear, s, setting),
        Layer::MaxPool2d(pool) => Box::new(max_pool2d::MaxPool2d::new(pool, s)),
        Layer::AvgPool2d(pool) => Box::new(avg_pool2d::AvgPool2d::new(pool, s)),
        Layer::GlobalAvgPool(_) => Box::new(avg_pool2d::AvgPool2d::adaptive(s)),
        Layer::AdaptiveAvgPool2d(_) => Box::new(avg_pool2d::AvgPool2d::adaptive(s)),
        Layer::BatchNorm2d(norm) => Box::new(batch_norm2d::BatchNorm2d { step: s, layer: *norm }),
        Layer::LocalResponseNorm(norm) => Box::new(local_response_norm::LocalResponseNorm { step: s, layer: *norm }),
        Layer::HardSwish(_) => Box::new(hard_swish::HardSwish { step: s }),
        Layer::LogSoftmax(_) => Box::new(log_softmax::LogSoftmax { step: s }),
        Layer::Mul(_) => Box::new(mul::Mul { step: s }),
        Layer::Pad(pad) => Box::new(rearrange::Rearrange::pad(pad, s)),
        Layer::Slice(slice) => Box::new(rearrange::Rearrange::slice(slice, s)),
        Layer::ChannelShuffle(shuffle) => Box::new(rearrange::Rearrange::shuffle(shuffle, s)),
        Layer::Permute(permute) => Box::new(permute::Permute { step: s, layer: *permute }),
        Layer::Relu(_)
        | Layer::Sigmoid(_)
        | Layer::Tanh(_)
        | Layer::LeakyRelu(_)
        | Layer::Clip(_)
        | Layer::HardSigmoid(_)
        | Layer::FakeQuantize(_) => {
            let activation = node.layer.activation().expect("these layers are activations");
            Box::new(elementwise::Elementwise { step: s, activation })
        }
        Layer::Softmax(_) => Box::new(softmax::Softmax { step: s }),
        Layer::Dropout(dropout) => Box::new(dropout::Dropout { step: s, layer: *dropout }),
        Layer::Flatten(_) => Box::new(flatten::Flatten { step: s }),
        Layer::Add(_) => Box::new(add::Add { step: s }),
        Layer::Concat(_) => Box::new(concat::Concat { step: s }),
    }
}
