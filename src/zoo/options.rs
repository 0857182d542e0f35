//! The options that all networks share.

/// What may vary in a network without changing its name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Outputs of the last layer; the network's own number when `None`.
    pub classes: Option<usize>,
    /// Whether a network that has auxiliary heads (GoogLeNet) gets them.
    pub auxiliary: bool,
    /// Channels of the first stage of a ResNet or its plain twin; the network's own number when `None`.
    pub width: Option<usize>,
}
