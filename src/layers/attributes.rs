//! Layers' attributes as JSON: each layer names its fields once, in [`attributes`].

use std::fmt::Display;

use serde_json::{Map, Value as Json};

use super::definition::Mismatch;

/// A JSON object.
pub type Fields = Map<String, Json>;

/// A struct whose fields are attributes.
pub trait Attributes: Sized {
    /// Its fields as JSON.
    fn to_fields(&self) -> Fields;

    /// Itself from all of these fields.
    ///
    /// # Errors
    /// A [`Mismatch`] that names the field which is missing, unknown or of the wrong type.
    fn from_fields(fields: Fields) -> Result<Self, Mismatch>;
}

/// The type of one attribute.
pub trait Attribute: Sized {
    /// What a reader must find.
    const EXPECTED: &'static str;

    fn to_json(&self) -> Json;

    fn from_json(json: &Json) -> Option<Self>;
}

/// Implements [`Attributes`] for a struct of these fields.
macro_rules! attributes {
    ($name:ident { $($field:ident),* }) => {
        impl $crate::layers::attributes::Attributes for $name {
            fn to_fields(&self) -> $crate::layers::attributes::Fields {
                #[allow(unused_mut, reason = "some layers have no attribute")]
                let mut fields = $crate::layers::attributes::Fields::new();
                $(fields.insert(
                    stringify!($field).into(),
                    $crate::layers::attributes::Attribute::to_json(&self.$field),
                );)*
                fields
            }

            #[allow(unused_mut, reason = "some layers have no attribute")]
            fn from_fields(
                mut fields: $crate::layers::attributes::Fields,
            ) -> Result<Self, $crate::layers::definition::Mismatch> {
                let layer = $name {
                    $($field: $crate::layers::attributes::take(&mut fields, stringify!($field))?,)*
                };
                $crate::layers::attributes::nothing_left(&fields, &[$(stringify!($field)),*])?;
                Ok(layer)
            }
        }
    };
}
pub(super) use attributes;

/// Takes the attribute `name` out of `fields`.
pub(super) fn take<T: Attribute>(fields: &mut Fields, name: &str) -> Result<T, Mismatch> {
    let json = fields.remove(name).unwrap_or_default();
    T::from_json(&json).ok_or_else(|| wrong(name, T::EXPECTED, &json))
}

fn wrong(name: &str, expected: impl Display, json: &Json) -> Mismatch {
    let actual = if json.is_null() { "nothing".into() } else { json.to_string() };
    Mismatch::new(name, expected, actual.chars().take(100).collect::<String>())
}

/// What no attribute took is a mistake of the file.
pub(super) fn nothing_left(fields: &Fields, known: &[&str]) -> Result<(), Mismatch> {
    match fields.iter().next() {
        Some((name, json)) => Err(wrong(name, format!("no attribute besides [{}]", known.join(", ")), json)),
        None => Ok(()),
    }
}

impl Attribute for bool {
    const EXPECTED: &'static str = "true or false";

    fn to_json(&self) -> Json {
        Json::Bool(*self)
    }

    fn from_json(json: &Json) -> Option<Self> {
        json.as_bool()
    }
}

impl Attribute for usize {
    const EXPECTED: &'static str = "a whole number below 2^32";

    fn to_json(&self) -> Json {
        Json::from(*self)
    }

    /// The same limit on every platform, so that a file is good everywhere or nowhere.
    fn from_json(json: &Json) -> Option<Self> {
        u32::try_from(json.as_u64()?).ok()?.try_into().ok()
    }
}

impl Attribute for f32 {
    const EXPECTED: &'static str = "a number";

    fn to_json(&self) -> Json {
        Json::from(*self)
    }

    fn from_json(json: &Json) -> Option<Self> {
        json.as_f64().map(|v| v as f32)
    }
}

impl<const N: usize> Attribute for [usize; N] {
    const EXPECTED: &'static str = match N {
        2 => "two whole numbers",
        3 => "three whole numbers",
        _ => "four whole numbers",
    };

    fn to_json(&self) -> Json {
        self.iter().copied().collect()
    }

    fn from_json(json: &Json) -> Option<Self> {
        let values: Option<Vec<usize>> = json.as_array()?.iter().map(usize::from_json).collect();
        values?.try_into().ok()
    }
}
