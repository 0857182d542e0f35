//! The networks of the literature, each a short function of [`crate::graph::Builder`]. All of them end in logits.
//!
//! [`network`] makes one by name; the functions of single networks and [`resnet`], [`densenet`] and [`vgg`], which take a
//! description, make them directly. `parameters` in the documentation counts trainable values.

mod alexnet;
mod densenet;
mod first_example;
mod googlenet;
mod lenet5;
mod nin;
mod options;
mod registry;
mod resnet;
mod vgg;

pub use alexnet::{alexnet, alexnet_cifar, alexnet_torchvision};
pub use densenet::{DenseNet, densenet};
pub use first_example::first_example;
pub use googlenet::{googlenet, googlenet_cifar, googlenet_torchvision, inception, inception_naive};
pub use lenet5::{lenet5, lenet5_1998};
pub use nin::nin;
pub use options::Options;
pub use registry::{names, network};
pub use resnet::{Block, ResNet, Shortcut, resnet};
pub use vgg::{Vgg, vgg, vgg9, vgg16, vgg19};

#[cfg(test)]
mod tests;
