//! JSON into plain data.

use serde::de::DeserializeOwned;

/// What `text` holds, by way of [`serde_json::Value`]: every type is then read from one kind of source, which halves the
/// code that is compiled for each.
///
/// # Errors
/// Where the text is not JSON, or not of this type.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    serde_json::from_value(serde_json::from_str(text)?)
}
