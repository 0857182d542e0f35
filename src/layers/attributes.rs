//! Layers' attributes as JSON objects, with errors that name the attribute.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use super::definition::Mismatch;
use crate::json;

/// A JSON object.
pub type Fields = Map<String, Json>;

/// Returns the attributes of a layer as a JSON object.
pub(super) fn to_fields(layer: &impl Serialize) -> Fields {
    match serde_json::to_value(layer) {
        Ok(Json::Object(fields)) => fields,
        _ => unreachable!("a layer is a struct of plain data"),
    }
}

/// Makes a layer from all of its attributes.
///
/// # Errors
/// A [`Mismatch`] that names the attribute which is missing, unknown or of the wrong type.
pub(super) fn from_fields<T: DeserializeOwned>(fields: Fields) -> Result<T, Mismatch> {
    for (name, value) in &fields {
        check_size(name, value)?;
    }
    let given = fields.clone();
    json::from_value(Json::Object(fields)).map_err(|error| mismatch(&given, &error))
}

/// Refuses whole numbers that exist on 64-bit platforms alone, so that a file is good everywhere or nowhere.
fn check_size(name: &str, value: &Json) -> Result<(), Mismatch> {
    match value {
        Json::Number(number) if number.as_u64().is_some_and(|n| n > u64::from(u32::MAX)) => {
            Err(Mismatch::new(name, plain("usize"), number))
        }
        Json::Array(items) => items.iter().try_for_each(|item| check_size(name, item)),
        Json::Object(fields) => {
            fields.iter().try_for_each(|(inner, value)| check_size(&format!("{name}.{inner}"), value))
        }
        _ => Ok(()),
    }
}

/// Converts an error of the reader to the attribute, the expected value and the value in the file.
fn mismatch(fields: &Fields, error: &json::ReadError) -> Mismatch {
    let quoted = |prefix| error.message.strip_prefix(prefix).and_then(|rest| rest.split_once('`'));
    if let Some((name, _)) = quoted("missing field `") {
        return Mismatch::new(name, "a value", "nothing");
    }
    let expected = error.message.split_once(", expected ").map_or("no attribute", |(_, expected)| plain(expected));
    let (name, top) = match quoted("unknown field `") {
        Some((name, _)) => (name, name),
        None => (error.path.as_str(), error.path.split(['.', '[']).next().unwrap_or_default()),
    };
    let actual = fields.get(top).map_or_else(|| "another attribute".to_string(), Json::to_string);
    Mismatch::new(name, expected, actual.chars().take(100).collect::<String>())
}

/// Rust's name of a type in words.
fn plain(expected: &str) -> &str {
    match expected {
        "usize" => "a whole number below 2^32",
        "f32" => "a number",
        "a boolean" => "true or false",
        other => other,
    }
}
