//! LeNet-5, today and as of 1998.

use super::options::Options;
use crate::error::Result;
use crate::graph::{Builder, Graph, Value};
use crate::layers::{AvgPool2d, Conv2d, Flatten, Layer, Linear, MaxPool2d, Relu, Sigmoid, Tanh};

/// LeNet-5 as it is taught today (the notes' section 2.1, figure 3): ReLU and max pooling.
///
/// # Shapes
/// Input `[1, 32, 32]`; 10 classes unless `options.classes` says otherwise; 61,706 parameters.
///
/// # Errors
/// Returns [`crate::Error::Layer`] for `options.classes` of 0. Other options are ignored.
///
/// # Examples
/// ```
/// use convoke::zoo::{Options, lenet5};
/// let graph = lenet5(Options::default())?;
/// assert_eq!(graph.input().to_string(), "1x32x32");
/// assert_eq!(graph.costs().iter().map(|row| row.parameters).sum::<u64>(), 61_706);
/// # Ok::<(), convoke::Error>(())
/// ```
pub fn lenet5(options: Options) -> Result<Graph> {
    let (relu, pool) = (Relu {}.into(), MaxPool2d::new(2, 2).into());
    build("lenet5", options, [relu, pool], None)
}

/// LeNet-5 after LeCun et al., 1998: tanh, average pooling followed by a sigmoid, softmax in place of the radial basis
/// functions. Unlike the paper, all maps of the second convolution see all of the first, and poolings have no coefficients.
///
/// # Shapes
/// Input `[1, 32, 32]`; 10 classes unless `options.classes` says otherwise; 61,706 parameters.
///
/// # Errors
/// Returns [`crate::Error::Layer`] for `options.classes` of 0. Other options are ignored.
///
/// # Examples
/// ```
/// use convoke::zoo::{Options, lenet5_1998};
/// let graph = lenet5_1998(Options::default())?;
/// assert_eq!(graph.input().to_string(), "1x32x32");
/// assert_eq!(graph.costs().iter().map(|row| row.parameters).sum::<u64>(), 61_706);
/// # Ok::<(), convoke::Error>(())
/// ```
pub fn lenet5_1998(options: Options) -> Result<Graph> {
    let (tanh, pool) = (Tanh {}.into(), AvgPool2d::new(2, 2).into());
    build("lenet5-1998", options, [tanh, pool], Some(Sigmoid {}.into()))
}

fn build(name: &str, options: Options, [activation, pool]: [Layer; 2], after_pool: Option<Layer>) -> Result<Graph> {
    let mut b = Builder::new(name, [1, 32, 32]);
    let mut x = Value::INPUT;
    for (i, channels) in [(1, 6), (2, 16)] {
        x = b.add(format!("conv{i}"), Conv2d::new(channels, 5), x);
        x = b.add(format!("act{i}"), activation.clone(), x);
        x = b.add(format!("pool{i}"), pool.clone(), x);
        if let Some(layer) = &after_pool {
            x = b.add(format!("squash{i}"), layer.clone(), x);
        }
    }
    x = b.add("flatten", Flatten {}, x);
    for (i, features) in [(1, 120), (2, 84)] {
        x = b.add(format!("fc{i}"), Linear::new(features), x);
        x = b.add(format!("act{}", i + 2), activation.clone(), x);
    }
    let x = b.add("fc3", Linear::new(options.classes.unwrap_or(10)), x);
    b.finish(x)
}
