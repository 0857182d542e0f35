//! Both engines against the references. Each test is named `ENGINE::CASE::MODE`, such as
//! `cpu::conv2d/to-1-3x3-padding-1-on-17x5x6-batch-1::backward`, and any part of a name selects tests:
//! `cargo test --test engines -- winograd`. All failures are reported.
//!
//! The WebGPU engine runs on any Vulkan adapter, also a software one. A machine without an adapter fails its tests:
//! skipping them would say nothing.

#[cfg(not(target_arch = "wasm32"))]
mod cases;
#[cfg(not(target_arch = "wasm32"))]
#[path = "../support/counting.rs"]
mod counting;
#[cfg(not(target_arch = "wasm32"))]
mod cpu;
#[cfg(not(target_arch = "wasm32"))]
mod divergence;
#[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
mod gpu;
#[cfg(not(target_arch = "wasm32"))]
mod inputs;
#[cfg(not(target_arch = "wasm32"))]
mod list;
#[cfg(not(target_arch = "wasm32"))]
mod networks;
#[cfg(not(target_arch = "wasm32"))]
mod optimizing;
#[cfg(not(target_arch = "wasm32"))]
mod resuming;
#[cfg(not(target_arch = "wasm32"))]
#[path = "../suite/mod.rs"]
mod suite;
#[cfg(not(target_arch = "wasm32"))]
mod training;

#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    let mut list = list::List::from_args();
    cases::add(&mut list);
    inputs::add(&mut list);
    networks::add(&mut list);
    training::add(&mut list);
    divergence::add(&mut list);
    optimizing::add(&mut list);
    resuming::add(&mut list);
    cpu::add(&mut list);
    #[cfg(feature = "gpu")]
    gpu::add(&mut list);
    list.run()
}

/// Browsers run the cases through `tests/web.rs`.
#[cfg(target_arch = "wasm32")]
fn main() {}
