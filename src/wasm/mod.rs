//! What JavaScript sees, without any logic of its own: networks and trainers (feature `bindings`), and ONNX to model
//! files and back (feature `onnx`). The npm package has each in a module of its own, so that only those download what
//! reads ONNX who have such a file.

#[cfg(feature = "bindings")]
mod engine;
mod error;
#[cfg(feature = "onnx")]
mod onnx;
mod values;

use wasm_bindgen::prelude::*;

#[cfg(feature = "bindings")]
pub use engine::*;
#[cfg(feature = "onnx")]
pub use onnx::{model_to_onnx, onnx_to_model};

#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(error::on_panic));
}

/// The text of the last panic, if there was one: the trap that follows it has none.
#[wasm_bindgen(js_name = panicMessage)]
pub fn panic_message() -> Option<String> {
    error::panic_message()
}
