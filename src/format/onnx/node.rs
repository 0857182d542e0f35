//! One operator of a file: its attributes by name and type, and the ways in which reading it can end.

use std::fmt::Display;

use super::proto::{AttributeProto, NodeProto, TensorProto};
use crate::error::Error;

/// Why a node could not be read.
#[derive(Debug)]
pub(super) enum Stop {
    /// It asks for something that Convoke does not have; reading goes on, to list everything at once.
    Unsupported(String),
    /// It reads a value of such a node; nothing to add.
    Unknown,
    /// The file is not valid.
    Invalid(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match error {
            // What a layer refuses may be right in ONNX, so it joins the list.
            Error::Layer { what, expected, actual, .. } => {
                Stop::Unsupported(format!("{what}: expected {expected}, got {actual}"))
            }
            error => Stop::Invalid(error),
        }
    }
}

/// The result of reading a part of a node.
pub(super) type Step<T = ()> = Result<T, Stop>;

/// Says no to something that is valid ONNX.
pub(super) fn unsupported<T>(reason: impl Into<String>) -> Step<T> {
    Err(Stop::Unsupported(reason.into()))
}

/// The operator of a node, with its domain where that is not ONNX's own.
pub(super) fn kind(proto: &NodeProto) -> String {
    match proto.domain.as_str() {
        "" | "ai.onnx" => proto.op_type.clone(),
        domain => format!("{domain}.{}", proto.op_type),
    }
}

/// A node of the file, the version of its operator set, and the name under which it enters the graph.
pub(super) struct Op<'a> {
    pub proto: &'a NodeProto,
    pub name: String,
    pub opset: i64,
}

impl<'a> Op<'a> {
    /// The operator, with its domain where that is not ONNX's own.
    pub(super) fn kind(&self) -> String {
        kind(self.proto)
    }

    /// The name of input `i`; `None` where it is left out.
    pub(super) fn input(&self, i: usize) -> Option<&'a str> {
        self.proto.input.get(i).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// Whether output `i` has a name, and so may be used.
    pub(super) fn has_output(&self, i: usize) -> bool {
        self.proto.output.get(i).is_some_and(|name| !name.is_empty())
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&'a AttributeProto> {
        self.proto.attribute.iter().find(|a| a.name == name)
    }

    pub(super) fn invalid(&self, what: impl Display, expected: impl Display, actual: impl Display) -> Stop {
        let what = format!("ONNX node `{}` ({}): {what}", self.name, self.kind());
        Stop::Invalid(Error::format(what, expected, actual))
    }

    fn typed<T>(&self, name: &str, kind: &str, get: impl Fn(&'a AttributeProto) -> Option<T>) -> Step<Option<T>> {
        let Some(attribute) = self.attribute(name) else { return Ok(None) };
        let wrong = || self.invalid(format!("attribute `{name}`"), kind, "an attribute of another type");
        get(attribute).ok_or_else(wrong).map(Some)
    }

    pub(super) fn maybe_int(&self, name: &str) -> Step<Option<i64>> {
        self.typed(name, "an integer", |a| a.i)
    }

    pub(super) fn int(&self, name: &str, default: i64) -> Step<i64> {
        Ok(self.maybe_int(name)?.unwrap_or(default))
    }

    pub(super) fn maybe_float(&self, name: &str) -> Step<Option<f32>> {
        self.typed(name, "a float", |a| a.f)
    }

    pub(super) fn float(&self, name: &str, default: f32) -> Step<f32> {
        Ok(self.maybe_float(name)?.unwrap_or(default))
    }

    pub(super) fn ints(&self, name: &str) -> Option<&'a [i64]> {
        self.attribute(name).map(|a| a.ints.as_slice())
    }

    pub(super) fn string(&self, name: &str) -> Step<Option<String>> {
        self.typed(name, "a string", |a| a.s.as_ref().map(|s| String::from_utf8_lossy(s).into_owned()))
    }

    pub(super) fn tensor(&self, name: &str) -> Step<Option<&'a TensorProto>> {
        self.typed(name, "a tensor", |a| a.t.as_deref())
    }

    /// Small counts such as strides: `N` of them, or the default where the attribute is missing.
    pub(super) fn counts<const N: usize>(&self, name: &str, default: usize) -> Step<[usize; N]> {
        let Some(ints) = self.ints(name) else { return Ok([default; N]) };
        if ints.len() != N {
            return unsupported(format!("attribute `{name}`: expected {N} values, got {}", ints.len()));
        }
        let mut counts = [0; N];
        for (to, &from) in counts.iter_mut().zip(ints) {
            // A negative padding crops, which no layer but Slice does.
            *to = usize::try_from(from)
                .map_err(|_| Stop::Unsupported(format!("attribute `{name}`: expected 0 or more, got {from}")))?;
        }
        Ok(counts)
    }

    /// An axis, counted from the end if negative, of a value of `rank` dimensions.
    pub(super) fn axis(&self, axis: i64, rank: usize) -> Step<usize> {
        let counted = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
        usize::try_from(counted)
            .ok()
            .filter(|&a| a < rank)
            .ok_or_else(|| self.invalid("axis", format!("-{rank} to {}", rank.max(1) - 1), axis))
    }
}
