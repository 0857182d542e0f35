//! Full-size networks on the CPU engine against ONNX Runtime.

#![cfg(not(target_arch = "wasm32"))]

mod suite;

use convoke::cpu::Pool;
use pollster::block_on;
use suite::checks;
use suite::networks::Network;
use suite::subject::Subject;

/// The largest error, relative to the largest logit.
const TOLERANCE: f32 = 1e-4;

#[test]
fn full_size_networks_give_the_logits_of_onnx_runtime() {
    let subject = Subject::cpu(Pool::new(2));
    let check = |name| block_on(checks::parity(name, &subject, TOLERANCE));
    let failures: Vec<String> = Network::names().filter_map(|name| check(name).err()).collect();
    assert!(failures.is_empty(), "{} networks differ:\n{}", failures.len(), failures.join("\n"));
}
