//! JSON into plain data, with errors that name the field.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads `text` as a `T`.
///
/// # Errors
/// A sentence that names the field, what was expected and what came, for text that is no JSON or holds something else.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    from_value(serde_json::from_str(text).map_err(|e| e.to_string())?)
}

/// Reads a JSON value as a `T`.
///
/// # Errors
/// A sentence that names the field, what was expected and what came.
pub(crate) fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|e| match e.path().iter().len() {
        0 => e.inner().to_string(),
        _ => format!("{}: {}", e.path(), e.inner()),
    })
}
