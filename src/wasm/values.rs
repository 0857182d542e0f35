//! Values that cross the border between Rust and JavaScript.

use serde::Serialize;
#[cfg(feature = "bindings")]
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::*;

#[cfg(feature = "bindings")]
use crate::error::Error;
#[cfg(feature = "bindings")]
use crate::tensor::Tensor;

pub(super) fn bytes_to_js(bytes: &[u8]) -> JsValue {
    js_sys::Uint8Array::from(bytes).into()
}

/// Plain data as JavaScript's own: maps become objects, absent values `undefined`, whole numbers numbers.
pub(super) fn to_js(value: &impl Serialize) -> JsValue {
    let serializer = serde_wasm_bindgen::Serializer::new().serialize_maps_as_objects(true);
    value.serialize(&serializer).expect("plain data has a form in JavaScript")
}

/// Plain data from JavaScript's own.
#[cfg(feature = "bindings")]
pub(super) fn from_js<T: DeserializeOwned>(name: &str, value: JsValue) -> Result<T, Error> {
    serde_wasm_bindgen::from_value(value).map_err(|e| Error::argument(name, "plain data", e))
}

/// `{ data, shape }`, with the numbers in a `Float32Array`.
#[cfg(feature = "bindings")]
pub(super) fn tensor_to_js(tensor: &Tensor) -> JsValue {
    let result = js_sys::Object::new();
    set(&result, "data", &js_sys::Float32Array::from(&tensor.data[..]));
    set(&result, "shape", &to_js(&tensor.shape));
    result.into()
}

/// The clock of this page or worker, in milliseconds.
#[cfg(feature = "bindings")]
pub(super) fn clock() -> Result<web_sys::Performance, JsValue> {
    let clock = js_sys::Reflect::get(&js_sys::global(), &"performance".into())?;
    Ok(clock.unchecked_into())
}

/// Sets a property of an object that was made here.
pub(super) fn set(object: &js_sys::Object, name: &str, value: &JsValue) {
    js_sys::Reflect::set(object, &name.into(), value).expect("a plain object takes every property");
}
