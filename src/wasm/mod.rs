//! What JavaScript sees, without any logic of its own: networks and trainers (feature `bindings`), and ONNX to model
//! files and back (feature `onnx`). The npm package has each in a module of its own, so that only those download what
//! reads ONNX who have such a file.

#[cfg(feature = "bindings")]
mod engine;
mod error;
#[cfg(feature = "onnx")]
mod onnx;

use serde::Serialize;
#[cfg(feature = "bindings")]
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::*;

#[cfg(feature = "bindings")]
pub use engine::*;
#[cfg(feature = "onnx")]
pub use onnx::{model_to_onnx, onnx_to_model};

#[cfg(feature = "bindings")]
use crate::error::Error;
#[cfg(feature = "bindings")]
use crate::tensor::Tensor;

#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(error::on_panic));
}

/// The text of the last panic, if there was one: the trap that follows it has none.
#[wasm_bindgen(js_name = panicMessage)]
pub fn panic_message() -> Option<String> {
    error::panic_message()
}

fn bytes_to_js(bytes: &[u8]) -> JsValue {
    js_sys::Uint8Array::from(bytes).into()
}

/// Plain data as JavaScript's own: maps become objects, absent values `undefined`, whole numbers numbers.
fn to_js(value: &impl Serialize) -> JsValue {
    let serializer = serde_wasm_bindgen::Serializer::new().serialize_maps_as_objects(true);
    value.serialize(&serializer).expect("plain data has a form in JavaScript")
}

/// Plain data from JavaScript's own.
#[cfg(feature = "bindings")]
fn from_js<T: DeserializeOwned>(name: &str, value: JsValue) -> Result<T, Error> {
    serde_wasm_bindgen::from_value(value).map_err(|e| Error::argument(name, "plain data", e))
}

/// `{ data, shape }`, with the numbers in a `Float32Array`.
#[cfg(feature = "bindings")]
fn tensor_to_js(tensor: &Tensor) -> JsValue {
    let result = js_sys::Object::new();
    error::set(&result, "data", &js_sys::Float32Array::from(&tensor.data[..]));
    error::set(&result, "shape", &to_js(&tensor.shape));
    result.into()
}

/// The clock of this page or worker, in milliseconds.
#[cfg(feature = "bindings")]
fn clock() -> Result<web_sys::Performance, JsValue> {
    let clock = js_sys::Reflect::get(&js_sys::global(), &"performance".into())?;
    Ok(clock.unchecked_into())
}
