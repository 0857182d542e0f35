//! `convoke classify`: names the contents of images.

use std::path::PathBuf;

use clap::ValueEnum;
use convoke::engine::Engine;
use convoke::vision::top_k;
use serde_json::json;

use crate::outcome::Outcome;
use crate::{backend, files, picture, preprocess};

/// Classify images with a model.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  convoke classify models/lenet5-mnist.safetensors digit.png --top 3")]
pub struct Args {
    #[command(flatten)]
    model: files::ModelArgs,
    /// PNG, JPEG or WebP files.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// How many classes to name for each image.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,
    /// How to print them.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    backend: backend::Args,
    #[command(flatten)]
    preprocess: preprocess::Args,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Runs the command.
pub async fn run(args: Args) -> Outcome {
    let model = args.model.read()?;
    let preprocess = args.preprocess.complete(&model, &args.model.model)?;
    let mut engine = Engine::new(&model.graph, &model.params, &args.backend.open().await?).await?;
    let mut all = vec![];
    for path in &args.images {
        let output = engine.run(&preprocess.batch([&picture::read(path)?])?).await?;
        let top = top_k(&output.data, model.graph.output_kind(), args.top.into());
        if args.format == Format::Text {
            files::print(path.display())?;
            for &(class, probability) in &top {
                files::print(format_args!("  {:6.2} %  {}", 100.0 * probability, model.meta.label(class)))?;
            }
        }
        let named = |&(class, probability): &(usize, f32)| json!({ "index": class, "label": model.meta.label(class), "probability": probability });
        all.push(json!({ "image": path.display().to_string(), "top": top.iter().map(named).collect::<Vec<_>>() }));
    }
    if args.format == Format::Json {
        files::print(serde_json::to_string_pretty(&all).expect("plain data"))?;
    }
    Ok(())
}
