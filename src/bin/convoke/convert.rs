//! `convoke convert`: a model in another format.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use convoke::format::{Model, WeightFormat, onnx};
use convoke::{Error, Result};

use crate::files::{self, Format};
use crate::outcome::{Failure, Outcome};
use crate::{preprocess, train};

/// Convert a model between Convoke's file (.safetensors) and ONNX (.onnx).
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  convoke convert models/lenet5-mnist.safetensors lenet5.onnx\n  \
    convoke convert resnet18-torchvision.safetensors resnet18.safetensors --arch resnet18 --labels imagenet.txt \
    --resize 256 --crop 224 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --weights int8")]
pub struct Args {
    #[command(flatten)]
    model: files::ModelArgs,
    /// The file to write; its extension is the format: .safetensors (Convoke's file) or .onnx.
    out: PathBuf,
    /// How weights are stored in Convoke's file.
    #[arg(long, value_enum, default_value = "f32")]
    weights: Precision,
    /// Names of the classes, one for each line of this file; they replace what MODEL says.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Leave out auxiliary heads, which only training needs.
    #[arg(long)]
    without_auxiliary: bool,
    #[command(flatten)]
    preprocess: preprocess::Args,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Precision {
    F32,
    Int8,
}

/// Runs the command.
pub fn run(args: Args) -> Outcome {
    let format = format(&args)?;
    files::check_writable(&args.out)?;
    let mut model = args.model.read()?;
    if args.without_auxiliary {
        model = model.without_auxiliary()?;
    }
    if let Some(path) = &args.labels {
        model.meta.labels = labels(path)?;
    }
    model.meta.preprocess = args.preprocess.optional(&model, &args.model.model)?;
    model.meta.provenance.insert("convert".into(), train::command_line());
    let bytes = encode(&model, format, args.weights)?;
    files::write(&args.out, &bytes)?;
    files::print(format_args!("wrote {} ({} bytes)", args.out.display(), bytes.len()))?;
    Ok(())
}

fn format(args: &Args) -> Outcome<Format> {
    let refuse = |expected| Failure::Usage(Error::argument("OUT", expected, args.out.display()));
    match Format::of(&args.out) {
        None => Err(refuse("a name that ends in .safetensors or .onnx")),
        Some(Format::Onnx) if args.weights == Precision::Int8 => Err(refuse("a .safetensors file for int8 weights")),
        Some(format) => Ok(format),
    }
}

fn labels(path: &Path) -> Result<Vec<String>> {
    let text = String::from_utf8(files::read(path)?).map_err(|e| files::io(path, e))?;
    Ok(text.lines().map(|line| line.trim().to_string()).collect())
}

fn encode(model: &Model, format: Format, weights: Precision) -> Result<Vec<u8>> {
    match (format, weights) {
        (Format::Onnx, _) => onnx::write(model),
        (Format::Safetensors, Precision::F32) => model.to_bytes(WeightFormat::F32),
        (Format::Safetensors, Precision::Int8) => model.to_bytes(WeightFormat::Int8),
    }
}
