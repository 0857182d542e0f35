//! The choice of where to run.

use clap::ValueEnum;
use convoke::Result;
use convoke::cpu::Pool;
use convoke::engine::Backend;

/// Where to run.
#[derive(clap::Args)]
pub struct Args {
    /// Where to run.
    #[arg(long, value_enum, default_value = "cpu")]
    backend: Kind,
    /// Threads of the CPU backend [default: one for each core].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Cpu,
    Webgpu,
}

impl Args {
    /// The backend, ready to run.
    pub async fn open(&self) -> Result<Backend> {
        match self.backend {
            Kind::Cpu => Ok(Backend::Cpu(Pool::new(self.threads()))),
            Kind::Webgpu => webgpu().await,
        }
    }

    fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(cores, usize::from)
    }
}

#[cfg(feature = "gpu")]
async fn webgpu() -> Result<Backend> {
    Ok(Backend::Gpu(convoke::gpu::Device::request().await?))
}

#[cfg(not(feature = "gpu"))]
async fn webgpu() -> Result<Backend> {
    let reason = "this command was built without the feature `gpu`".into();
    Err(convoke::Error::Backend { backend: "webgpu".into(), reason })
}
