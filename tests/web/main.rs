//! Placeholder: shows that the headless browser tests run.
#![cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test;

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_dedicated_worker);

#[wasm_bindgen_test]
fn adds() {
    assert_eq!(1 + 1, 2);
}

#[wasm_bindgen_test]
async fn finds_a_gpu() {
    let instance = wgpu::Instance::default();
    instance
        .request_adapter(&wgpu::RequestAdapterOptions::default())
        .await
        .expect("an adapter");
}
