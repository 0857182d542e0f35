//! An engine under test, on the CPU or on WebGPU, through one interface.

use std::sync::Arc;

use convoke::cpu::{self, Pool};
use convoke::engine::{Backend, Engine};
use convoke::error::Result;
#[cfg(feature = "gpu")]
use convoke::gpu;
use convoke::graph::{Graph, Params};
use convoke::layers::Loss;
use convoke::plan::{Optimizer, StepReport};
use convoke::tensor::Tensor;

use super::SEED;

/// An engine under test and the precision expected of it.
pub struct Subject {
    pub backend: Backend,
    /// The largest error of one pass, relative to the largest value.
    pub tolerance: f32,
    /// The largest error of a weight after several training steps.
    pub drift: f32,
}

impl Subject {
    pub fn cpu(pool: Arc<Pool>) -> Self {
        Subject { backend: Backend::Cpu(pool), tolerance: 2e-5, drift: 1e-4 }
    }

    #[cfg(feature = "gpu")]
    pub fn gpu(device: &gpu::Device) -> Self {
        Subject { backend: Backend::Gpu(device.clone()), tolerance: 1e-4, drift: 1e-3 }
    }

    pub async fn engine(&self, graph: &Graph, params: &Params) -> Result<Engine> {
        Engine::new(graph, params, &self.backend).await
    }

    /// Returns a trainer whose dropout masks follow from [`SEED`].
    pub async fn trainer(&self, graph: &Graph, params: &Params, loss: Loss, optimizer: Optimizer) -> Result<Trainer> {
        Ok(match &self.backend {
            Backend::Cpu(pool) => Trainer::Cpu(cpu::Trainer::new(graph, params, loss, optimizer, SEED, pool)?),
            #[cfg(feature = "gpu")]
            Backend::Gpu(device) => {
                Trainer::Gpu(gpu::Trainer::new(graph, params, loss, optimizer, SEED, device).await?)
            }
        })
    }

    /// Returns a trainer for cross entropy, as most tests take it.
    pub async fn classifier(&self, graph: &Graph, params: &Params, optimizer: Optimizer) -> Trainer {
        self.trainer(graph, params, Loss::CROSS_ENTROPY, optimizer).await.expect("valid arguments")
    }
}

/// A trainer of either engine.
pub enum Trainer {
    Cpu(cpu::Trainer),
    #[cfg(feature = "gpu")]
    Gpu(gpu::Trainer),
}

/// Evaluates an expression over the trainer of either engine.
macro_rules! on_either {
    ($trainer:expr, $name:ident => $call:expr) => {
        match $trainer {
            Trainer::Cpu($name) => $call,
            #[cfg(feature = "gpu")]
            Trainer::Gpu($name) => $call,
        }
    };
}

impl Trainer {
    pub async fn step(&mut self, x: &Tensor, labels: &[u32], learning_rate: f32) -> Result<StepReport> {
        match self {
            Trainer::Cpu(trainer) => trainer.step(x, labels, learning_rate),
            #[cfg(feature = "gpu")]
            Trainer::Gpu(trainer) => trainer.step(x, labels, learning_rate).await,
        }
    }

    pub async fn part(&mut self, x: &Tensor, labels: &[u32]) -> Result<StepReport> {
        match self {
            Trainer::Cpu(trainer) => trainer.part(x, labels),
            #[cfg(feature = "gpu")]
            Trainer::Gpu(trainer) => trainer.part(x, labels).await,
        }
    }

    pub async fn gradients(&mut self, x: &Tensor, dy: &Tensor, step: u32) -> Result<(Tensor, Tensor, Params)> {
        match self {
            Trainer::Cpu(trainer) => trainer.gradients(x, dy, step),
            #[cfg(feature = "gpu")]
            Trainer::Gpu(trainer) => trainer.gradients(x, dy, step).await,
        }
    }

    pub async fn params(&self) -> Params {
        match self {
            Trainer::Cpu(trainer) => trainer.params(),
            #[cfg(feature = "gpu")]
            Trainer::Gpu(trainer) => trainer.params().await.expect("a device that works"),
        }
    }

    pub async fn state(&self) -> Vec<(String, Tensor)> {
        match self {
            Trainer::Cpu(trainer) => trainer.state(),
            #[cfg(feature = "gpu")]
            Trainer::Gpu(trainer) => trainer.state().await.expect("a device that works"),
        }
    }

    pub fn restore(&mut self, state: &[(String, Tensor)], steps: u32) -> Result<()> {
        on_either!(self, trainer => trainer.restore(state, steps))
    }

    pub fn set_optimizer(&mut self, optimizer: Optimizer) -> Result<()> {
        on_either!(self, trainer => trainer.set_optimizer(optimizer))
    }

    pub fn set_clip_norm(&mut self, norm: f32) -> Result<()> {
        on_either!(self, trainer => trainer.set_clip_norm(norm))
    }

    pub fn set_rates(&mut self, rates: &[f32]) -> Result<()> {
        on_either!(self, trainer => trainer.set_rates(rates))
    }

    pub fn set_mixup_lambda(&mut self, lambda: f32) -> Result<()> {
        on_either!(self, trainer => trainer.set_mixup_lambda(lambda))
    }

    pub fn set_recompute(&mut self, recompute: bool) {
        on_either!(self, trainer => trainer.set_recompute(recompute));
    }

    pub async fn prepare(&mut self, batch: usize) -> Result<()> {
        match self {
            Trainer::Cpu(trainer) => trainer.prepare(batch),
            #[cfg(feature = "gpu")]
            Trainer::Gpu(trainer) => trainer.prepare(batch).await,
        }
    }

    pub fn recomputes(&self) -> bool {
        on_either!(self, trainer => trainer.recomputes())
    }

    pub fn steps(&self) -> u32 {
        on_either!(self, trainer => trainer.steps())
    }

    pub fn bytes(&self) -> usize {
        on_either!(self, trainer => trainer.bytes())
    }
}
