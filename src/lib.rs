//! Convoke classifies with and trains convolutional networks: SIMD kernels on the CPU, WebGPU beside them.
//!
//! The way from bytes to an answer: [`mod@format`] reads a [`graph::Graph`] and its [`graph::Params`], [`plan`] decides how
//! the graph runs, an engine ([`cpu`], [`gpu`]) runs the plan. Activations are NCHW at every public door and NHWC inside
//! the engines.

pub mod cpu;
pub mod engine;
pub mod error;
pub mod format;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod graph;
mod json;
pub mod layers;
pub mod options;
pub mod plan;
pub mod quant;
pub mod rng;
pub mod runner;
pub mod seed;
pub mod self_test;
pub mod tensor;
pub mod train;
pub mod vision;
#[cfg(target_arch = "wasm32")]
pub mod wasm;
pub mod zoo;

pub use error::{Error, Result};

/// The README's example, run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
