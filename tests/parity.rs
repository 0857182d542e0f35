//! Full-size networks on the CPU engine against ONNX Runtime.

#![cfg(not(target_arch = "wasm32"))]

mod suite;

use convoke::cpu::{Engine, Pool};
use suite::networks::Network;

/// Of the largest logit.
const TOLERANCE: f32 = 1e-4;

fn check(name: &str) -> Result<(), String> {
    let network = Network::new(name);
    let mut engine = Engine::new(network.graph(), &network.params, &Pool::new(2)).map_err(|e| e.to_string())?;
    network.check(&engine.run(&network.x).map_err(|e| e.to_string())?, TOLERANCE)
}

#[test]
fn full_size_networks_give_the_logits_of_onnx_runtime() {
    let failures: Vec<String> = Network::names().filter_map(|name| check(name).err()).collect();
    assert!(failures.is_empty(), "{} networks differ:\n{}", failures.len(), failures.join("\n"));
}
