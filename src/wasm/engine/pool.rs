//! Threads, which JavaScript starts.

use std::sync::Arc;

use wasm_bindgen::prelude::*;

use crate::cpu;

/// Threads for the CPU engine. Lives as long as the page, because its threads never stop reading it.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Pool {
    pub(super) inner: Arc<cpu::Pool>,
}

#[wasm_bindgen]
impl Pool {
    /// The caller's thread only.
    pub fn single() -> Pool {
        Pool { inner: cpu::Pool::single() }
    }

    /// The caller's thread and `threads - 1` others that call `enterPool`.
    #[cfg(target_feature = "atomics")]
    pub fn external(threads: usize) -> Pool {
        let inner = cpu::Pool::external(threads);
        std::mem::forget(inner.clone());
        Pool { inner }
    }

    /// Returns the address that the other threads pass to `enterPool`.
    #[cfg(target_feature = "atomics")]
    pub fn address(&self) -> usize {
        Arc::as_ptr(&self.inner) as usize
    }

    /// How many threads have entered.
    #[cfg(target_feature = "atomics")]
    pub fn arrived(&self) -> usize {
        self.inner.arrived()
    }
}

/// Works for the pool at this address: does not return.
#[cfg(target_feature = "atomics")]
#[wasm_bindgen(js_name = enterPool)]
pub fn enter_pool(address: usize) {
    // SAFETY: the address comes from `Pool::address` in this memory, and `Pool::external` never lets go of its pool.
    let pool = unsafe { &*(address as *const cpu::Pool) };
    pool.work();
}
