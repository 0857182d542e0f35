//! How fast the CPU engine is, kernel by kernel and network by network, beside the machine's measured peak.
//!
//! ```sh
//! cargo bench --no-default-features --bench cpu                         # every kernel
//! cargo bench --no-default-features --bench cpu -- resnet18 vgg16       # networks, with their slowest steps
//! cargo bench --no-default-features --bench cpu -- --threads 2 resnet50
//! cargo bench --no-default-features --bench cpu -- --exact resnet18     # without Winograd
//! ```
//!
//! Times are minima over rounds. GFLOP/s count two operations for each multiply-accumulate of the layer's definition, so
//! Winograd's may exceed the peak.

use std::hint::black_box;
use std::time::{Duration, Instant};

use convoke::cpu::{Engine, Pool, Prefer, StepInfo, isa};
use convoke::graph::{Builder, Graph, Init, Params, Value};
use convoke::layers::{AvgPool2d, Conv2d, GlobalAvgPool, Layer, Linear, MaxPool2d, Padding, Relu};
use convoke::rng::Rng;
use convoke::tensor::Tensor;
use convoke::zoo;

/// Time for one kernel or network.
const BUDGET: Duration = Duration::from_secs(2);

struct Options {
    threads: usize,
    prefer: Prefer,
    /// Steps listed of a network.
    top: usize,
    networks: Vec<String>,
}

fn options() -> Options {
    let mut options = Options { threads: 1, prefer: Prefer::Speed, top: 12, networks: vec![] };
    // Cargo adds `--bench`.
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    let number = |v: Option<String>| v.and_then(|v| v.parse().ok()).expect("a number follows");
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--threads" => options.threads = number(args.next()),
            "--top" => options.top = number(args.next()),
            "--exact" => options.prefer = Prefer::Exactness,
            name => options.networks.push(name.into()),
        }
    }
    options
}

fn main() {
    let options = options();
    let peak = peak() * options.threads as f64;
    println!("{}, {} threads, peak {peak:.1} GFLOP/s (fused multiply-add, measured)\n", isa(), options.threads);
    if options.networks.is_empty() {
        println!("{:44} {:>10} {:>9} {:>9} {:>6}", "kernel", "algorithm", "ms", "GFLOP/s", "peak");
        for (name, graph) in kernels() {
            kernel(&name, &graph, &options, peak);
        }
    }
    for name in &options.networks {
        match zoo::network(name, zoo::Options::default()) {
            Ok(graph) => network(&graph, &options, peak),
            Err(error) => println!("{error}"),
        }
    }
}

/// Minima over as many runs as fit the budget, at least three: of the whole run, and of each step.
fn measure(engine: &mut Engine, graph: &Graph) -> (Duration, Vec<Duration>) {
    let mut rng = Rng::new(1, 1);
    let mut x = Tensor::zeros(graph.input().batched(1));
    x.data.iter_mut().for_each(|v| *v = rng.range(-1.0, 1.0));
    let mut best = (Duration::MAX, vec![Duration::MAX; engine.steps().len()]);
    let begin = Instant::now();
    let mut runs = 0;
    while runs < 3 || begin.elapsed() < BUDGET {
        let start = Instant::now();
        let mut last = start;
        let mut steps = vec![];
        let mut done = |_| {
            let now = Instant::now();
            steps.push(now - last);
            last = now;
        };
        black_box(engine.run_watched(&x, &mut done).expect("a valid batch"));
        best.0 = best.0.min(start.elapsed());
        // The first step's time includes the input's rearrangement.
        best.1.iter_mut().zip(steps).for_each(|(b, s)| *b = (*b).min(s));
        runs += 1;
    }
    best
}

fn engine(graph: &Graph, options: &Options) -> Engine {
    let params = Params::init(graph, Init::He, 1);
    Engine::with(graph, &params, &Pool::new(options.threads), options.prefer).expect("a valid graph")
}

fn gflops(macs: u64, time: Duration) -> f64 {
    2.0 * macs as f64 / time.as_secs_f64() / 1e9
}

fn ms(time: Duration) -> f64 {
    1e3 * time.as_secs_f64()
}

fn algorithm(step: &StepInfo) -> &'static str {
    step.algorithm.map_or("", |a| a.name())
}

/// The last step of the graph.
fn kernel(name: &str, graph: &Graph, options: &Options, peak: f64) {
    let mut engine = engine(graph, options);
    let (_, times) = measure(&mut engine, graph);
    let steps = engine.steps();
    let (step, time) = (steps.last().expect("a step"), *times.last().expect("a step"));
    let rate = gflops(step.macs, time);
    println!("{name:44} {:>10} {:9.3} {rate:9.1} {:5.0}%", algorithm(step), ms(time), 100.0 * rate / peak);
}

fn network(graph: &Graph, options: &Options, peak: f64) {
    let mut engine = engine(graph, options);
    let (total, times) = measure(&mut engine, graph);
    let macs: u64 = graph.costs().iter().map(|c| c.macs).sum();
    let rate = gflops(macs, total);
    println!(
        "{}: {:.2} ms, {rate:.1} GFLOP/s, {:.0}% of the peak, {} MB",
        graph.name(),
        ms(total),
        100.0 * rate / peak,
        engine.bytes() / 1_000_000
    );
    let mut rows: Vec<_> = engine.steps().into_iter().zip(times).collect();
    rows.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    for (step, time) in rows.iter().take(options.top) {
        let share = 100.0 * time.as_secs_f64() / total.as_secs_f64();
        println!(
            "  {:36} {:16} {:>10} {:9.3} ms {share:5.1}% {:9.1} GFLOP/s",
            step.name,
            step.kind,
            algorithm(step),
            ms(*time),
            gflops(step.macs, *time)
        );
    }
    let mut kinds: Vec<(String, Duration)> = vec![];
    for (step, time) in &rows {
        let kind = format!("{} {}", step.kind, algorithm(step));
        match kinds.iter_mut().find(|(k, _)| *k == kind) {
            Some((_, sum)) => *sum += *time,
            None => kinds.push((kind, *time)),
        }
    }
    let line: Vec<String> = kinds.iter().map(|(kind, time)| format!("{} {:.2} ms", kind.trim(), ms(*time))).collect();
    println!("  by kind: {}\n", line.join(", "));
}

/// One layer each, behind a ReLU where the input's rearrangement would be counted.
fn kernels() -> Vec<(String, Graph)> {
    let conv = |c: usize, k: usize| Conv2d::new(c, k).padding(Padding::all(k / 2));
    let pool = MaxPool2d::new(3, 2);
    let layers: Vec<([usize; 3], Layer)> = vec![
        ([3, 224, 224], conv(64, 7).stride(2).into()),
        ([3, 224, 224], conv(64, 3).into()),
        ([64, 224, 224], conv(64, 3).into()),
        ([64, 56, 56], conv(64, 3).into()),
        ([128, 28, 28], conv(128, 3).into()),
        ([256, 14, 14], conv(256, 3).into()),
        ([512, 14, 14], conv(512, 3).into()),
        ([512, 7, 7], conv(512, 3).into()),
        ([16, 28, 28], conv(32, 3).into()),
        ([64, 56, 56], conv(128, 3).stride(2).into()),
        ([256, 14, 14], conv(512, 3).stride(2).into()),
        ([64, 56, 56], conv(256, 1).into()),
        ([256, 56, 56], conv(64, 1).into()),
        ([512, 28, 28], conv(128, 1).into()),
        ([1024, 14, 14], conv(256, 1).into()),
        ([512, 7, 7], conv(2048, 1).into()),
        ([16, 28, 28], conv(32, 5).into()),
        ([96, 27, 27], conv(256, 5).groups(2).into()),
        ([32, 112, 112], conv(32, 3).groups(32).into()),
        ([144, 56, 56], conv(144, 3).groups(144).stride(2).into()),
        ([576, 14, 14], conv(576, 3).groups(576).into()),
        ([240, 14, 14], conv(240, 5).groups(240).into()),
        ([64, 112, 112], pool.into()),
        ([64, 112, 112], MaxPool2d::new(2, 2).into()),
        ([64, 112, 112], AvgPool2d::new(2, 2).into()),
        ([512, 7, 7], GlobalAvgPool {}.into()),
    ];
    let named = |(input, layer): ([usize; 3], Layer)| {
        let mut b = Builder::new("kernel", input);
        let x = b.add("relu", Relu {}, Value::INPUT);
        let name = describe(input, &layer);
        let y = b.add("layer", layer, x);
        (name, b.finish(y).expect("a valid graph"))
    };
    let linear = |(input, output): (usize, usize)| {
        let mut b = Builder::new("kernel", [input]);
        let x = b.add("relu", Relu {}, Value::INPUT);
        let y = b.add("layer", Linear::new(output), x);
        (format!("linear {input} -> {output}"), b.finish(y).expect("a valid graph"))
    };
    layers.into_iter().map(named).chain([(25088, 4096), (4096, 4096), (512, 1000)].map(linear)).collect()
}

fn describe([c, h, w]: [usize; 3], layer: &Layer) -> String {
    let at = format!("{c} @ {h}x{w}");
    match layer {
        Layer::Conv2d(conv) => {
            let groups = if conv.groups > 1 { format!(", {} groups", conv.groups) } else { String::new() };
            let [k, s] = [conv.window.kernel[0], conv.window.stride[0]];
            format!("conv {k}x{k} stride {s}{groups}, {at} -> {}", conv.out_channels)
        }
        Layer::MaxPool2d(pool) => format!("max pool {0}x{0}, {at}", pool.window.kernel[0]),
        Layer::AvgPool2d(pool) => format!("average pool {0}x{0}, {at}", pool.window.kernel[0]),
        other => format!("{}, {at}", other.kind()),
    }
}

/// GFLOP/s of fused multiply-adds on independent registers.
fn peak() -> f64 {
    const TURNS: u32 = 1_000_000;
    let mut best = Duration::MAX;
    for _ in 0..20 {
        let start = Instant::now();
        black_box(multiply_add(black_box(TURNS), black_box(0.999)));
        best = best.min(start.elapsed());
    }
    gflops(u64::from(TURNS) * (CHAINS * WIDTH) as u64, best)
}

/// Independent sums, enough to hide the latency of each.
const CHAINS: usize = 10;
/// Floats of a vector.
const WIDTH: usize = if cfg!(target_arch = "x86_64") { 8 } else { 4 };

#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma"))]
fn chains(turns: u32, factor: f32) -> f32 {
    let mut sums = [[1.0f32; WIDTH]; CHAINS];
    for _ in 0..turns {
        for sum in &mut sums {
            for lane in sum {
                *lane = lane.mul_add(factor, 0.001);
            }
        }
    }
    sums.iter().flatten().sum()
}

fn multiply_add(turns: u32, factor: f32) -> f32 {
    #[cfg(target_arch = "x86_64")]
    assert!(
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        "the peak is measured with AVX2 and FMA"
    );
    // SAFETY: the features were detected; elsewhere there are none to ask for.
    #[allow(unused_unsafe, reason = "safe where no feature has to be enabled")]
    unsafe {
        chains(turns, factor)
    }
}
