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

/// An object of numbers, whose `kind` may say which. What serde derives for such structs and tagged enums is several times as
/// much code.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// Which fields to expect.
    pub(crate) fn kind(&mut self) -> Result<String, String> {
        self.text("kind")
    }

    /// This name.
    pub(crate) fn text(&mut self, name: &str) -> Result<String, String> {
        match self.0.remove(name) {
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(format!("{name}: expected a name, got {other}")),
            None => Err(format!("missing field `{name}`")),
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

    /// This whole number, or 0.
    pub(crate) fn count(&mut self, name: &str) -> Result<u32, String> {
        match self.0.remove(name) {
            None => Ok(0),
            Some(number) => number
                .as_u64()
                .and_then(|n| u32::try_from(n).ok())
                .ok_or_else(|| format!("{name}: expected a whole number, got {number}")),
        }
    }

    /// Plain data, or what it is when nothing is said.
    pub(crate) fn value<T: DeserializeOwned>(&mut self, name: &str, default: T) -> Result<T, String> {
        match self.0.remove(name) {
            Some(value) => serde_json::from_value(value).map_err(|e| format!("{name}: {e}")),
            None => Ok(default),
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
