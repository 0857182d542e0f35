//! Files whose images have their channels last, as TensorFlow's have.

use convoke::format::onnx;
use convoke::graph::Graph;

use crate::bytes::*;

/// A small network behind a transposed image.
fn channels_last(perm: &[i64], image: &[i64]) -> File {
    let mut file = file().input(image);
    file.nodes[0] = node("Conv", &["first", "conv.w", "conv.b"], "conv", &[]);
    file.nodes.insert(0, node("Transpose", &["x"], "first", &[ints_attribute("perm", perm)]));
    file
}

fn read(file: File) -> Graph {
    onnx::read(file.bytes()).unwrap().graph
}

#[test]
fn an_image_that_is_transposed_at_once_is_taken_with_its_channels_first() {
    let model = onnx::read(channels_last(&[0, 3, 1, 2], &[4, 4, 1]).bytes()).unwrap();
    let plain = onnx::read(file().bytes()).unwrap();
    assert_eq!(model.graph.input().dims(), [1, 4, 4]);
    assert_eq!((model.graph.nodes(), &model.params), (plain.graph.nodes(), &plain.params));
}

#[test]
fn other_transposes_stay_layers() {
    let kinds = |graph: &Graph| graph.nodes().iter().map(|n| n.layer.kind()).collect::<Vec<_>>();
    // An image whose rows become columns.
    let turned = read(channels_last(&[0, 1, 3, 2], &[1, 4, 4]));
    assert_eq!((turned.input().dims(), kinds(&turned)[0]), (&[1, 4, 4][..], "permute"));
    // The image has another reader.
    let mut read_twice = channels_last(&[0, 3, 1, 2], &[4, 4, 3]);
    read_twice.initializers[0] = tensor("conv.w", &[2, 3, 3, 3]);
    let first_again = node("Transpose", &["other"], "again", &[ints_attribute("perm", &[0, 3, 1, 2])]);
    let others = [node("Relu", &["x"], "other", &[]), first_again, node("Add", &["first", "again"], "sum", &[])];
    read_twice.nodes[1] = node("Conv", &["sum", "conv.w", "conv.b"], "conv", &[]);
    read_twice.nodes.splice(1..1, others);
    let graph = read(read_twice);
    assert_eq!(graph.input().dims(), [4, 4, 3]);
    assert!(kinds(&graph).contains(&"permute"));
}
