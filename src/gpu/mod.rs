//! The WebGPU engine: runs plans with wgpu, in a browser or natively, forward and backward.
//!
//! All calls that wait for the device are asynchronous. Weights are uploaded once, all activations lie in one buffer by
//! the plan, and a run is one submission from which only the result is downloaded.
//!
//! Files from the bottom up: `uniforms`, `kernel`, `device`; `weights`, `control`, `buffers`; `recorder`, `operation`,
//! `window`, `elementwise`, `copy`, `split_sum`; `layers`, `loss`, `optimizer`; `program`; `engine`, `trainer`. A
//! shader lies beside the Rust file that dispatches it.

mod buffers;
mod control;
mod copy;
mod device;
mod elementwise;
mod engine;
mod kernel;
mod layers;
mod loss;
mod operation;
mod optimizer;
mod program;
mod recorder;
mod split_sum;
// naga is part of wgpu on native targets alone.
#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;
mod trainer;
mod uniforms;
mod weights;
mod window;

pub use device::Device;
pub use engine::Engine;
pub use trainer::Trainer;
