//! A missing adapter and a lost device are errors.

use convoke::Error;
use convoke::gpu::{Device, Engine, Trainer};
use convoke::graph::{Init, Params};
use convoke::layers::Loss;
use convoke::plan::Optimizer;
use pollster::block_on;

use crate::list::List;
use crate::suite::training::small_network;
use crate::suite::{SEED, random};

pub fn add(list: &mut List) {
    list.test("gpu::device/no-adapter", || block_on(no_adapter()));
    list.test("gpu::device/lost", || block_on(lost()));
}

async fn no_adapter() {
    let error = Device::request_from(wgpu::Backends::empty()).await.unwrap_err();
    assert!(matches!(&error, Error::Backend { backend, .. } if backend == "webgpu"), "{error}");
}

/// A lost device gives an error and never an answer.
async fn lost() {
    let graph = small_network();
    let params = Params::init(&graph, Init::He, 4);
    let device = Device::request().await.unwrap();
    let mut engine = Engine::new(&graph, &params, &device).await.unwrap();
    let (loss, optimizer) = (Loss::CROSS_ENTROPY, Optimizer::sgd(0.9));
    let mut trainer = Trainer::new(&graph, &params, loss, optimizer, SEED, &device).await.unwrap();
    let x = random(&[1, 2, 9, 9], 1);
    engine.run(&x).await.unwrap();
    device.destroy();
    assert!(device.lost().is_some());
    for error in [
        engine.run(&x).await.unwrap_err(),
        trainer.step(&x, &[0], 0.1).await.unwrap_err(),
        trainer.params().await.unwrap_err(),
        Engine::new(&graph, &params, &device).await.err().expect("no engine on a lost device"),
    ] {
        assert_eq!(error.code(), "device-lost", "{error}");
    }
}
