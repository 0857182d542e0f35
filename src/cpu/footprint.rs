//! The memory that a network takes, computed before any is allocated.

use serde::Serialize;

use super::algorithm::{ActivationQuant, Algorithm, Prefer};
use super::conv::select;
use super::engine::READ_AT_ONCE;
use super::gemm::dequant;
use super::gemm::layout::Layout;
use super::pool::Pool;
use super::program::{MemoryRequirement, nothing_frozen};
use crate::error::Result;
use crate::graph::{Graph, Ranges};
use crate::layers::Layer;
use crate::plan::{Optimizer, Purpose, Step, rewrite};

/// Bytes that an engine for single samples takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Footprint {
    /// Every weight once, in the form of the file or packed.
    pub weights: u64,
    /// The part of `weights` that stays in the form of the file, because kernels read a second form.
    pub originals: u64,
    /// The second forms: Winograd's transformed kernels, weights with a folded batch normalisation, and weights that are
    /// computed in another precision than the file's.
    pub transformed: u64,
    /// Activations and scratch memory.
    pub activations: u64,
    /// Temporary memory of packing: the largest layers, one on each thread, have both orders.
    pub packing: u64,
}

/// Bytes that training takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrainingFootprint {
    /// Weights as they were given, and packed twice: the present ones and the ones before the last step.
    pub weights: u64,
    /// One gradient for each weight, and two when micro-batches are accumulated.
    pub gradients: u64,
    /// The moments of the optimizer.
    pub optimizer: u64,
    /// Activations, their gradients and scratch memory for a batch.
    pub activations: u64,
    /// True if activations are recomputed in the backward half instead of kept: about a third more work.
    pub recompute: bool,
}

/// The options that decide, with the graph, how much memory a training step takes.
#[derive(Clone, Copy, Debug)]
pub struct TrainingSizes {
    /// Samples of a batch.
    pub batch_size: usize,
    /// Batches whose gradients make one update; at least 1.
    pub accumulate: usize,
    /// The formula of the update.
    pub optimizer: Optimizer,
    /// True if activations are recomputed in the backward half instead of kept.
    pub recompute: bool,
}

impl TrainingFootprint {
    /// Returns the footprint of a training step. Activations are also recomputed where they would otherwise exceed a total
    /// of `limit` bytes.
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
        let required = MemoryRequirement::of(graph, 1, purpose, &frozen, pool, prefer, &none)?;
        let layout = |step: &Step| Layout::of(&graph.nodes()[step.node].layer, step, prefer, ActivationQuant::None);
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

    /// Returns the sum in bytes.
    pub fn total(&self) -> u64 {
        self.weights + self.gradients + self.optimizer + self.activations
    }
}

impl Footprint {
    /// Returns the footprint of `graph` on the threads of `pool`, with weights of 32 bits or, if `quantized`, of 8 bits.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge) for a graph whose activations cannot be addressed.
    pub fn of(graph: &Graph, quantized: bool, ranges: &Ranges, pool: &Pool) -> Result<Self> {
        let prefer = Prefer::default();
        let sizes = MemoryRequirement::of(graph, 1, Purpose::Inference, &nothing_frozen(graph), pool, prefer, ranges)?;
        let [arena, scratch] = [sizes.plan.arena, sizes.scratch].map(|floats| 4 * floats as u64);
        let mut all = Footprint { activations: arena + scratch, ..Footprint::default() };
        let stored = |shape: &[usize]| {
            let values = shape.iter().map(|&d| d as u64).product::<u64>();
            if quantized && shape.len() > 1 { values + 4 * shape[0] as u64 } else { 4 * values }
        };
        all.weights = graph.params().iter().map(|(_, spec)| stored(&spec.shape)).sum();
        let (folded, mut ordered) = (rewrite::folded(graph), Vec::<u64>::new());
        for step in &sizes.plan.steps {
            let node = &graph.nodes()[step.node];
            let activation_quant = select::activation_quant(graph, ranges, step.node);
            let Some(layout) = Layout::of(&node.layer, step, prefer, activation_quant) else { continue };
            let linear = matches!(node.layer, Layer::Linear(_));
            let order = matches!(layout.algorithm, Algorithm::Direct | Algorithm::Depthwise)
                && !matches!(node.layer, Layer::BatchNorm2d(_))
                && (!quantized || linear && dequant::can_hold(&layout));
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

    /// True if at least half of the weights have a second form, so that keeping the file beside the engine pays.
    pub fn keeps_file(&self) -> bool {
        2 * self.originals >= self.weights
    }

    /// Returns the peak in bytes when the file stays outside this memory.
    pub fn peak_beside_file(&self) -> u64 {
        let read = 4 * READ_AT_ONCE as u64 + self.packing;
        self.weights - self.originals + self.transformed + read + self.activations
    }

    /// Returns the bytes in use once the network is ready.
    pub fn at_rest(&self) -> u64 {
        self.weights + self.transformed + self.activations
    }

    /// Returns the peak in bytes. Weights that are only reordered are packed first, which makes room for transforms.
    pub fn peak(&self) -> u64 {
        self.weights + self.transformed.max(self.packing) + self.activations
    }
}
