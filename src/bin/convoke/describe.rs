//! `convoke describe`: lists the layers of a network and their costs.

use std::fmt::Write;

use clap::ValueEnum;
use convoke::Error;
use convoke::cpu::{Footprint, Pool, Prefer};
use convoke::format::{Meta, Model};
use convoke::graph::{Cost, Graph, Init, Param, Params};
use convoke::plan::{Plan, Purpose};
use convoke::zoo;
use serde_json::json;

use crate::files::grouped;
use crate::outcome::{Failure, Outcome};
use crate::{diagram, files, plan};

/// Describe a network or a model file: layers, shapes, parameters, multiply-accumulates, memory.
#[derive(clap::Args)]
#[command(
    mut_arg("model", |a| a.value_name("MODEL|NAME").help("A model file in any format, or the name of a network")),
    after_help = "Examples:\n  convoke describe lenet5\n  \
        convoke describe models/lenet5-mnist.safetensors --format json\n  convoke describe inception --format mermaid\n  convoke describe resnet50 --plan"
)]
pub struct Args {
    #[command(flatten)]
    model: files::ModelArgs,
    /// With the auxiliary heads that a network by name is trained with.
    #[arg(long)]
    auxiliary: bool,
    /// How to print it.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Print the plan of the CPU engine instead: each step with its algorithm, timed here on one thread. A network by name
    /// gets random weights.
    #[arg(long, conflicts_with = "format")]
    plan: bool,
    /// With --plan: without algorithms that round differently from a sum of products (Winograd's).
    #[arg(long, requires = "plan")]
    exact: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Json,
    /// A flowchart that Markdown pages draw.
    Mermaid,
    /// Graphviz.
    Dot,
}

/// Runs the command.
pub fn run(args: Args) -> Outcome {
    let path = &args.model.model;
    let looks_like_file = path.is_file() || path.extension().is_some() || path.components().count() > 1;
    if looks_like_file && args.auxiliary {
        return Err(Failure::Usage(Error::argument("--auxiliary", "the name of a network", path.display())));
    }
    if args.plan {
        let model = if looks_like_file { args.model.read()? } else { random(by_name(&args)?) };
        let prefer = if args.exact { Prefer::Exactness } else { Prefer::Speed };
        files::print(plan::table(&model, prefer)?)?;
        return Ok(());
    }
    let (graph, meta, params) = if looks_like_file {
        let Model { graph, meta, params } = args.model.read()?;
        (graph, meta, params)
    } else {
        (by_name(&args)?, Meta::default(), Params::default())
    };
    let codes = params.params().any(|(_, tensor)| matches!(**tensor, Param::Quantized { .. }));
    let need = Footprint::of(&graph, codes, params.ranges(), &Pool::single())?;
    let text = match args.format {
        Format::Table => table(&graph, &meta, &need),
        Format::Json => json(&graph, &meta, &need),
        Format::Mermaid => diagram::mermaid(&graph),
        Format::Dot => diagram::dot(&graph),
    };
    files::print(text)?;
    Ok(())
}

fn by_name(args: &Args) -> Outcome<Graph> {
    let files::ModelArgs { model, arch, classes } = &args.model;
    match arch {
        Some(_) => Err(args.model.usage("a file of weights beside --arch")),
        None => {
            let options = zoo::Options { classes: *classes, auxiliary: args.auxiliary, width: None };
            Ok(zoo::network(&model.to_string_lossy(), options)?)
        }
    }
}

fn random(graph: Graph) -> Model {
    Model { params: Params::init(&graph, Init::of(&graph), 1), graph, meta: Meta::default() }
}

/// Bytes of the memory in which the values of one sample live during inference, and how few would do.
fn activation_bytes(graph: &Graph) -> (u64, u64) {
    let plan = Plan::new(graph, 1, Purpose::Inference);
    (4 * plan.arena as u64, 4 * plan.largest_live as u64)
}

fn total(costs: &[Cost], of: impl Fn(&Cost) -> u64) -> u64 {
    costs.iter().map(of).sum()
}

fn json(graph: &Graph, meta: &Meta, need: &Footprint) -> String {
    let costs = graph.costs();
    let (bytes, minimum) = activation_bytes(graph);
    let description = json!({
        "name": graph.name(),
        "input": graph.input(),
        "output": graph.output_kind(),
        "parameters": total(&costs, |c| c.parameters),
        "macs": total(&costs, |c| c.macs),
        "activationBytes": bytes,
        "activationBytesMinimum": minimum,
        "memory": need,
        "layers": costs,
        "labels": meta.labels,
        "preprocess": files::json(&meta.preprocess),
        "provenance": meta.provenance,
    });
    serde_json::to_string_pretty(&description).expect("plain data")
}

fn table(graph: &Graph, meta: &Meta, need: &Footprint) -> String {
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
    let (bytes, minimum) = activation_bytes(graph);
    let activations = format!("{} bytes (one sample, inference)", grouped(bytes));
    let ratio = bytes as f64 / minimum as f64;
    let minimum = format!("{} bytes alive at once: the memory is {ratio:.2} times that", grouped(minimum));
    let weights = format!("{} bytes, held once", grouped(need.weights));
    let transformed = format!("{} bytes beside them: Winograd's transforms, folded weights", grouped(need.transformed));
    let peak = format!("{} bytes while loading, {} then", grouped(need.peak()), grouped(need.at_rest()));
    let mut facts = vec![("output", graph.output_kind().to_string())];
    facts.extend([("activations", activations), ("minimum", minimum)]);
    facts.extend([("weights", weights), ("transformed", transformed), ("memory", peak)]);
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
