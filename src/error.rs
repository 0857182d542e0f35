//! The errors of the crate.

use std::fmt;

/// The result of a function of this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error that names the layer, tensor or argument, the expected value and the actual one.
///
/// [`Error::code`] gives the stable name by which the JavaScript package knows each variant.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each message names its fields")]
pub enum Error {
    /// A layer does not fit the shape that reaches it.
    #[error("layer `{layer}`: {what}: expected {expected}, got {actual}")]
    Layer { layer: String, what: String, expected: String, actual: String },
    /// A tensor has the wrong shape.
    #[error("tensor `{tensor}`: expected shape {expected}, got {actual}")]
    Shape { tensor: String, expected: String, actual: String },
    /// A network's description is not a valid graph.
    #[error("graph `{graph}`: {reason}")]
    Graph { graph: String, reason: String },
    /// A graph names a layer kind that this version does not have.
    #[error("node `{node}`: unknown layer kind `{kind}`; known: {known}")]
    UnknownLayer { node: String, kind: String, known: String },
    /// There is no network of this name.
    #[error("unknown network `{name}`; known: {known}")]
    UnknownNetwork { name: String, known: String },
    /// The tensors of a file and of the network differ in names or shapes.
    #[error("weights do not fit `{graph}`: missing [{}], unexpected [{}], misshapen [{}]",
            missing.join(", "), unexpected.join(", "), misshapen.join(", "))]
    Weights { graph: String, missing: Vec<String>, unexpected: Vec<String>, misshapen: Vec<String> },
    /// A valid file needs features that this version does not have; all of them are listed.
    #[error("{what}: not supported: {}", problems.join("; "))]
    Unsupported { what: String, problems: Vec<String> },
    /// A file was written by a version that this one cannot read.
    #[error("{what}: version {found} is not supported (this build reads {supported})")]
    Version { what: String, found: String, supported: String },
    /// Bytes are not in the expected format.
    #[error("{what}: expected {expected}, got {actual}")]
    Format { what: String, expected: String, actual: String },
    /// Bytes do not have the recorded hash.
    #[error("{what}: SHA-256 mismatch: expected {expected}, got {actual}")]
    Integrity { what: String, expected: String, actual: String },
    /// A size exceeds a stated limit.
    #[error("{what}: {actual} exceeds the limit of {limit}")]
    TooLarge { what: String, actual: u64, limit: u64 },
    /// A value is NaN or infinite.
    #[error("{what}: value {value} at index {index} is not finite")]
    NotFinite { what: String, index: usize, value: f32 },
    /// A label is outside the classes of the network.
    #[error("label {label} of sample {index} is out of range: the network has {classes} classes (0 to {})", classes.saturating_sub(1))]
    Label { index: usize, label: u32, classes: usize },
    /// A data set has no samples.
    #[error("data set `{name}` is empty: expected at least one labelled image")]
    EmptyDataset { name: String },
    /// A training step gave a loss, gradient, weight or statistic that is not finite. The trainer keeps the last weights
    /// with which the network answers in finite numbers.
    #[error(
        "loss is {loss} at step {step}: training diverged, first in `{layer}`; the last weights with finite answers are kept"
    )]
    Diverged { step: u64, loss: f32, layer: String },
    /// An argument is out of its range.
    #[error("{name}: expected {expected}, got {actual}")]
    Argument { name: String, expected: String, actual: String },
    /// The requested backend cannot run here.
    #[error("backend `{backend}` is not available: {reason}")]
    Backend { backend: String, reason: String },
    /// The GPU device was lost.
    #[error("the GPU device was lost: {reason}")]
    DeviceLost { reason: String },
    /// A file could not be read or written.
    #[error("{path}: {reason}")]
    Io { path: String, reason: String },
}

impl Error {
    /// Returns the variant's stable name: `ConvokeError.code` in JavaScript.
    ///
    /// # Examples
    /// ```
    /// use convoke::zoo::{self, Options};
    /// let error = zoo::network("lenet6", Options::default()).unwrap_err();
    /// assert_eq!(error.code(), "unknown-network");
    /// ```
    pub fn code(&self) -> &'static str {
        match self {
            Error::Layer { .. } => "layer",
            Error::Shape { .. } => "shape",
            Error::Graph { .. } => "graph",
            Error::UnknownLayer { .. } => "unknown-layer",
            Error::UnknownNetwork { .. } => "unknown-network",
            Error::Weights { .. } => "weights",
            Error::Unsupported { .. } => "unsupported",
            Error::Version { .. } => "version",
            Error::Format { .. } => "format",
            Error::Integrity { .. } => "integrity",
            Error::TooLarge { .. } => "too-large",
            Error::NotFinite { .. } => "not-finite",
            Error::Label { .. } => "label",
            Error::EmptyDataset { .. } => "empty-dataset",
            Error::Diverged { .. } => "diverged",
            Error::Argument { .. } => "argument",
            Error::Backend { .. } => "backend",
            Error::DeviceLost { .. } => "device-lost",
            Error::Io { .. } => "io",
        }
    }

    /// Makes an [`Error::Argument`].
    pub fn argument(name: impl Into<String>, expected: impl fmt::Display, actual: impl fmt::Display) -> Self {
        Error::Argument { name: name.into(), expected: expected.to_string(), actual: actual.to_string() }
    }

    /// Makes an [`Error::Format`].
    pub fn format(what: impl Into<String>, expected: impl fmt::Display, actual: impl fmt::Display) -> Self {
        Error::Format { what: what.into(), expected: expected.to_string(), actual: actual.to_string() }
    }
}
