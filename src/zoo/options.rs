//! The options that all networks share.

/// The properties of a network that may vary without changing its name.
///
/// # Examples
/// ```
/// use convoke::zoo::{self, Options};
/// let graph = zoo::network("lenet5", Options { classes: Some(26), ..Options::default() })?;
/// assert_eq!(graph.classes(), 26);
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// The outputs of the last layer, at least 1; by default the network's own number.
    pub classes: Option<usize>,
    /// Whether GoogLeNet gets its auxiliary heads; by default it does not. Networks without such heads ignore the option.
    pub auxiliary: bool,
    /// The channels of the first stage of a ResNet or its plain twin, at least 1; by default the network's own number.
    pub width: Option<usize>,
}
