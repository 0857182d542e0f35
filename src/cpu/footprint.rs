//! What a network takes of the memory, known before any of it is taken.

use serde::Serialize;

use super::algorithm::{Algorithm, Calibrated, Prefer};
use super::conv::select;
use super::engine::READ_AT_ONCE;
use super::gemm::dequant;
use super::gemm::layout::Layout;
use super::pool::Pool;
use super::program::{Sizes, nothing_frozen};
use crate::error::Result;
use crate::graph::{Graph, Ranges};
use crate::layers::Layer;
use crate::plan::{Optimizer, Purpose, Step, rewrite};

/// Bytes that an engine for single samples takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Footprint {
    /// Every weight once, as its file has it or in the order in which kernels read it.
    pub weights: u64,
    /// Of these, the weights that are there in the file's form, because kernels read them in a second one.
    pub originals: u64,
    /// What layers have beside that: Winograd's transforms, and weights that a batch normalisation was folded into or
    /// that are computed in another precision than their file's.
    pub transformed: u64,
    /// Activations and scratch memory.
    pub activations: u64,
    /// What is taken for a while to put weights in order: the largest layers, one on each thread, have both orders.
    pub packing: u64,
}

/// Bytes that training takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrainingFootprint {
    /// As they were given, and twice in the order of the kernels: the present ones and those of the step before.
    pub weights: u64,
    /// One for each weight, and another while batches are accumulated.
    pub gradients: u64,
    /// What the optimizer remembers.
    pub optimizer: u64,
    /// Activations, their gradients and scratch memory for a batch.
    pub activations: u64,
    /// Whether activations are computed again in the backward half rather than kept: about a third more work.
    pub recompute: bool,
}

/// What decides how much memory a training step takes, beside the graph.
#[derive(Clone, Copy, Debug)]
pub struct TrainingSizes {
    /// Samples of a batch.
    pub batch_size: usize,
    /// Batches whose gradients make one update; at least 1.
    pub accumulate: usize,
    /// The formula of the update.
    pub optimizer: Optimizer,
    /// Whether activations are computed again in the backward half rather than kept.
    pub recompute: bool,
}

impl TrainingFootprint {
    /// The bytes that a training step of these sizes takes. Activations are also computed again where more than `limit`
    /// bytes would be taken otherwise.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge) for a graph whose activations cannot be addressed.
    pub fn within(limit: u64, graph: &Graph, sizes: &TrainingSizes, pool: &Pool) -> Result<Self> {
        let kept = Self::of(graph, sizes, pool)?;
        if kept.total() <= limit || sizes.recompute {
            return Ok(kept);
        }
        Self::of(graph, &TrainingSizes { recompute: true, ..*sizes }, pool)
    }

    fn of(graph: &Graph, sizes: &TrainingSizes, pool: &Pool) -> Result<Self> {
        let TrainingSizes { batch_size: batch, accumulate: parts, optimizer, recompute } = *sizes;
        let frozen = nothing_frozen(graph);
        let (prefer, none) = (Prefer::Only(Algorithm::Direct), Ranges::default());
        let purpose = Purpose::Training { input_grad: false, recompute };
        let required = Sizes::of(graph, 1, purpose, &frozen, pool, prefer, &none)?;
        let layout = |step: &Step| Layout::of(&graph.nodes()[step.node].layer, step, prefer, Calibrated::No);
        let steps = &required.plan.steps[..required.plan.forward];
        let packed: u64 = steps.iter().filter_map(layout).map(|layout| 4 * layout.floats() as u64).sum();
        let given: u64 = graph.params().iter().map(|(_, spec)| 4 * spec.elements() as u64).sum();
        Ok(TrainingFootprint {
            weights: given + 2 * packed,
            gradients: packed * if parts > 1 { 2 } else { 1 },
            optimizer: packed * optimizer.moments().len() as u64,
            // A little more than it will be: not all scratch memory grows with the batch.
            activations: 4 * (required.plan.arena as u64 + required.scratch as u64) * batch as u64,
            recompute,
        })
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights + self.gradients + self.optimizer + self.activations
    }
}

impl Footprint {
    /// That of `graph` on so many threads, from weights in 32 bits or, `codes`, in 8.
    ///
    /// # Errors
    /// As [`super::Engine::new`].
    pub fn of(graph: &Graph, codes: bool, ranges: &Ranges, pool: &Pool) -> Result<Self> {
        let prefer = Prefer::default();
        let sizes = Sizes::of(graph, 1, Purpose::Inference, &nothing_frozen(graph), pool, prefer, ranges)?;
        let [arena, scratch] = [sizes.plan.arena, sizes.scratch].map(|floats| 4 * floats as u64);
        let mut all = Footprint { activations: arena + scratch, ..Footprint::default() };
        let stored = |shape: &[usize]| {
            let values = shape.iter().map(|&d| d as u64).product::<u64>();
            if codes && shape.len() > 1 { values + 4 * shape[0] as u64 } else { 4 * values }
        };
        all.weights = graph.params().iter().map(|(_, spec)| stored(&spec.shape)).sum();
        let (folded, mut ordered) = (rewrite::folded(graph), Vec::<u64>::new());
        for step in &sizes.plan.steps {
            let node = &graph.nodes()[step.node];
            let calibrated = select::calibrated(graph, ranges, step.node);
            let Some(layout) = Layout::of(&node.layer, step, prefer, calibrated) else { continue };
            let linear = matches!(node.layer, Layer::Linear(_));
            let order = matches!(layout.algorithm, Algorithm::Direct | Algorithm::Depthwise)
                && !matches!(node.layer, Layer::BatchNorm2d(_))
                && (!codes || linear && dequant::can_hold(&layout));
            if order && !folded[step.node] {
                ordered.push(graph.node_params(node).iter().map(|spec| stored(&spec.shape)).sum());
            } else {
                all.transformed += 4 * layout.floats() as u64;
            }
        }
        all.originals = all.weights - ordered.iter().sum::<u64>();
        for _ in 0..pool.threads().min(ordered.len()) {
            let largest = (0..ordered.len()).max_by_key(|&i| ordered[i]).expect("some are left");
            all.packing += ordered.swap_remove(largest);
        }
        Ok(all)
    }

    /// Whether the file is worth keeping beside the engine for the weights that kernels have in a second form: most are.
    pub fn keeps_file(&self) -> bool {
        2 * self.originals >= self.weights
    }

    /// The most that is taken at once where the file stays outside this memory.
    pub fn peak_beside_file(&self) -> u64 {
        let read = 4 * READ_AT_ONCE as u64 + self.packing;
        self.weights - self.originals + self.transformed + read + self.activations
    }

    /// What is taken once the network is ready.
    pub fn at_rest(&self) -> u64 {
        self.weights + self.transformed + self.activations
    }

    /// The most that is taken at once. What is only put in order comes first, and makes room for transforms.
    pub fn peak(&self) -> u64 {
        self.weights + self.transformed.max(self.packing) + self.activations
    }
}
