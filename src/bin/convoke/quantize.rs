//! `convoke quantize`: weights in 8 bits, ranges for layers in integers, and what that costs.

use std::path::PathBuf;

use convoke::format::{Model, WeightFormat};
use convoke::quant;

use crate::data::{self, Source};
use crate::outcome::Outcome;
use crate::{backend, calibrate, eval, files};

/// Quantize a model: weights in 8 bits, one scale for each output channel; with --calibrate layers that compute in integers.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  convoke quantize lenet5.safetensors --out lenet5-int8.safetensors --data mnist\n  \
    convoke quantize resnet20.safetensors --out resnet20-int8.safetensors --calibrate fashion-mnist --data fashion-mnist"
)]
pub struct Args {
    #[command(flatten)]
    model: files::ModelArgs,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Images on which to compare before and after, as `convoke eval` takes them.
    #[arg(long, value_name = "mnist|fashion-mnist|DIR")]
    data: Option<Source>,
    /// Where the files of `mnist` or `fashion-mnist` are, if not where their packages put them.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    calibrate: calibrate::Args,
    #[command(flatten)]
    backend: backend::Args,
}

/// Runs the command.
pub async fn run(args: Args) -> Outcome {
    files::check_writable(&args.out)?;
    let before = args.model.read()?;
    let mut after = Model::from_bytes(&before.to_bytes(WeightFormat::Int8)?)?;
    print_errors(&before)?;
    args.calibrate.run(&mut after, args.data_dir.clone())?;
    if let Some(data) = args.data {
        let samples = data::Args { data, data_dir: args.data_dir.clone() }.samples()?;
        let backend = args.backend.open().await?;
        let compare = async |model: &Model| eval::evaluate_own(model, &args.model.model, &samples, &backend).await;
        let (then, now) = (compare(&before).await?, compare(&after).await?);
        files::print(format_args!("before  {}", eval::line(&then)))?;
        files::print(format_args!("after   {}", eval::line(&now)))?;
        after.meta.provenance.insert("accuracy-int8".into(), eval::line(&now));
    }
    after.meta.provenance.insert("quantize".into(), crate::train::command_line());
    let bytes = after.to_bytes(WeightFormat::Int8)?;
    files::write(&args.out, &bytes)?;
    files::print(format_args!("wrote {} ({} bytes)", args.out.display(), bytes.len()))?;
    Ok(())
}

fn print_errors(model: &Model) -> Outcome {
    let errors = quant::errors(&model.graph, &model.params);
    let width = errors.iter().map(|e| e.name.len()).max().unwrap_or(0).max(6);
    files::print(format_args!("{:width$}  {:>9}  {:>10}  {:>12}", "tensor", "values", "max error", "relative rms"))?;
    for e in &errors {
        let (name, percent) = (&e.name, 100.0 * e.relative_rms);
        files::print(format_args!("{name:width$}  {:>9}  {:>10.6}  {percent:>10.3} %", e.values, e.max_error))?;
    }
    Ok(())
}
