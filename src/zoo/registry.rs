//! The networks by name.

use super::alexnet::{alexnet, alexnet_cifar, alexnet_torchvision};
use super::densenet::{DenseNet, densenet};
use super::first_example::first_example;
use super::googlenet::{googlenet, googlenet_cifar, googlenet_torchvision, inception, inception_naive};
use super::lenet5::{lenet5, lenet5_1998};
use super::nin::nin;
use super::options::Options;
use super::resnet::{Block, ResNet, resnet};
use super::vgg::{vgg9, vgg16, vgg19};
use crate::error::{Error, Result};
use crate::graph::Graph;

/// How a network is made.
#[derive(Clone)]
enum Recipe {
    Made(fn(Options) -> Result<Graph>),
    ResNet(ResNet),
    DenseNet(DenseNet),
}

/// Returns all networks by name.
fn networks() -> Vec<(String, Recipe)> {
    use Block::{Basic, Bottleneck};
    let mut networks: Vec<(String, Recipe)> = [
        ("first-example", first_example as fn(Options) -> Result<Graph>),
        ("lenet5", lenet5),
        ("lenet5-1998", lenet5_1998),
        ("alexnet", alexnet),
        ("alexnet-torchvision", alexnet_torchvision),
        ("alexnet-cifar", alexnet_cifar),
        ("vgg9", vgg9),
        ("vgg16", vgg16),
        ("vgg19", vgg19),
        ("nin", nin),
        ("inception-naive", inception_naive),
        ("inception", inception),
        ("googlenet", googlenet),
        ("googlenet-torchvision", googlenet_torchvision),
        ("googlenet-cifar", googlenet_cifar),
    ]
    .map(|(name, make)| (name.to_string(), Recipe::Made(make)))
    .to_vec();
    let imagenet = [
        (18, [2, 2, 2, 2], Basic),
        (34, [3, 4, 6, 3], Basic),
        (50, [3, 4, 6, 3], Bottleneck),
        (101, [3, 4, 23, 3], Bottleneck),
        (152, [3, 8, 36, 3], Bottleneck),
    ];
    let mut resnets: Vec<(usize, ResNet)> =
        imagenet.map(|(depth, blocks, block)| (depth, ResNet::imagenet(blocks, block))).to_vec();
    resnets.extend([20, 32, 44, 56, 110].map(|depth| (depth, ResNet::cifar(depth))));
    for (depth, config) in resnets {
        networks.push((format!("resnet{depth}"), Recipe::ResNet(config.clone())));
        // The paper has plain twins only of networks with basic blocks.
        if config.block == Basic {
            networks.push((format!("plain{depth}"), Recipe::ResNet(config.plain())));
        }
    }
    let densenets = [
        (121, [6, 12, 24, 16], 32, 64),
        (169, [6, 12, 32, 32], 32, 64),
        (201, [6, 12, 48, 32], 32, 64),
        (161, [6, 12, 36, 24], 48, 96),
    ];
    for (depth, layers, growth, start) in densenets {
        networks.push((format!("densenet{depth}"), Recipe::DenseNet(DenseNet::imagenet(layers, growth, start))));
    }
    for depth in [22, 40] {
        networks.push((format!("densenet{depth}"), Recipe::DenseNet(DenseNet::cifar(depth, 12))));
    }
    networks
}

/// Returns the names of all networks.
///
/// # Examples
/// ```
/// assert!(convoke::zoo::names().contains(&"resnet18".to_string()));
/// ```
pub fn names() -> Vec<String> {
    networks().into_iter().map(|(name, _)| name).collect()
}

/// Makes the network of this name, one of [`names`]. With `options.width` the network's name ends in `-width` and the number.
///
/// # Errors
/// Returns [`Error::UnknownNetwork`], which lists the known names; [`Error::Argument`] for a width unless the network is a
/// ResNet or its plain twin; [`Error::Layer`] for 0 classes or a width of 0.
///
/// # Examples
/// ```
/// use convoke::zoo::{self, Options};
/// let graph = zoo::network("resnet18", Options::default())?;
/// assert_eq!((graph.input().to_string(), graph.classes()), ("3x224x224".to_string(), 1000));
/// # Ok::<(), convoke::Error>(())
/// ```
pub fn network(name: &str, options: Options) -> Result<Graph> {
    match (networks().into_iter().find(|(known, _)| known == name), options.width) {
        (Some((name, Recipe::ResNet(config))), Some(width)) => {
            resnet(&format!("{name}-width{width}"), &ResNet { width, ..config }, options)
        }
        (Some((name, _)), Some(_)) => Err(Error::argument("width", "a ResNet or its plain twin", name)),
        (Some((_, Recipe::Made(make))), None) => make(options),
        (Some((name, Recipe::ResNet(config))), None) => resnet(&name, &config, options),
        (Some((name, Recipe::DenseNet(config))), None) => densenet(&name, &config, options),
        (None, _) => Err(Error::UnknownNetwork { name: name.into(), known: names().join(", ") }),
    }
}
