//! A network computed without any shortcut, step by step: what other engines are held against.

use std::sync::Arc;

use super::algorithm::Prefer;
use super::engine::Engine;
use super::gemm::weights::Weights;
use super::pool::Pool;
use crate::error::Result;
use crate::graph::{Graph, Params, Ranges};
use crate::plan::rewrite;
use crate::tensor::Tensor;

/// An engine that prefers [`Prefer::Exactness`] and keeps the weights of only the layer that runs packed: it stands
/// beside the engine that it judges, in the memory that a large network leaves.
pub(crate) struct Exact {
    engine: Engine,
    params: Params,
}

impl Exact {
    /// # Errors
    /// As [`Engine::new`].
    pub(crate) fn new(graph: &Graph, params: &Params, pool: &Arc<Pool>) -> Result<Self> {
        let (graph, params) = rewrite::for_inference(graph, params.clone())?;
        Ok(Exact { engine: Engine::without_weights(graph, pool, Prefer::Exactness, Ranges::default())?, params })
    }

    #[cfg(feature = "gpu")]
    pub(crate) fn steps(&self) -> Vec<super::engine::StepInfo> {
        self.engine.steps()
    }

    /// # Errors
    /// As [`Engine::run`].
    pub(crate) fn begin(&mut self, x: &Tensor) -> Result<()> {
        self.engine.begin(x)
    }

    /// As [`Engine::step`].
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
