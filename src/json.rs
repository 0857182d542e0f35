//! JSON into plain data, with errors that name the field.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// The reason why JSON is not what a reader expects.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReadError {
    /// The field, with those that it lies in: `window.kernel[0]`. Empty for the whole.
    pub path: String,
    /// The reason in `serde`'s words.
    pub message: String,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "{}", self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

/// Reads `text` as a `T`.
///
/// # Errors
/// A [`ReadError`] for text that is no JSON or holds something else.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, ReadError> {
    let invalid = |e: serde_json::Error| ReadError { path: String::new(), message: e.to_string() };
    from_value(serde_json::from_str(text).map_err(invalid)?)
}

/// Reads a JSON value as a `T`.
///
/// # Errors
/// A [`ReadError`] that names the field, what was expected and what came.
pub(crate) fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, ReadError> {
    serde_path_to_error::deserialize(value).map_err(|e| {
        let path = if e.path().iter().len() == 0 { String::new() } else { e.path().to_string() };
        ReadError { path, message: e.inner().to_string() }
    })
}

/// Serializes numbers in single precision by their decimal digits: 0.9, and not 0.8999999761581421.
pub(crate) fn in_decimal<T: Serialize, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let text = serde_json::to_string(value).expect("the value is plain data");
    serde_json::from_str::<Value>(&text).expect("JSON that was just written").serialize(serializer)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Outer {
        inner: Inner,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        sizes: Vec<usize>,
    }

    impl Default for Outer {
        fn default() -> Self {
            Outer { inner: Inner { sizes: vec![7] } }
        }
    }

    #[test]
    fn errors_name_the_field() {
        let error = |text| parse::<Outer>(text).unwrap_err().to_string();
        assert_eq!(parse::<Outer>("{}"), Ok(Outer::default()));
        assert_eq!(
            error(r#"{"inner": {"sizes": [1, "x"]}}"#),
            "inner.sizes[1]: invalid type: string \"x\", expected usize"
        );
        assert!(error(r#"{"inner": {"size": 1}}"#).starts_with("inner.size: unknown field `size`, expected `sizes`"));
        assert!(error(r#"{"inner": 3}"#).starts_with("inner: invalid type: integer `3`"));
        assert!(error("{").contains("EOF"));
        assert!(error("[1, 2]").contains("expected"));
    }
}
