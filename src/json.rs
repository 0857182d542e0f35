//! JSON into plain data.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// What `text` holds, by way of [`serde_json::Value`]: every type is then read from one kind of source, which halves the
/// code that is compiled for each.
///
/// # Errors
/// Where the text is not JSON, or not of this type.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    serde_json::from_value(serde_json::from_str(text)?)
}

/// An object whose `kind` says which other fields it has. For enums of numbers: what serde derives for tagged enums is
/// seven times as much code.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// Which fields to expect.
    pub(crate) fn kind(&mut self) -> Result<String, String> {
        match self.0.remove("kind") {
            Some(Value::String(kind)) => Ok(kind),
            Some(other) => Err(format!("kind: expected a name, got {other}")),
            None => Err("missing field `kind`".into()),
        }
    }

    /// This number, or the default if there is one.
    pub(crate) fn number(&mut self, name: &str, default: Option<f32>) -> Result<f32, String> {
        match self.0.remove(name) {
            Some(Value::Number(number)) => Ok(number.as_f64().unwrap_or(f64::NAN) as f32),
            Some(other) => Err(format!("{name}: expected a number, got {other}")),
            None => default.ok_or_else(|| format!("missing field `{name}`")),
        }
    }

    /// This truth, or false.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, String> {
        match self.0.remove(name) {
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(format!("{name}: expected true or false, got {other}")),
            None => Ok(false),
        }
    }

    /// Refuses what nobody asked for.
    pub(crate) fn end(self) -> Result<(), String> {
        self.0.keys().next().map_or(Ok(()), |name| Err(format!("unknown field `{name}`")))
    }
}

/// Refuses a kind that there is not.
pub(crate) fn unknown<T>(kind: &str, known: &str) -> Result<T, String> {
    Err(format!("kind: expected {known}, got {kind}"))
}
