//! The CPU engine: SIMD kernels that execute a plan, forward and backward.
//!
//! [`Engine`] classifies, [`Trainer`] trains; both share the kernels, of which there is one source for every
//! instruction set. Results do not depend on the number of threads: every sum has one order.

#![allow(clippy::needless_range_loop, reason = "arrays of registers are indexed by tile coordinates")]

mod algorithm;
mod config;
mod conv;
mod engine;
mod footprint;
mod gemm;
mod io;
mod layers;
mod loss;
mod memory;
mod nchw;
mod operation;
mod optimizer;
mod pool;
mod program;
mod reference_runner;
mod rows;
mod simd;
#[cfg(test)]
mod tests;
mod trainer;

pub use algorithm::{Algorithm, Prefer};
pub use engine::{Engine, StepInfo};
pub use footprint::{Footprint, TrainingFootprint, TrainingSizes};
pub use pool::Pool;
pub(crate) use reference_runner::ReferenceRunner;
pub use trainer::Trainer;

/// The instruction set that the kernels use here.
pub fn isa() -> &'static str {
    simd::name()
}
