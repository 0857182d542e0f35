//! Files that Convoke refuses, and its messages.

use convoke::Error;
use convoke::format::onnx::{self, Options};
use convoke::graph::{Builder, Graph, Init, Params, Value};
use convoke::layers::FakeQuantize;
use convoke::zoo;
use proptest::prelude::*;

use crate::write;

fn lenet() -> (Graph, Params) {
    let graph = zoo::network("lenet5", zoo::Options::default()).unwrap();
    let params = Params::init(&graph, Init::He, 1);
    (graph, params)
}

/// LeNet-5's file with every text replaced by another of equal length.
fn edited(from: &str, to: &str) -> Error {
    assert_eq!(from.len(), to.len());
    let (graph, params) = lenet();
    let mut bytes = write(&graph, &params);
    let places: Vec<usize> =
        (0..bytes.len() - from.len()).filter(|&i| bytes[i..].starts_with(from.as_bytes())).collect();
    assert!(!places.is_empty());
    for i in places {
        bytes[i..][..to.len()].copy_from_slice(to.as_bytes());
    }
    onnx::read(bytes).unwrap_err()
}

#[test]
fn everything_that_is_not_supported_is_listed_at_once() {
    let Error::Unsupported { problems, .. } = edited("MaxPool", "MaxRoiP") else { panic!("another error") };
    assert_eq!(
        problems,
        [
            "node `pool1` (MaxRoiP): an operator that Convoke does not have",
            "node `pool2` (MaxRoiP): an operator that Convoke does not have"
        ]
    );
}

#[test]
fn attributes_are_named() {
    let message = edited("kernel_shape", "kernel_shapf").to_string();
    assert!(message.contains("pool1") && message.contains("kernel_shape"), "{message}");
    let message = edited("transB", "transA").to_string();
    assert!(message.contains("node `fc1` (Gemm): attribute `transA`"), "{message}");
}

#[test]
fn scales_that_are_no_scales_are_named() {
    let mut b = Builder::new("rounded", [2, 3, 3]);
    let scale = 0.765_432_1_f32;
    let y = b.add("steps", FakeQuantize { scale, zero_point: 3 }, Value::INPUT);
    let graph = b.finish(y).unwrap();
    let bytes = write(&graph, &Params::init(&graph, Init::He, 1));
    let at = (0..bytes.len() - 4).find(|&i| bytes[i..].starts_with(&scale.to_le_bytes())).expect("the scale is stored");
    for wrong in [-1.0, 0.0, f32::NAN, f32::MAX] {
        let mut bytes = bytes.clone();
        bytes[at..][..4].copy_from_slice(&wrong.to_le_bytes());
        let message = onnx::read(bytes).unwrap_err().to_string();
        assert!(message.contains("steps") && message.contains("scale: expected a positive number"), "{message}");
    }
}

#[test]
fn versions_are_named() {
    let (graph, params) = lenet();
    let mut bytes = write(&graph, &params);
    assert_eq!(&bytes[..2], [0x08, 8], "the IR version comes first");
    bytes[1] = 2;
    assert!(onnx::read(bytes.clone()).unwrap_err().to_string().contains("ONNX IR: version 2"), "IR");
    bytes[1] = 8;
    let opset = bytes.len() - 1;
    assert_eq!(bytes[opset], 17, "the operator set comes last");
    bytes[opset] = 5;
    assert!(onnx::read(bytes).unwrap_err().to_string().contains("ONNX operator set: version 5"), "operator set");
}

#[test]
fn other_files_are_refused() {
    for bytes in [&b""[..], b"<!doctype html>", b"{}", &[0xff; 100], &[0x08, 8]] {
        assert!(onnx::read(bytes.to_vec()).is_err());
    }
}

#[test]
fn constants_that_a_file_only_describes_are_limited() {
    let (graph, params) = lenet();
    let bytes = write(&graph, &params);
    let options = Options { constant_bytes: Some(1000), ..Options::default() };
    assert_eq!(onnx::read_with(bytes, &options).unwrap_err().code(), "too-large");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damaged_files_never_panic(seed in any::<u32>(), count in 1usize..6) {
        let graph = zoo::network("inception", zoo::Options::default()).unwrap();
        let mut bytes = write(&graph, &Params::init(&graph, Init::He, 1));
        let mut rng = convoke::rng::Rng::new(seed, 0);
        // Weights are most of the file and seldom matter: damage its ends.
        for _ in 0..count {
            let n = bytes.len();
            let at = if rng.below(2) == 0 { rng.below(4000.min(n)) } else { n - 1 - rng.below(2000.min(n)) };
            bytes[at] = rng.word() as u8;
        }
        let _ = onnx::read(bytes);
    }
}
