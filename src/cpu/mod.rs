//! The CPU engine: SIMD kernels that execute a plan, forward and backward.
//!
//! [`Engine`] classifies, [`Trainer`] trains; both share the kernels, of which there is one source for every
//! instruction set. Results do not depend on the number of threads: every sum has one order.

#![allow(clippy::needless_range_loop, reason = "arrays of registers are indexed by tile coordinates")]

mod add;
mod algorithm;
mod avg_pool2d;
mod batch_norm2d;
mod codes;
mod concat;
mod conv2d;
mod depthwise;
mod dropout;
mod elementwise;
mod engine;
mod exact;
mod flatten;
mod footprint;
mod gemm;
mod hard_swish;
mod int8;
mod int8_gemm;
mod linear;
mod local_response_norm;
mod log_softmax;
mod loss;
mod max_pool2d;
mod memory;
mod mul;
mod operation;
mod optimizer;
mod permute;
mod pool;
mod pooling;
mod rearrange;
mod simd;
mod softmax;
mod trainer;
mod weights;
mod winograd;

pub use algorithm::{Algorithm, Prefer};
pub use engine::{Engine, StepInfo};
pub(crate) use exact::Exact;
pub use footprint::{Footprint, TrainingFootprint};
pub use pool::Pool;
pub use trainer::Trainer;

/// The instruction set that the kernels use here.
pub fn isa() -> &'static str {
    simd::name()
}
