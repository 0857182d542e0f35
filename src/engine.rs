//! One door to the engines: a backend chosen at run time, and what runs on it.
//!
//! Everything here is async because WebGPU is; on the CPU the futures are ready at once.

use std::sync::Arc;

use crate::cpu;
use crate::error::Result;
#[cfg(feature = "gpu")]
use crate::gpu;
use crate::graph::{Graph, Params};
use crate::layers::Loss;
use crate::plan::{Optimizer, StepReport};
use crate::tensor::Tensor;

/// Where networks run.
#[derive(Clone)]
pub enum Backend {
    /// SIMD kernels on these threads.
    Cpu(Arc<cpu::Pool>),
    /// WebGPU.
    #[cfg(feature = "gpu")]
    Gpu(gpu::Device),
}

impl Backend {
    /// Its name in options and messages.
    pub fn name(&self) -> &'static str {
        match self {
            Backend::Cpu(_) => "cpu",
            #[cfg(feature = "gpu")]
            Backend::Gpu(_) => "webgpu",
        }
    }

    /// The threads that prepare what it works on.
    pub(crate) fn pool(&self) -> Arc<cpu::Pool> {
        match self {
            Backend::Cpu(pool) => pool.clone(),
            #[cfg(feature = "gpu")]
            Backend::Gpu(_) => cpu::Pool::single(),
        }
    }
}

/// A network ready to run.
pub enum Engine {
    /// On the CPU.
    Cpu(Box<cpu::Engine>),
    /// On WebGPU.
    #[cfg(feature = "gpu")]
    Gpu(Box<gpu::Engine>),
}

impl Engine {
    /// The same; on the CPU `params` are then without those tensors that the engine can give back, so that none is held
    /// twice, and what is still in a file is read when it is packed.
    ///
    /// # Errors
    /// Those of the backend, of `read`, and [`crate::Error::NotFinite`].
    #[cfg(all(feature = "bindings", target_arch = "wasm32"))]
    pub(crate) async fn borrowing(
        graph: &Graph,
        params: &mut Params,
        backend: &Backend,
        read: &crate::graph::Read<'_>,
    ) -> Result<Self> {
        match backend {
            Backend::Cpu(pool) => {
                let engine = cpu::Engine::reading(graph, params, pool, cpu::Prefer::default(), read)?;
                Ok(Engine::Cpu(Box::new(engine)))
            }
            #[cfg(feature = "gpu")]
            Backend::Gpu(_) => Self::new(graph, &params.read(read)?, backend).await,
        }
    }

    /// Puts tensors back that `Engine::borrowing` took.
    pub fn give_back(&self, params: &mut Params) {
        match self {
            Engine::Cpu(engine) => engine.give_back(params),
            #[cfg(feature = "gpu")]
            Engine::Gpu(_) => {}
        }
    }

    /// Prepares `graph` with `params` to run on `backend`.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn new(graph: &Graph, params: &Params, backend: &Backend) -> Result<Self> {
        Ok(match backend {
            Backend::Cpu(pool) => Engine::Cpu(Box::new(cpu::Engine::new(graph, params, pool)?)),
            #[cfg(feature = "gpu")]
            Backend::Gpu(device) => Engine::Gpu(Box::new(gpu::Engine::new(graph, params, device).await?)),
        })
    }

    /// The main output for a batch `[N, C, H, W]`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for a batch of another shape, and those of the backend.
    pub async fn run(&mut self, x: &Tensor) -> Result<Tensor> {
        match self {
            Engine::Cpu(engine) => engine.run(x),
            #[cfg(feature = "gpu")]
            Engine::Gpu(engine) => engine.run(x).await,
        }
    }

    /// Bytes that it keeps on the GPU.
    pub fn device_bytes(&self) -> usize {
        match self {
            Engine::Cpu(_) => 0,
            #[cfg(feature = "gpu")]
            Engine::Gpu(engine) => engine.bytes(),
        }
    }

    /// Brings a batch to where the first step reads it.
    pub(crate) async fn begin(&mut self, x: &Tensor) -> Result<()> {
        match self {
            Engine::Cpu(engine) => engine.begin(x),
            #[cfg(feature = "gpu")]
            Engine::Gpu(engine) => engine.begin(x).await,
        }
    }

    /// Runs step `i`, after those before it, and gives its output, in NHWC.
    pub(crate) async fn step(&mut self, i: usize) -> Result<Vec<f32>> {
        match self {
            Engine::Cpu(engine) => Ok(engine.step(i)),
            #[cfg(feature = "gpu")]
            Engine::Gpu(engine) => engine.step(i).await,
        }
    }
}

/// A network in training.
pub(crate) enum Training {
    Cpu(Box<cpu::Trainer>),
    #[cfg(feature = "gpu")]
    Gpu(Box<gpu::Trainer>),
}

impl Training {
    pub(crate) async fn new(
        graph: &Graph,
        params: &Params,
        loss: Loss,
        optimizer: Optimizer,
        seed: u32,
        backend: &Backend,
    ) -> Result<Self> {
        Ok(match backend {
            Backend::Cpu(pool) => {
                Training::Cpu(Box::new(cpu::Trainer::new(graph, params, loss, optimizer, seed, pool)?))
            }
            #[cfg(feature = "gpu")]
            Backend::Gpu(device) => {
                Training::Gpu(Box::new(gpu::Trainer::new(graph, params, loss, optimizer, seed, device).await?))
            }
        })
    }

    pub(crate) async fn step(&mut self, x: &Tensor, labels: &[u32], learning_rate: f32) -> Result<StepReport> {
        match self {
            Training::Cpu(trainer) => trainer.step(x, labels, learning_rate),
            #[cfg(feature = "gpu")]
            Training::Gpu(trainer) => trainer.step(x, labels, learning_rate).await,
        }
    }

    /// How much of its own label a sample of the next batch has; the rest it has of the label of the one before.
    pub(crate) fn set_mixup_lambda(&mut self, share: f32) {
        match self {
            Training::Cpu(trainer) => trainer.set_mixup_lambda(share),
            #[cfg(feature = "gpu")]
            Training::Gpu(trainer) => trainer.set_mixup_lambda(share),
        }
    }

    /// A part of the batch of the step to come.
    pub(crate) async fn part(&mut self, x: &Tensor, labels: &[u32]) -> Result<StepReport> {
        match self {
            Training::Cpu(trainer) => trainer.part(x, labels),
            #[cfg(feature = "gpu")]
            Training::Gpu(trainer) => trainer.part(x, labels).await,
        }
    }

    pub(crate) async fn params(&self) -> Result<Params> {
        match self {
            Training::Cpu(trainer) => Ok(trainer.params()),
            #[cfg(feature = "gpu")]
            Training::Gpu(trainer) => trainer.params().await,
        }
    }

    pub(crate) fn device_bytes(&self) -> usize {
        match self {
            Training::Cpu(_) => 0,
            #[cfg(feature = "gpu")]
            Training::Gpu(trainer) => trainer.bytes(),
        }
    }

    pub(crate) fn set_optimizer(&mut self, optimizer: Optimizer) -> Result<()> {
        match self {
            Training::Cpu(trainer) => trainer.set_optimizer(optimizer),
            #[cfg(feature = "gpu")]
            Training::Gpu(trainer) => trainer.set_optimizer(optimizer),
        }
    }

    pub(crate) fn set_clip_norm(&mut self, norm: f32) -> Result<()> {
        match self {
            Training::Cpu(trainer) => trainer.set_clip_norm(norm),
            #[cfg(feature = "gpu")]
            Training::Gpu(trainer) => trainer.set_clip_norm(norm),
        }
    }

    /// Takes the memory for steps on `n` samples.
    pub(crate) async fn prepare(&mut self, n: usize) -> Result<()> {
        match self {
            Training::Cpu(trainer) => trainer.prepare(n),
            #[cfg(feature = "gpu")]
            Training::Gpu(trainer) => trainer.prepare(n).await,
        }
    }

    /// Whether values are computed again rather than kept.
    pub(crate) fn set_recompute(&mut self, recompute: bool) {
        match self {
            Training::Cpu(trainer) => trainer.set_recompute(recompute),
            #[cfg(feature = "gpu")]
            Training::Gpu(trainer) => trainer.set_recompute(recompute),
        }
    }

    pub(crate) fn recomputes(&self) -> bool {
        match self {
            Training::Cpu(trainer) => trainer.recomputes(),
            #[cfg(feature = "gpu")]
            Training::Gpu(trainer) => trainer.recomputes(),
        }
    }

    /// Each node's factor on the learning rate.
    pub(crate) fn set_rates(&mut self, rates: &[f32]) {
        match self {
            Training::Cpu(trainer) => trainer.set_rates(rates),
            #[cfg(feature = "gpu")]
            Training::Gpu(trainer) => trainer.set_rates(rates),
        }
    }

    /// What the optimizer remembers of each weight. Backends use the same names, so a run may go on on another.
    pub(crate) async fn state(&self) -> Result<Vec<(String, Tensor)>> {
        match self {
            Training::Cpu(trainer) => Ok(trainer.state()),
            #[cfg(feature = "gpu")]
            Training::Gpu(trainer) => trainer.state().await,
        }
    }

    /// Goes on where [`Training::state`] was taken after `steps` updates.
    pub(crate) fn restore(&mut self, state: &[(String, Tensor)], steps: u32) -> Result<()> {
        match self {
            Training::Cpu(trainer) => trainer.restore(state, steps),
            #[cfg(feature = "gpu")]
            Training::Gpu(trainer) => trainer.restore(state, steps),
        }
    }
}
