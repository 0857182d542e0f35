use super::options::Options;
use crate::error::Result;
use crate::graph::{Builder, Graph, Value};
use crate::layers::{Conv2d, Flatten, Linear, MaxPool2d, Relu};

/// The notes' first example (section 1.4, figure 2): one convolution, one pooling, 200 neurons, and one output neuron
/// for binary cross-entropy (or `classes` of them for softmax). Input 1x32x32.
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
