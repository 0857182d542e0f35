//! The WebGPU engine: executes plans with wgpu, in a browser or natively, forward and backward.
//!
//! Everything is asynchronous and nothing blocks in a browser. Weights are uploaded once; all activations live in one
//! buffer, laid out by the plan; a run is one submission that reads back only its result.

mod activation;
mod adaptive_avg_pool2d;
mod add;
mod avg_pool2d;
mod batch_norm2d;
mod concat;
mod conv2d;
mod depthwise;
mod device;
mod dropout;
mod elementwise;
mod engine;
mod flatten;
mod hard_swish;
mod kernel;
mod linear;
mod local_response_norm;
mod log_softmax;
mod loss;
mod max_pool2d;
mod mul;
mod optimizer;
mod permute;
mod pool;
mod program;
mod rearrange;
mod reduce;
mod softmax;
mod trainer;
mod weights;

pub use device::Device;
pub use engine::Engine;
pub use trainer::Trainer;

use crate::error::{Error, Result};
use crate::graph::{Graph, INPUT};
use crate::tensor::{Tensor, dims};

/// The batch size of `x`, which must be a batch of finite inputs of `graph`.
fn check_batch(graph: &Graph, x: &Tensor) -> Result<usize> {
    let n = x.shape.first().copied().unwrap_or(0);
    if n == 0 || x.shape[1..] != *graph.input().dims() || x.data.len() != n.saturating_mul(graph.input().elements()) {
        let expected = format!("Nx{} with N of at least 1", graph.input());
        return Err(Error::Shape { tensor: INPUT.into(), expected, actual: dims(&x.shape) });
    }
    check_finite(INPUT, &x.data)?;
    Ok(n)
}

fn check_finite(what: &str, x: &[f32]) -> Result<()> {
    match x.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(Error::NotFinite { what: format!("tensor `{what}`"), index, value: x[index] }),
        None => Ok(()),
    }
}
