//! Networks, trainers and the pool.
//!
//! The npm package (`pkg/npm/src/engine/`) is the only caller. It serializes the calls of each network, because an async
//! method borrows its object until it is done.

mod memory;
mod network;
mod pool;
mod trainer;

use sha2::{Digest, Sha256};
use wasm_bindgen::prelude::*;

pub use network::Network;
pub use pool::Pool;
pub use trainer::Trainer;

use crate::zoo;

/// The names of the networks that can be created.
#[wasm_bindgen]
pub fn networks() -> Vec<String> {
    zoo::names()
}

/// The instruction set of the kernels in this build.
#[wasm_bindgen]
pub fn isa() -> String {
    crate::cpu::isa().into()
}

/// SHA-256 in hexadecimal, for pages that the browser refuses it to.
#[wasm_bindgen]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Bytes that are allocated in this instance now.
#[wasm_bindgen(js_name = liveBytes)]
pub fn live_bytes() -> f64 {
    memory::live() as f64
}
