use super::options::Options;
use super::registry::{names, network};
use crate::graph::{Graph, Value};

fn make(name: &str) -> Graph {
    network(name, Options::default()).unwrap()
}

fn parameters(graph: &Graph) -> u64 {
    graph.costs().iter().map(|c| c.parameters).sum()
}

/// Parameters, and 10^9 multiply-accumulates to the digits that are given.
#[test]
fn figures_of_the_table() {
    let table: &[(&str, u64, f64, usize)] = &[
        // The notes' figure 2 counts 392,460 before the output neuron, which adds 200 weights and a bias.
        ("first-example", 392_460 + 201, 0.00059, 5),
        ("lenet5", 61_706, 0.0004, 4),
        // Full connection in C3 (the paper's table I drops some), pooling without trainable coefficients.
        ("lenet5-1998", 61_706, 0.0004, 4),
        ("alexnet", 60_965_224, 0.724, 3),
        ("alexnet-torchvision", 61_100_840, 0.714, 3),
        ("alexnet-cifar", 1_436_874, 0.046, 3),
        ("vgg9", 880_810, 0.039, 3),
        ("googlenet-cifar", 348_770, 0.022, 3),
        ("densenet22", 270_706, 0.073, 3),
        ("vgg16", 138_357_544, 15.47, 2),
        ("vgg19", 143_667_240, 19.63, 2),
        ("resnet18", 11_689_512, 1.81, 2),
        ("resnet34", 21_797_672, 3.66, 2),
        ("resnet50", 25_557_032, 4.09, 2),
        ("resnet101", 44_549_160, 7.80, 2),
        ("resnet152", 60_192_808, 11.51, 2),
        ("resnet20", 269_722, 0.041, 3),
        ("resnet56", 853_018, 0.125, 3),
        ("resnet110", 1_727_962, 0.253, 3),
        ("nin", 966_986, 0.222, 3),
        ("googlenet", 6_998_552, 1.583, 3),
        ("googlenet-torchvision", 6_624_904, 1.498, 3),
        ("densenet121", 7_978_856, 2.83, 2),
        ("densenet169", 14_149_480, 3.36, 2),
        ("densenet201", 20_013_928, 4.29, 2),
        ("densenet161", 28_681_000, 7.73, 2),
        ("densenet40", 1_019_722, 0.265, 3),
    ];
    for &(name, expected, gmacs, digits) in table {
        let graph = make(name);
        assert_eq!(parameters(&graph), expected, "{name}");
        let macs = graph.costs().iter().map(|c| c.macs).sum::<u64>() as f64 / 1e9;
        assert!((macs - gmacs).abs() <= 0.6 * 10f64.powi(-(digits as i32)), "{name}: {macs} GMAC instead of {gmacs}");
    }
}

#[test]
fn auxiliary_heads_have_their_parameters() {
    let options = Options { auxiliary: true, ..Options::default() };
    assert_eq!(parameters(&network("googlenet-torchvision", options).unwrap()), 13_004_888);
    let graph = network("googlenet", options).unwrap();
    assert_eq!(graph.outputs().iter().map(|o| o.loss_weight).collect::<Vec<_>>(), [1.0, 0.3, 0.3]);
}

#[test]
fn shapes_of_the_notes_figures() {
    let shape = |graph: &Graph, node: &str| {
        let at = graph.nodes().iter().position(|n| n.name == node).unwrap_or_else(|| panic!("no {node}"));
        graph.shape(Value::of_node(at)).to_string()
    };
    assert_eq!(shape(&make("first-example"), "pool1"), "10x14x14");
    let alexnet = make("alexnet");
    assert_eq!(
        ["conv1", "pool1", "conv2", "pool2", "pool5"].map(|n| shape(&alexnet, n)),
        ["96x55x55", "96x27x27", "256x27x27", "256x13x13", "256x6x6"]
    );
    assert_eq!(shape(&make("vgg16"), "features.30"), "512x7x7");
    assert_eq!(shape(&make("resnet34"), "layer4.2.relu"), "512x7x7");
    assert_eq!(shape(&make("inception-naive"), "concat"), "256x28x28");
    assert_eq!(shape(&make("inception"), "inception3a.concat"), "256x28x28");
    let googlenet = make("googlenet");
    assert_eq!(
        ["inception3b.concat", "inception4e.concat", "inception5b.concat"].map(|n| shape(&googlenet, n)),
        ["480x28x28", "832x14x14", "1024x7x7"]
    );
}

/// The notes' equation (5): layer l of a dense block sees `k[0] + k (l - 1)` maps.
#[test]
fn growth_rate() {
    let graph = make("densenet121");
    for l in 1..=6 {
        let name = format!("features.denseblock1.denselayer{l}.norm1");
        let node = graph.nodes().iter().find(|n| n.name == name).unwrap();
        assert_eq!(graph.shape(node.inputs[0]).chw().0, 64 + 32 * (l - 1));
    }
}

#[test]
fn plain_twins_have_the_same_layers_but_no_shortcut() {
    for (residual, plain) in [("resnet20", "plain20"), ("resnet44", "plain44")] {
        let (residual, plain) = (make(residual), make(plain));
        assert_eq!(parameters(&residual), parameters(&plain));
        assert!(plain.nodes().iter().all(|n| n.inputs.len() == 1));
    }
    // Option B's projections have parameters; the twin has none of them.
    assert!(parameters(&make("plain34")) < parameters(&make("resnet34")));
}

#[test]
fn classes_are_an_argument() {
    for name in names() {
        if name.starts_with("inception") {
            continue;
        }
        let options = Options { classes: Some(7), ..Options::default() };
        assert_eq!(network(&name, options).unwrap().classes(), 7, "{name}");
    }
}

#[test]
fn unknown_names_are_answered_with_the_known_ones() {
    let error = network("lenet6", Options::default()).unwrap_err().to_string();
    assert!(error.contains("lenet6") && error.contains("lenet5-1998"), "{error}");
}
