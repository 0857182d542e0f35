//! A network computed step by step by direct sums: the reference of the self-test.

use std::sync::Arc;

use super::algorithm::Prefer;
use super::engine::Engine;
use super::gemm::weights::Weights;
use super::pool::Pool;
use crate::error::Result;
use crate::graph::{Graph, Params, Ranges};
use crate::plan::rewrite;
use crate::tensor::Tensor;

/// An engine that prefers [`Prefer::Exactness`] and holds packed weights only of the layer that runs, so that it fits
/// into memory beside the engine under test.
pub(crate) struct ReferenceRunner {
    engine: Engine,
    params: Params,
}

impl ReferenceRunner {
    /// Plans for single samples.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge) when a sample does not fit the memory that can be addressed.
    pub(crate) fn new(graph: &Graph, params: &Params, pool: &Arc<Pool>) -> Result<Self> {
        let (graph, params) = rewrite::for_inference(graph, params.clone())?;
        Ok(ReferenceRunner {
            engine: Engine::without_weights(graph, pool, Prefer::Exactness, Ranges::default())?,
            params,
        })
    }

    /// Returns the steps of the plan in order.
    #[cfg(feature = "gpu")]
    pub(crate) fn steps(&self) -> Vec<super::engine::StepInfo> {
        self.engine.steps()
    }

    /// Copies a batch to the input of the first step.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) and [`Error::NotFinite`](crate::Error::NotFinite) for the input,
    /// [`Error::TooLarge`](crate::Error::TooLarge) for the batch.
    pub(crate) fn begin(&mut self, x: &Tensor) -> Result<()> {
        self.engine.begin(x)
    }

    /// Runs step `i`, after the steps before it, and returns its output in NHWC.
    pub(crate) fn step(&mut self, i: usize) -> Vec<f32> {
        let Engine { graph, ready, weights, prefer, .. } = &mut self.engine;
        let step = &ready.plan.steps[i];
        let node = step.node;
        weights[node] = Weights::of(graph, &self.params, step, *prefer);
        let y = self.engine.step(i);
        self.engine.weights[node] = None;
        y
    }
}
