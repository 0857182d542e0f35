//! Model files and plain safetensors of any bytes: an error or a model that can be written and read again.
#![no_main]

use std::sync::OnceLock;

use convoke::format::{Model, WeightFormat, weights};
use convoke::graph::Graph;
use convoke::zoo;
use libfuzzer_sys::fuzz_target;

fn network() -> &'static Graph {
    static NETWORK: OnceLock<Graph> = OnceLock::new();
    NETWORK.get_or_init(|| zoo::network("lenet5", zoo::Options::default()).expect("it is in the zoo"))
}

fuzz_target!(|bytes: &[u8]| {
    let _ = weights::read(network(), bytes);
    let Ok(model) = Model::from_bytes(bytes) else { return };
    let written = model.to_bytes(WeightFormat::F32).expect("a model that was read can be written");
    assert_eq!(Model::from_bytes(&written).expect("what was written is read"), model);
});
