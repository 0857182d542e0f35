//! The table of `convoke describe --plan`: the steps of a network on the CPU engine.

use std::fmt::Write;
use std::time::{Duration, Instant};

use convoke::Result;
use convoke::cpu::{Algorithm, Engine, Pool, Prefer};
use convoke::format::Model;
use convoke::tensor::Tensor;

use crate::files::grouped;

/// Runs that are timed, after one that warms up; the shortest time of each step counts.
const RUNS: usize = 3;

/// Steps with their algorithms and tiles ([`Engine::tiles`]) and, measured here on one thread, times and rates. Layers that are fused into another
/// have no step.
pub fn table(model: &Model, prefer: Prefer) -> Result<String> {
    let Model { graph, params, .. } = model;
    let mut engine = Engine::with(graph, params, &Pool::single(), prefer)?;
    let times = times(&mut engine, &Tensor::zeros(graph.input().batched(1)))?;
    let costs = graph.costs();
    let shape = |name: &str| costs.iter().find(|c| c.name == name).map_or(String::new(), |c| c.shape.to_string());
    let mut rows = vec![["step", "kind", "algorithm", "tile", "output", "MACs", "ms", "GFLOP/s"].map(String::from)];
    let steps = engine.steps();
    for ((step, time), tile) in steps.iter().zip(&times).zip(engine.tiles()) {
        let algorithm = step.algorithm.map_or("", Algorithm::name).to_string();
        let tile = tile.map_or(String::new(), |[rows, columns]| format!("{rows}x{columns}"));
        let rate = if step.macs > 0 { rate(step.macs, *time) } else { String::new() };
        let (macs, ms) = (grouped(step.macs), milliseconds(*time));
        rows.push([step.name.clone(), step.kind.into(), algorithm, tile, shape(&step.name), macs, ms, rate]);
    }
    let (macs, time) = (steps.iter().map(|s| s.macs).sum(), times.iter().sum());
    let empty = String::new;
    rows.push([
        "total".into(),
        empty(),
        empty(),
        empty(),
        empty(),
        grouped(macs),
        milliseconds(time),
        rate(macs, time),
    ]);

    let head = format!("{}, input {}, {} on one thread", graph.name(), graph.input(), convoke::cpu::isa());
    let widths: [usize; 8] = std::array::from_fn(|i| rows.iter().map(|row| row[i].len()).max().unwrap_or(0));
    let mut text = head + "\n";
    for row in &rows {
        text.push('\n');
        for (i, (cell, width)) in row.iter().zip(widths).enumerate() {
            let gap = if i == 0 { "" } else { "  " };
            // Words to the left, numbers to the right.
            let written = if i < 5 { write!(text, "{gap}{cell:width$}") } else { write!(text, "{gap}{cell:>width$}") };
            written.expect("writing to a string");
        }
        text.truncate(text.trim_end().len());
    }
    Ok(text)
}

/// The shortest time of each step.
fn times(engine: &mut Engine, x: &Tensor) -> Result<Vec<Duration>> {
    engine.run(x)?;
    let mut shortest = vec![Duration::MAX; engine.steps().len()];
    for _ in 0..RUNS {
        let mut last = Instant::now();
        engine.run_watched(x, &mut |i| {
            let now = Instant::now();
            shortest[i] = shortest[i].min(now - last);
            last = now;
        })?;
    }
    Ok(shortest)
}

fn milliseconds(time: Duration) -> String {
    format!("{:.3}", 1e3 * time.as_secs_f64())
}

/// Two operations for each multiply-accumulate, as the layer defines them: an algorithm that needs fewer gets more.
fn rate(macs: u64, time: Duration) -> String {
    format!("{:.1}", 2e-9 * macs as f64 / time.as_secs_f64().max(1e-9))
}
