//! Both engines behind one type: the backend is chosen at run time.
//!
//! Everything here is async because WebGPU is; on the CPU the futures are ready at once.

use std::sync::Arc;

use crate::cpu;
use crate::error::Result;
#[cfg(feature = "gpu")]
use crate::gpu;
use crate::graph::{Graph, Params, ReadParam};
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
    /// The name of the backend in options and messages: `cpu` or `webgpu`.
    pub fn name(&self) -> &'static str {
        match self {
            Backend::Cpu(_) => "cpu",
            #[cfg(feature = "gpu")]
            Backend::Gpu(_) => "webgpu",
        }
    }

    /// The threads that prepare batches: the CPU engine's own, or the caller's thread beside a GPU.
    pub(crate) fn pool(&self) -> Arc<cpu::Pool> {
        match self {
            Backend::Cpu(pool) => pool.clone(),
            #[cfg(feature = "gpu")]
            Backend::Gpu(_) => cpu::Pool::single(),
        }
    }
}

/// A network ready to run on one backend.
///
/// # Examples
/// ```
/// use convoke::cpu::Pool;
/// use convoke::engine::{Backend, Engine};
/// use convoke::graph::{Init, Params};
/// use convoke::tensor::Tensor;
/// use convoke::zoo;
///
/// # pollster::block_on(async {
/// let graph = zoo::network("lenet5", zoo::Options::default())?;
/// let params = Params::init(&graph, Init::of(&graph), 1);
/// let mut engine = Engine::new(&graph, &params, &Backend::Cpu(Pool::single())).await?;
/// let logits = engine.run(&Tensor::zeros([2, 1, 32, 32])).await?;
/// assert_eq!(logits.shape, [2, 10]);
/// # Ok::<(), convoke::Error>(()) }).unwrap();
/// ```
pub enum Engine {
    /// On the CPU.
    Cpu(Box<cpu::Engine>),
    /// On WebGPU.
    #[cfg(feature = "gpu")]
    Gpu(Box<gpu::Engine>),
}

/// Calls a method on either backend's engine; with `await` it is asynchronous on WebGPU alone.
macro_rules! forward {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match $self {
            Self::Cpu(engine) => engine.$method($($argument),*),
            #[cfg(feature = "gpu")]
            Self::Gpu(engine) => engine.$method($($argument),*),
        }
    };
    (await $self:ident.$method:ident($($argument:expr),*)) => {
        match $self {
            Self::Cpu(engine) => engine.$method($($argument),*),
            #[cfg(feature = "gpu")]
            Self::Gpu(engine) => engine.$method($($argument),*).await,
        }
    };
}

impl Engine {
    /// Prepares `graph` with `params` to run on `backend`.
    ///
    /// # Errors
    /// [`crate::Error::TooLarge`] for a network that the backend has no memory for, and on WebGPU
    /// [`crate::Error::Backend`] or [`crate::Error::DeviceLost`].
    pub async fn new(graph: &Graph, params: &Params, backend: &Backend) -> Result<Self> {
        Ok(match backend {
            Backend::Cpu(pool) => Engine::Cpu(Box::new(cpu::Engine::new(graph, params, pool)?)),
            #[cfg(feature = "gpu")]
            Backend::Gpu(device) => Engine::Gpu(Box::new(gpu::Engine::new(graph, params, device).await?)),
        })
    }

    /// Prepares `graph` to run on `backend`, and on the CPU takes those tensors out of `params` that the engine can give
    /// back, so that none is held twice. Tensors that are still in a file are read when they are packed.
    ///
    /// # Errors
    /// Those of [`Engine::new`] and of `read`, and [`crate::Error::NotFinite`].
    pub(crate) async fn borrowing(
        graph: &Graph,
        params: &mut Params,
        backend: &Backend,
        read: &ReadParam<'_>,
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

    /// Puts the tensors back into `params` that the engine took when it was made.
    pub fn give_back(&self, params: &mut Params) {
        match self {
            Engine::Cpu(engine) => engine.give_back(params),
            #[cfg(feature = "gpu")]
            Engine::Gpu(_) => {}
        }
    }

    /// The main output, `[N, classes]` or `[N, C, H, W]`, for a batch `[N, C, H, W]`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for a batch of another shape, [`crate::Error::NotFinite`] for inputs that are not finite,
    /// and on WebGPU [`crate::Error::DeviceLost`].
    pub async fn run(&mut self, x: &Tensor) -> Result<Tensor> {
        forward!(await self.run(x))
    }

    /// Bytes that the engine keeps on the GPU: 0 on the CPU.
    pub fn device_bytes(&self) -> usize {
        match self {
            Engine::Cpu(_) => 0,
            #[cfg(feature = "gpu")]
            Engine::Gpu(engine) => engine.bytes(),
        }
    }

    /// Brings a batch to where the first step reads it.
    pub(crate) async fn begin(&mut self, x: &Tensor) -> Result<()> {
        forward!(await self.begin(x))
    }

    /// Runs step `i`, after those before it, and returns its output in NHWC.
    pub(crate) async fn step(&mut self, i: usize) -> Result<Vec<f32>> {
        match self {
            Engine::Cpu(engine) => Ok(engine.step(i)),
            #[cfg(feature = "gpu")]
            Engine::Gpu(engine) => engine.step(i).await,
        }
    }
}

/// A network in training on one backend.
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
        forward!(await self.step(x, labels, learning_rate))
    }

    /// Adds the gradients of one batch to the sums that the next [`Training::step`] updates weights by.
    pub(crate) async fn accumulate_gradients(&mut self, x: &Tensor, labels: &[u32]) -> Result<StepReport> {
        forward!(await self.part(x, labels))
    }

    /// Sets the share that a sample of the next batch has of its own label; the rest is the label of the sample before.
    pub(crate) fn set_mixup_lambda(&mut self, lambda: f32) -> Result<()> {
        forward!(self.set_mixup_lambda(lambda))
    }

    pub(crate) fn set_optimizer(&mut self, optimizer: Optimizer) -> Result<()> {
        forward!(self.set_optimizer(optimizer))
    }

    pub(crate) fn set_clip_norm(&mut self, norm: f32) -> Result<()> {
        forward!(self.set_clip_norm(norm))
    }

    /// Sets each node's factor on the learning rate.
    pub(crate) fn set_rates(&mut self, rates: &[f32]) -> Result<()> {
        forward!(self.set_rates(rates))
    }

    /// Sets whether activations are recomputed rather than kept.
    pub(crate) fn set_recompute(&mut self, recompute: bool) {
        forward!(self.set_recompute(recompute))
    }

    pub(crate) fn recomputes(&self) -> bool {
        forward!(self.recomputes())
    }

    /// Takes the memory for steps on `n` samples.
    pub(crate) async fn prepare(&mut self, n: usize) -> Result<()> {
        forward!(await self.prepare(n))
    }

    pub(crate) async fn params(&self) -> Result<Params> {
        match self {
            Training::Cpu(trainer) => Ok(trainer.params()),
            #[cfg(feature = "gpu")]
            Training::Gpu(trainer) => trainer.params().await,
        }
    }

    /// The optimizer's values for each weight. Backends use equal names, so a run may be continued on another one.
    pub(crate) async fn state(&self) -> Result<Vec<(String, Tensor)>> {
        match self {
            Training::Cpu(trainer) => Ok(trainer.state()),
            #[cfg(feature = "gpu")]
            Training::Gpu(trainer) => trainer.state().await,
        }
    }

    /// Continues from what [`Training::state`] returned after `steps` updates.
    pub(crate) fn restore(&mut self, state: &[(String, Tensor)], steps: u32) -> Result<()> {
        forward!(self.restore(state, steps))
    }

    /// Bytes that the trainer keeps on the GPU: 0 on the CPU.
    pub(crate) fn device_bytes(&self) -> usize {
        match self {
            Training::Cpu(_) => 0,
            #[cfg(feature = "gpu")]
            Training::Gpu(trainer) => trainer.bytes(),
        }
    }
}
