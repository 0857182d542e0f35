//! `convoke describe`: what a network is made of and what it costs.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use convoke::format::{Meta, Model};
use convoke::graph::{Cost, Graph};
use convoke::plan::{Plan, Purpose};
use convoke::zoo;
use serde_json::json;

use crate::files::grouped;
use crate::{Outcome, files};

/// Describe a network or a model file: layers, shapes, parameters, multiply-accumulates, memory.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  convoke describe lenet5\n  convoke describe models/lenet5-mnist.safetensors --format json"
)]
pub struct Args {
    /// A model file, or the name of a network.
    #[arg(value_name = "MODEL|NAME")]
    subject: String,
    /// Classes of a network by name [default: its own].
    #[arg(long, value_name = "N")]
    classes: Option<usize>,
    /// With the auxiliary heads that a network by name is trained with.
    #[arg(long)]
    auxiliary: bool,
    /// How to print it.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// Runs the command.
pub fn run(args: Args) -> Outcome {
    let path = PathBuf::from(&args.subject);
    let looks_like_file = path.exists() || path.extension().is_some() || args.subject.contains('/');
    let (graph, meta) = if looks_like_file { from_file(&path)? } else { (by_name(&args)?, Meta::default()) };
    let text = match args.format {
        Format::Table => table(&graph, &meta),
        Format::Json => json(&graph, &meta),
    };
    files::print(text)?;
    Ok(())
}

fn from_file(path: &Path) -> convoke::Result<(Graph, Meta)> {
    let Model { graph, meta, .. } = files::read_model(path)?;
    Ok((graph, meta))
}

fn by_name(args: &Args) -> convoke::Result<Graph> {
    zoo::network(&args.subject, zoo::Options { classes: args.classes, auxiliary: args.auxiliary })
}

/// Bytes of the memory in which the values of one sample live during inference.
fn activation_bytes(graph: &Graph) -> u64 {
    4 * Plan::new(graph, 1, Purpose::Inference).arena as u64
}

fn total(costs: &[Cost], of: impl Fn(&Cost) -> u64) -> u64 {
    costs.iter().map(of).sum()
}

fn json(graph: &Graph, meta: &Meta) -> String {
    let costs = graph.costs();
    let description = json!({
        "name": graph.name(),
        "input": graph.input(),
        "parameters": total(&costs, |c| c.parameters),
        "macs": total(&costs, |c| c.macs),
        "activationBytes": activation_bytes(graph),
        "layers": costs,
        "labels": meta.labels,
        "preprocess": files::json(&meta.preprocess),
        "provenance": meta.provenance,
    });
    serde_json::to_string_pretty(&description).expect("plain data")
}

fn table(graph: &Graph, meta: &Meta) -> String {
    let costs = graph.costs();
    let mut rows = vec![["layer", "kind", "output", "parameters", "MACs"].map(String::from)];
    for c in &costs {
        let row = [&c.name, c.kind, &c.shape.to_string(), &grouped(c.parameters), &grouped(c.macs)];
        rows.push(row.map(str::to_string));
    }
    let (parameters, macs) = (total(&costs, |c| c.parameters), total(&costs, |c| c.macs));
    rows.push(["total".into(), String::new(), String::new(), grouped(parameters), grouped(macs)]);
    let column_width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(column_width);
    let mut text = format!("{}, input {}\n\n", graph.name(), graph.input());
    for [name, kind, shape, parameters, macs] in &rows {
        let [w0, w1, w2, w3, w4] = widths;
        let line = format!("{name:w0$}  {kind:w1$}  {shape:w2$}  {parameters:>w3$}  {macs:>w4$}");
        writeln!(text, "{}", line.trim_end()).expect("writing to a string");
    }
    let mut facts =
        vec![("activations", format!("{} bytes (one sample, inference)", grouped(activation_bytes(graph))))];
    if !meta.labels.is_empty() {
        facts.push(("labels", meta.labels.join(", ")));
    }
    facts.extend(meta.provenance.iter().map(|(key, value)| (key.as_str(), value.clone())));
    let width = facts.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    for (key, value) in facts {
        write!(text, "\n{key:width$}  {value}").expect("writing to a string");
    }
    text
}
