//! Ranges of layers' inputs from sample images, and what computing each layer in integers costs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;
use convoke::cpu::{Algorithm, Engine, Pool, Prefer};
use convoke::format::Model;
use convoke::graph::{Node, Ranges, Value};
use convoke::layers::Layer;
use convoke::quant::{self, Histogram};
use convoke::tensor::Tensor;
use convoke::{Error, Result};
use indicatif::ProgressBar;

use crate::data::{self, Samples, Source};
use crate::files;
use crate::outcome::Outcome;

/// Images that are run at once.
const BATCH: usize = 32;

/// A layer whose integers alone disturb the outputs by more than this part of their root mean square stays in floats.
const MAX_ERROR: f64 = 0.05;

/// How to calibrate.
#[derive(clap::Args)]
pub struct Args {
    /// Images from which each layer's range of inputs is taken, so that the CPU computes it in integers: the training
    /// images of a set by name, or a folder as `convoke eval` takes it.
    #[arg(long, value_name = "mnist|fashion-mnist|DIR")]
    calibrate: Option<Source>,
    /// How the range is chosen.
    #[arg(long, value_enum, default_value = "percentile", requires = "calibrate")]
    method: Method,
    /// How many of the images, taken evenly.
    #[arg(long, value_name = "N", default_value_t = 256, requires = "calibrate", value_parser = clap::value_parser!(u32).range(1..))]
    images: u32,
}

#[derive(Clone, Copy, ValueEnum)]
enum Method {
    /// All that was seen.
    #[value(name = "minmax")]
    MinMax,
    /// All but the largest ten-thousandth.
    Percentile,
    /// The range whose codes tell most of the distribution.
    Entropy,
}

impl Args {
    /// Gives the model ranges, and prints what they cost, layer by layer, when asked to.
    pub fn run(&self, model: &mut Model, data_dir: Option<PathBuf>) -> Outcome {
        let Some(source) = self.calibrate.clone() else { return Ok(()) };
        let samples = data::Args { data: source, data_dir }.training_samples()?;
        let batches = batches(model, &samples, self.images as usize)?;
        let method = match self.method {
            Method::MinMax => quant::Method::MinMax,
            Method::Percentile => quant::Method::Percentile,
            Method::Entropy => quant::Method::Entropy,
        };
        let ranges = ranges(model, &batches, method)?;
        let errors = errors(model, &ranges, &batches[0])?;
        let mut kept = ranges.clone();
        kept.retain(|name, _| errors[name] <= MAX_ERROR);
        model.params = model.params.clone().calibrated(&model.graph, &kept);
        print(model, &ranges, &errors)
    }
}

/// Evenly chosen images as the network takes them.
fn batches(model: &Model, samples: &Samples, images: usize) -> Result<Vec<Tensor>> {
    let preprocess = model.preprocess()?;
    let count = images.min(samples.len());
    if count == 0 {
        return Err(Error::argument("--calibrate", "images", "none"));
    }
    let chosen: Vec<usize> = (0..count).map(|i| i * samples.len() / count).collect();
    let batch = |indices: &[usize]| {
        let images = indices.iter().map(|&i| Ok(samples.get(i)?.0)).collect::<Result<Vec<_>>>()?;
        preprocess.batch(&images)
    };
    chosen.chunks(BATCH).map(batch).collect()
}

/// Layers that may be computed in integers: all with weights but those that see the network's input, which has few
/// channels and every detail, and the last, whose outputs are compared with each other.
fn candidates(model: &Model) -> Vec<&Node> {
    let mut layers: Vec<&Node> =
        model.graph.nodes().iter().filter(|n| matches!(n.layer, Layer::Conv2d(_) | Layer::Linear(_))).collect();
    layers.pop();
    layers.retain(|n| !n.inputs.contains(&Value::INPUT));
    layers
}

fn ranges(model: &Model, batches: &[Tensor], method: quant::Method) -> Result<Ranges> {
    let mut histograms: BTreeMap<String, Histogram> =
        candidates(model).into_iter().map(|n| (n.name.clone(), Histogram::default())).collect();
    let mut engine = engine(model, &Ranges::default(), Prefer::Exactness)?;
    let bar = ProgressBar::new(batches.len() as u64);
    for x in batches {
        engine.observe(x, &mut |name, inputs| {
            if let Some(histogram) = histograms.get_mut(name) {
                histogram.add(inputs);
            }
        })?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(histograms.into_iter().filter_map(|(name, h)| Some((name, h.range(method)?))).collect())
}

fn engine(model: &Model, ranges: &Ranges, prefer: Prefer) -> Result<Engine> {
    let params = model.params.clone().calibrated(&model.graph, ranges);
    Engine::with(&model.graph, &params, &pool(), prefer)
}

fn pool() -> Arc<Pool> {
    Pool::new(std::thread::available_parallelism().map_or(1, usize::from))
}

/// Returns the error of each layer computed alone in integers: the root mean square of the differences between the
/// outputs and the float outputs, relative to the root mean square of the float outputs.
fn errors(model: &Model, ranges: &Ranges, x: &Tensor) -> Result<BTreeMap<String, f64>> {
    let exact = engine(model, &Ranges::default(), Prefer::Exactness)?.run(x)?;
    let error = |(name, range): (&String, &f32)| {
        let only = Ranges::from_iter([(name.clone(), *range)]);
        let y = engine(model, &only, Prefer::Only(Algorithm::Int8))?.run(x)?;
        Ok((name.clone(), relative(&exact, &y)))
    };
    ranges.iter().map(error).collect()
}

fn relative(exact: &Tensor, y: &Tensor) -> f64 {
    let square = |v: f32| f64::from(v).powi(2);
    let power: f64 = exact.data.iter().map(|&v| square(v)).sum();
    let error: f64 = exact.data.iter().zip(&y.data).map(|(a, b)| square(a - b)).sum();
    if error == 0.0 { 0.0 } else { (error / power).sqrt() }
}

fn print(model: &Model, ranges: &Ranges, errors: &BTreeMap<String, f64>) -> Outcome {
    let engine = engine(model, model.params.ranges(), Prefer::Speed)?;
    let steps = engine.steps();
    let width = steps.iter().map(|s| s.name.len()).max().unwrap_or(0).max(6);
    files::print(format_args!("\n{:width$}  {:>9}  {:>12}  computed as", "layer", "range", "output error"))?;
    for step in steps {
        let (name, Some(algorithm)) = (&step.name, step.algorithm) else { continue };
        let cells = match ranges.get(name) {
            Some(range) => format!("{range:>9.4}  {:>10.3} %", 100.0 * errors[name]),
            None => format!("{:>9}  {:>12}", "", ""),
        };
        files::print(format_args!("{name:width$}  {cells}  {}", algorithm.name()))?;
    }
    files::print("")?;
    Ok(())
}
