//! A node of a file with typed access to its attributes, and the ways in which reading it can fail.

use std::fmt::Display;

use super::proto::{AttributeProto, NodeProto, TensorProto};
use crate::error::Error;

/// Why a node could not be read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The node asks for something that Convoke does not have. Reading goes on, so that one error lists everything.
    Unsupported(String),
    /// The node reads an output of an unsupported node, which is already listed.
    DependsOnUnsupported,
    /// The file is not valid.
    Invalid(Error),
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        match error {
            // A layer may refuse attributes that are valid ONNX, so its error joins the list.
            Error::Layer { what, expected, actual, .. } => {
                ReadError::Unsupported(format!("{what}: expected {expected}, got {actual}"))
            }
            error => ReadError::Invalid(error),
        }
    }
}

/// The result of reading a node or a part of it.
pub(super) type ReadResult<T = ()> = Result<T, ReadError>;

/// Refuses something that is valid ONNX.
pub(super) fn unsupported<T>(reason: impl Into<String>) -> ReadResult<T> {
    Err(ReadError::Unsupported(reason.into()))
}

/// Whether a domain is ONNX's own.
pub(super) fn is_default_domain(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// Returns the operator's name, preceded by its domain where that is not ONNX's own.
pub(super) fn operator_name(proto: &NodeProto) -> String {
    match proto.domain.as_str() {
        domain if is_default_domain(domain) => proto.op_type.clone(),
        domain => format!("{domain}.{}", proto.op_type),
    }
}

/// A node of the file.
pub(super) struct OnnxNode<'a> {
    pub proto: &'a NodeProto,
    /// The name of the graph nodes that are made for this node.
    pub name: String,
    /// The version of the file's operator set.
    pub opset: i64,
    /// Whether the operator gives values of its input and zeros, and no others.
    pub moves_values: bool,
}

impl<'a> OnnxNode<'a> {
    /// The number of inputs, those that are left out included.
    pub(super) fn input_count(&self) -> usize {
        self.proto.input.len()
    }

    /// The name of input `i`; `None` for an input that is left out.
    pub(super) fn input(&self, i: usize) -> Option<&'a str> {
        self.proto.input.get(i).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// Whether output `i` has a name, and so may be read.
    pub(super) fn has_output(&self, i: usize) -> bool {
        self.proto.output.get(i).is_some_and(|name| !name.is_empty())
    }

    /// Makes the error of a node that is not valid ONNX.
    pub(super) fn invalid(&self, what: impl Display, expected: impl Display, actual: impl Display) -> ReadError {
        let what = format!("ONNX node `{}` ({}): {what}", self.name, operator_name(self.proto));
        ReadError::Invalid(Error::format(what, expected, actual))
    }

    /// Returns an attribute of any type by its name.
    pub(super) fn attribute(&self, name: &str) -> Option<&'a AttributeProto> {
        self.proto.attribute.iter().find(|a| a.name == name)
    }

    fn typed<T>(&self, name: &str, kind: &str, get: impl Fn(&'a AttributeProto) -> Option<T>) -> ReadResult<Option<T>> {
        let Some(attribute) = self.attribute(name) else { return Ok(None) };
        let wrong = || self.invalid(format!("attribute `{name}`"), kind, "an attribute of another type");
        get(attribute).ok_or_else(wrong).map(Some)
    }

    /// Returns an integer attribute; `None` if it is missing.
    pub(super) fn maybe_int(&self, name: &str) -> ReadResult<Option<i64>> {
        self.typed(name, "an integer", |a| a.i)
    }

    /// Returns an integer attribute, or the default if it is missing.
    pub(super) fn int(&self, name: &str, default: i64) -> ReadResult<i64> {
        Ok(self.maybe_int(name)?.unwrap_or(default))
    }

    /// Returns an integer attribute as a flag: true unless it is 0.
    pub(super) fn flag(&self, name: &str, default: bool) -> ReadResult<bool> {
        Ok(self.int(name, default.into())? != 0)
    }

    /// Returns a float attribute; `None` if it is missing.
    pub(super) fn maybe_float(&self, name: &str) -> ReadResult<Option<f32>> {
        self.typed(name, "a float", |a| a.f)
    }

    /// Returns a float attribute, or the default if it is missing.
    pub(super) fn float(&self, name: &str, default: f32) -> ReadResult<f32> {
        Ok(self.maybe_float(name)?.unwrap_or(default))
    }

    /// Returns a list of integers; `None` if the attribute is missing.
    pub(super) fn ints(&self, name: &str) -> Option<&'a [i64]> {
        self.attribute(name).map(|a| a.ints.as_slice())
    }

    /// Returns a string attribute; `None` if it is missing.
    pub(super) fn string(&self, name: &str) -> ReadResult<Option<String>> {
        self.typed(name, "a string", |a| a.s.as_ref().map(|s| String::from_utf8_lossy(s).into_owned()))
    }

    /// Returns a tensor attribute; `None` if it is missing.
    pub(super) fn tensor(&self, name: &str) -> ReadResult<Option<&'a TensorProto>> {
        self.typed(name, "a tensor", |a| a.t.as_deref())
    }

    /// Returns a list of `N` counts, such as strides; `default` for each if the attribute is missing.
    pub(super) fn counts<const N: usize>(&self, name: &str, default: usize) -> ReadResult<[usize; N]> {
        let Some(ints) = self.ints(name) else { return Ok([default; N]) };
        if ints.len() != N {
            return unsupported(format!("attribute `{name}`: expected {N} values, got {}", ints.len()));
        }
        let mut counts = [0; N];
        for (to, &from) in counts.iter_mut().zip(ints) {
            // A negative padding crops, which only the layer Slice does.
            *to = usize::try_from(from)
                .map_err(|_| ReadError::Unsupported(format!("attribute `{name}`: expected 0 or more, got {from}")))?;
        }
        Ok(counts)
    }

    /// Converts an axis of a value of `rank` dimensions; negative ones count from the end.
    pub(super) fn axis(&self, axis: i64, rank: usize) -> ReadResult<usize> {
        let counted = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
        usize::try_from(counted)
            .ok()
            .filter(|&a| a < rank)
            .ok_or_else(|| self.invalid("axis", format!("-{rank} to {}", rank.max(1) - 1), axis))
    }

    /// Converts a list of axes like [`OnnxNode::axis`].
    pub(super) fn axes(&self, axes: impl IntoIterator<Item = i64>, rank: usize) -> ReadResult<Vec<usize>> {
        axes.into_iter().map(|a| self.axis(a, rank)).collect()
    }
}
