//! The notes' first example.

use super::options::Options;
use crate::error::Result;
use crate::graph::{Builder, Graph, Value};
use crate::layers::{Conv2d, Flatten, Linear, MaxPool2d, Relu};

/// The notes' first example (section 1.4, figure 2): one convolution, one pooling, 200 neurons, and one output neuron for
/// binary cross-entropy (or `options.classes` of them for softmax).
///
/// # Shapes
/// Input `[1, 32, 32]`; 1 output unless `options.classes` says otherwise; 392,661 parameters.
///
/// # Errors
/// Returns [`crate::Error::Layer`] for `options.classes` of 0. Other options are ignored.
///
/// # Examples
/// ```
/// use convoke::zoo::{Options, first_example};
/// let graph = first_example(Options::default())?;
/// assert_eq!(graph.input().to_string(), "1x32x32");
/// assert_eq!(graph.costs().iter().map(|row| row.parameters).sum::<u64>(), 392_661);
/// # Ok::<(), convoke::Error>(())
/// ```
pub fn first_example(options: Options) -> Result<Graph> {
    let mut b = Builder::new("first-example", [1, 32, 32]);
    let x = b.add("conv1", Conv2d::new(10, 5), Value::INPUT);
    let x = b.add("relu1", Relu {}, x);
    let x = b.add("pool1", MaxPool2d::new(2, 2), x);
    let x = b.add("flatten", Flatten {}, x);
    let x = b.add("fc1", Linear::new(200), x);
    let x = b.add("relu2", Relu {}, x);
    let x = b.add("fc2", Linear::new(options.classes.unwrap_or(1)), x);
    b.finish(x)
}
