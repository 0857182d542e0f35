//! ONNX to model files and back.

use wasm_bindgen::prelude::*;

use super::values::bytes_to_js;
use crate::format::{Model, WeightFormat, onnx};

/// The network in an ONNX file as a model file, in which weights of 8 bits stay such.
#[wasm_bindgen(js_name = onnxToModel, unchecked_return_type = "Uint8Array<ArrayBuffer>")]
pub fn onnx_to_model(bytes: Vec<u8>) -> Result<JsValue, JsValue> {
    Ok(bytes_to_js(&onnx::read(bytes)?.to_bytes(WeightFormat::AsHeld)?))
}

/// The network in a model file as an ONNX file.
#[wasm_bindgen(js_name = modelToOnnx, unchecked_return_type = "Uint8Array<ArrayBuffer>")]
pub fn model_to_onnx(bytes: &[u8]) -> Result<JsValue, JsValue> {
    Ok(bytes_to_js(&onnx::write(&Model::from_bytes(bytes)?)?))
}
