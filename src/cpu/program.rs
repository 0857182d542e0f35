//! A plan made ready to run: its operations, their weights and their memory.

use super::algorithm::Prefer;
use super::config::OpConfig;
use super::conv::{conv2d, linear, select};
use super::gemm::weights::Weights;
use super::layers::{
    add, avg_pool2d, batch_norm2d, concat, dropout, elementwise, flatten, hard_swish, local_response_norm, log_softmax,
    max_pool2d, mul, permute, rearrange, softmax,
};
use super::memory::Buffer;
use super::operation::{ExecContext, Operation};
use super::pool::Pool;
use crate::error::{Error, Result};
use crate::graph::{Graph, Params, Ranges};
use crate::layers::Layer;
use crate::plan::{Plan, Purpose, Step};

/// A plan with its operations and their memory, ready to run.
pub(super) struct CompiledPlan {
    pub plan: Plan,
    pub arena: Buffer,
    pub scratch: Buffer,
    pub operations: Vec<Box<dyn Operation>>,
}

/// A plan with its operations, and the memory that it requires.
pub(super) struct MemoryRequirement {
    pub plan: Plan,
    pub operations: Vec<Box<dyn Operation>>,
    /// Floats of scratch memory that the most demanding operation needs.
    pub scratch: usize,
}

impl MemoryRequirement {
    /// Plans a batch of `n` samples and builds the operations.
    ///
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
            let activation_quant = select::activation_quant(graph, ranges, step.node);
            operation(
                graph,
                step,
                &OpConfig { n, pool, training: purpose != Purpose::Inference, prefer, activation_quant },
            )
        };
        let operations: Vec<_> = plan.steps.iter().map(make).collect();
        let scratch = operations.iter().map(|o| o.scratch()).max().unwrap_or(0);
        check_size("floats of scratch memory", scratch as u64)?;
        Ok(MemoryRequirement { plan, operations, scratch })
    }

    /// Allocates the memory.
    pub(super) fn allocate(self) -> CompiledPlan {
        let MemoryRequirement { plan, operations, scratch } = self;
        CompiledPlan { arena: Buffer::zeros(plan.arena), scratch: Buffer::zeros(scratch), operations, plan }
    }
}

impl CompiledPlan {
    /// Bytes of the arena and the scratch memory.
    pub(super) fn bytes(&self) -> usize {
        self.arena.bytes() + self.scratch.bytes()
    }
}

/// Returns a list without a frozen node, for engines that do not train.
pub(super) fn nothing_frozen(graph: &Graph) -> Vec<bool> {
    vec![false; graph.nodes().len()]
}

/// Returns the plan for a batch, if its memory can be addressed. Sizes are checked before the plan adds them up in `usize`:
/// graphs come from files, and on 32-bit machines a sum that wraps would be an arena that is too small.
///
/// # Errors
/// [`Error::TooLarge`] with the number of floats that cannot be addressed.
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

fn operation(graph: &Graph, step: &Step, config: &OpConfig) -> Box<dyn Operation> {
    let node = &graph.nodes()[step.node];
    let s = step.clone();
    match &node.layer {
        Layer::Conv2d(conv) => match conv2d::split_residual_add(conv, step, config) {
            Some([s, sum]) => {
                Box::new(SplitResidualAdd([conv2d::operation(conv, s, config), Box::new(add::Add { step: sum })]))
            }
            None => conv2d::operation(conv, s, config),
        },
        Layer::Linear(linear) => linear::operation(linear, s, config),
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

/// A convolution whose result is requantized, then the sum with a residual input.
struct SplitResidualAdd([Box<dyn Operation>; 2]);

impl Operation for SplitResidualAdd {
    fn forward(&self, ctx: &ExecContext) {
        self.0.iter().for_each(|half| half.forward(ctx));
    }

    fn scratch(&self) -> usize {
        self.0[0].scratch()
    }
}

/// Packs the weights of every node that the plan runs.
pub(super) fn pack(graph: &Graph, params: &Params, plan: &Plan, prefer: Prefer) -> Vec<Option<Weights>> {
    let mut weights = vec![None; graph.nodes().len()];
    for step in &plan.steps {
        weights[step.node] = Weights::of(graph, params, step, prefer);
    }
    weights
}
