//! Tests in a browser, in a dedicated worker, where the package runs its engine.

#![cfg(target_arch = "wasm32")]

mod suite;
#[path = "web/tests.rs"]
mod tests;

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_dedicated_worker);
