//! Winograd's algorithm, and the bound that [`Prefer::Speed`] documents on its error.

use convoke::cpu::{Algorithm, Engine, Pool, Prefer};
use convoke::graph::{Builder, Init, Params, Value, reference};
use convoke::layers::{Conv2d, Padding};
use convoke::tensor::Tensor;
use convoke::zoo;

use super::algorithms::{self, inferred};
use crate::list::List;
use crate::suite::{Case, random};

pub fn add(list: &mut List) {
    algorithms::add(list, Algorithm::Winograd, 28);
    for kernel in [3, 5] {
        let name = format!("cpu::winograd/error-over-256-channels-{kernel}x{kernel}");
        list.test(name, move || error_is_bounded(kernel, Algorithm::Winograd));
    }
    for network in ["resnet20", "vgg9", "googlenet-cifar"] {
        list.test(format!("cpu::winograd/error-over-{network}"), || error_over_a_network(network));
    }
}

/// Returns the largest error, relative to the root mean square of the wanted values.
pub fn error(got: &Tensor, want: &Tensor<f64>) -> f64 {
    let rms = (want.data.iter().map(|v| v * v).sum::<f64>() / want.data.len() as f64).sqrt();
    got.data.iter().zip(&want.data).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max) / rms
}

/// Checks the error of one layer over enough channels for errors to add up.
pub fn error_is_bounded(kernel: usize, algorithm: Algorithm) {
    let mut b = Builder::new("deep", [256, 12, 12]);
    let y = b.add("conv", Conv2d::new(64, kernel).padding(Padding::Same), Value::INPUT);
    let case = Case::new("deep", b.finish(y).unwrap(), 1);
    let (params, x) = case.given();
    let want = &reference::forward(&case.graph, &params, &x.to_f64(), None)[y.index()];
    let worst = error(&inferred(&case, algorithm, &Pool::single()), want);
    assert!(worst < 2e-5, "{worst:e} of the output's root mean square");
}

/// Checks a whole network with both of Winograd's kernels: errors neither grow from layer to layer nor exceed the errors
/// of sums of products by much.
fn error_over_a_network(name: &str) {
    let graph = zoo::network(name, zoo::Options::default()).unwrap();
    let params = Params::init(&graph, Init::He, 5);
    let x = random(&[1, 3, 32, 32], 6);
    let values = reference::forward(&graph, &params, &x.to_f64(), None);
    let want = &values[graph.outputs()[0].value.index()];
    let worst = [Prefer::Exactness, Prefer::Speed].map(|prefer| {
        let mut engine = Engine::with(&graph, &params, &Pool::new(2), prefer).unwrap();
        error(&engine.run(&x).unwrap(), want)
    });
    assert!(worst[0] < 5e-6 && worst[1] < 5e-6, "{name}: {worst:?}");
}
