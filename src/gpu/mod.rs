//! The WebGPU engine: executes plans with wgpu, in a browser or natively, forward and backward.
//!
//! Everything is asynchronous and nothing blocks in a browser. Weights are uploaded once; all activations live in one
//! buffer, laid out by the plan; a run is one submission that reads back only its result.

mod buffers;
mod control;
mod copy;
mod device;
mod elementwise;
mod engine;
mod input;
mod kernel;
mod layers;
mod loss;
mod optimizer;
mod program;
mod recorder;
mod split_sum;
mod trainer;
mod weights;
mod window;

pub use device::Device;
pub use engine::Engine;
pub use trainer::Trainer;
