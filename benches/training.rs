//! How long a training step takes: SGD with momentum on one batch, for `bench/native.py`, which compares it.
//!
//! ```sh
//! cargo bench --no-default-features --bench training -- resnet8 --batch 32 --threads 2 --seconds 3 --weights FILE
//! ```
//!
//! Writes the first weights to FILE as safetensors and prints a line of JSON: the loss of the first step, and the
//! milliseconds of each of the others.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use convoke::cpu::{Pool, Trainer};
use convoke::format::{Meta, Model, WeightFormat};
use convoke::graph::{Init, Params};
use convoke::layers::Loss;
use convoke::plan::Optimizer;
use convoke::tensor::Tensor;
use convoke::zoo;

struct Options {
    network: String,
    batch: usize,
    threads: usize,
    seconds: f64,
    weights: PathBuf,
}

fn options() -> Options {
    let mut o = Options {
        network: "resnet8".into(),
        batch: 32,
        threads: 1,
        seconds: 2.0,
        weights: "weights.safetensors".into(),
    };
    // Cargo adds `--bench`.
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    while let Some(arg) = args.next() {
        let mut value = || args.next().expect("a value follows");
        match arg.as_str() {
            "--batch" => o.batch = value().parse().expect("a number"),
            "--threads" => o.threads = value().parse().expect("a number"),
            "--seconds" => o.seconds = value().parse().expect("a number"),
            "--weights" => o.weights = value().into(),
            name => o.network = name.into(),
        }
    }
    o
}

/// Numbers between -1 and 1 that any language finds again.
fn batch(shape: &[usize]) -> Tensor {
    let value = |i: u32| i.wrapping_mul(2_654_435_761) as f32 / 2_147_483_648.0 - 1.0;
    let data = (0..shape.iter().product::<usize>() as u32).map(value).collect();
    Tensor::new(shape, data).expect("as many values as the shape says")
}

fn main() {
    let o = options();
    let classes = zoo::Options { classes: Some(10), ..zoo::Options::default() };
    let graph = match o.network.as_str() {
        "resnet8" => zoo::resnet("resnet8", &zoo::ResNet::cifar(8), classes),
        name => zoo::network(name, classes),
    };
    let graph = graph.expect("a network");
    let params = Params::init(&graph, Init::of(&graph), 1);
    let model = Model { graph: graph.clone(), params: params.clone(), meta: Meta::default() };
    std::fs::write(&o.weights, model.to_bytes(WeightFormat::F32).expect("finite weights")).expect("a file to write");

    let x = batch(&graph.input().batched(o.batch));
    let labels: Vec<u32> = (0..o.batch as u32).map(|i| i % 10).collect();
    let pool = Pool::new(o.threads);
    let mut trainer = Trainer::new(&graph, &params, Loss::CROSS_ENTROPY, Optimizer::sgd(0.9), 1, &pool).expect("valid");
    let mut step = || {
        let start = Instant::now();
        let loss = trainer.step(&x, &labels, 0.001).expect("a valid batch").loss;
        (loss, start.elapsed())
    };
    let (loss, _) = step();
    let begin = Instant::now();
    let mut times = vec![];
    while begin.elapsed() < Duration::from_secs_f64(o.seconds) {
        times.push(1e3 * step().1.as_secs_f64());
    }
    println!("{}", serde_json::json!({ "loss": loss, "times": times }));
}
