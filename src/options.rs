//! Options that callers and files set by name. A table beside each type names its options with their ranges; defaults are
//! what the type's `Default` and its `serde` attributes give. Reading, validation and the package's documentation use the
//! tables.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Options by their names, with the values to set.
pub type Changes = Map<String, Value>;

/// One option of a table.
#[derive(Debug, Clone, Copy)]
pub struct OptionSpec {
    /// The name in JSON and in JavaScript.
    pub name: &'static str,
    /// The values that are accepted.
    pub range: Range,
    /// The meaning, as sentences.
    pub about: &'static str,
}

/// One kind of an option that has several, each with options of its own.
#[derive(Debug, Clone, Copy)]
pub struct KindSpec {
    /// The value of `kind`.
    pub name: &'static str,
    /// The kind's options.
    pub options: &'static [OptionSpec],
    /// The meaning, as sentences.
    pub about: &'static str,
}

/// The values that an option accepts.
#[derive(Debug, Clone, Copy)]
pub enum Range {
    /// A number from the first to the second, both included.
    Within(f32, f32),
    /// A number from the first on and below the second.
    Below(f32, f32),
    /// A finite number of at least this.
    AtLeast(f32),
    /// A whole number from the first to the second, both included.
    Whole(u64, u64),
    /// `true` or `false`.
    Flag,
    /// Text.
    Text,
    /// An object of these options.
    Object(&'static [OptionSpec]),
    /// A list of objects of these options.
    List(&'static [OptionSpec]),
    /// An object whose `kind` decides which options it has.
    OneOf(&'static [KindSpec]),
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Range::Within(low, high) => write!(f, "{low} to {high}"),
            Range::Below(low, high) => write!(f, "at least {low} and below {high}"),
            Range::AtLeast(low) => write!(f, "a finite number of at least {low}"),
            Range::Whole(low, high) if *high == u64::from(u32::MAX) => write!(f, "a whole number from {low}"),
            Range::Whole(low, high) => write!(f, "{low} to {high}"),
            Range::Flag => write!(f, "true or false"),
            Range::Text => write!(f, "text"),
            Range::Object(_) => write!(f, "an object"),
            Range::List(_) => write!(f, "a list of objects"),
            Range::OneOf(kinds) => write!(f, "{}", alternatives(kinds.iter().map(|kind| kind.name))),
        }
    }
}

impl OptionSpec {
    /// An option of a table.
    pub const fn new(name: &'static str, range: Range, about: &'static str) -> Self {
        OptionSpec { name, range, about }
    }

    /// The option, called `path` in messages, accepts `value`.
    fn check(&self, path: &str, value: &Value) -> Result<()> {
        let number = value.as_f64().map_or(f32::NAN, |number| number as f32);
        let ok = match self.range {
            Range::Within(low, high) => (low..=high).contains(&number),
            Range::Below(low, high) => (low..high).contains(&number),
            Range::AtLeast(low) => number.is_finite() && number >= low,
            Range::Whole(low, high) => value.as_u64().is_some_and(|n| (low..=high).contains(&n)),
            Range::Flag => value.is_boolean(),
            Range::Text => value.is_string(),
            Range::Object(options) => return check_object(path, value, options),
            Range::OneOf(kinds) => return check_kind(path, value, kinds),
            Range::List(options) => match value.as_array() {
                Some(items) => {
                    let mut indexed = items.iter().enumerate();
                    return indexed.try_for_each(|(i, item)| check_object(&format!("{path}[{i}]"), item, options));
                }
                None => false,
            },
        };
        if ok { Ok(()) } else { Err(Error::argument(path, self.range, shown(value))) }
    }
}

/// Refuses options that the table lacks, and values outside their ranges. `path` comes before each name in messages.
///
/// # Errors
/// [`Error::Argument`] that names the option, its range and the value.
pub(crate) fn check_fields(path: &str, fields: &Changes, options: &[OptionSpec]) -> Result<()> {
    for (name, value) in fields {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match options.iter().find(|option| option.name == name) {
            Some(option) => option.check(&path, value)?,
            None => {
                let known = alternatives(options.iter().map(|option| option.name));
                let expected =
                    if options.is_empty() { "no option".into() } else { format!("one of the options {known}") };
                return Err(Error::argument(path, expected, format_args!("unknown field `{name}`")));
            }
        }
    }
    Ok(())
}

fn check_object(path: &str, value: &Value, options: &[OptionSpec]) -> Result<()> {
    match value {
        Value::Object(fields) => check_fields(path, fields, options),
        other => Err(Error::argument(path, "an object", shown(other))),
    }
}

fn check_kind(path: &str, value: &Value, kinds: &'static [KindSpec]) -> Result<()> {
    let Value::Object(fields) = value else { return Err(Error::argument(path, "an object", shown(value))) };
    let kind = fields.get("kind").unwrap_or(&Value::Null);
    let Some(known) = kinds.iter().find(|known| kind.as_str() == Some(known.name)) else {
        return Err(Error::argument(format!("{path}.kind"), Range::OneOf(kinds), shown(kind)));
    };
    let mut own = fields.clone();
    own.remove("kind");
    check_fields(path, &own, known.options)
}

/// Checks a value for the option of this name.
///
/// # Errors
/// [`Error::Argument`] that names the option, its range and the value.
pub(crate) fn check_one(options: &[OptionSpec], name: &str, value: impl Into<Value>) -> Result<()> {
    check_fields("", &Changes::from_iter([(name.to_string(), value.into())]), options)
}

/// Checks all options of `value`, called `path` in messages, against the table.
///
/// # Errors
/// [`Error::Argument`] that names the option, its range and the value.
pub(crate) fn validate(path: &str, value: &impl Serialize, range: Range) -> Result<()> {
    let value = serde_json::to_value(value).expect("options are plain data");
    match (range, &value) {
        (Range::Object(options), Value::Object(fields)) => check_fields(path, fields, options),
        _ => OptionSpec::new("", range, "").check(path, &value),
    }
}

/// The value as messages show it: cut to 100 characters, numbers in single precision.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => "nothing, or no finite number".into(),
        Value::Number(number) if !number.is_u64() && !number.is_i64() => {
            (number.as_f64().unwrap_or(f64::NAN) as f32).to_string()
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.chars().take(100).collect()
}

/// `a, b or c`.
pub(crate) fn alternatives<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => one.to_string(),
        [others @ .., last] => format!("{} or {last}", others.join(", ")),
    }
}
