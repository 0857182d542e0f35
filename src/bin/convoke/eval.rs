//! `convoke eval`: how a model does on images whose classes are known.

use std::path::{Path, PathBuf};

use convoke::cpu::Pool;
use convoke::engine::{Backend, Engine};
use convoke::format::Model;
use convoke::graph::{Graph, OutputKind};
use convoke::layers::Loss;
use convoke::train::{Dataset, Evaluation, Metrics};
use convoke::vision::Preprocess;
use convoke::{Error, Result};
use indicatif::ProgressBar;

use crate::confusion::Confusion;
use crate::data::{self, Samples};
use crate::outcome::Outcome;
use crate::{backend, files, preprocess};

/// Images that are decoded and run at once.
const BATCH: usize = 64;

/// Evaluate a model: the part of images it gets right.
#[derive(clap::Args)]
#[command(after_help = "Of mnist, the held-out thousand is used; of fashion-mnist, the test set; of a folder, every \
    image, its sub-folders in sorted order being the classes.\n\nExamples:\n  \
    convoke eval models/lenet5-mnist.safetensors --data mnist\n  \
    convoke eval resnet18.safetensors --data photos --resize 256 --crop 224 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225")]
pub struct Args {
    #[command(flatten)]
    model: files::ModelArgs,
    #[command(flatten)]
    data: data::Args,
    #[command(flatten)]
    backend: backend::Args,
    #[command(flatten)]
    preprocess: preprocess::Args,
    /// Say of each class how many of its images are found, and what they are taken for.
    #[arg(long)]
    per_class: bool,
    /// Write the confusion matrix to this file as comma-separated values, a row for each class.
    #[arg(long, value_name = "FILE")]
    confusion: Option<PathBuf>,
}

/// Runs the command.
pub async fn run(args: Args) -> Outcome {
    let model = args.model.read()?;
    let preprocess = args.preprocess.complete(&model, &args.model.model)?;
    let samples = args.data.samples()?;
    if let Some(path) = &args.confusion {
        files::check_writable(path)?;
    }
    let (evaluation, confusion) = evaluate(&model, &preprocess, &samples, &args.backend.open().await?).await?;
    if args.per_class {
        files::print(&confusion)?;
    }
    if let Some(path) = &args.confusion {
        files::write(path, confusion.to_csv().as_bytes())?;
    }
    files::print(line(&evaluation))?;
    Ok(())
}

/// The figures in one line.
pub fn line(e: &Evaluation) -> String {
    let percent = |part: f32| 100.0 * f64::from(part);
    format!("top-1 {:.2} %  top-5 {:.2} %  ({} images)", percent(e.top1), percent(e.top5), e.samples)
}

/// Decodes and runs all images, with a progress bar.
pub async fn evaluate(
    model: &Model,
    preprocess: &Preprocess,
    samples: &Samples,
    backend: &Backend,
) -> Result<(Evaluation, Confusion)> {
    let loss = loss_of(model);
    check_classes(model, samples, loss)?;
    let mut engine = Engine::new(&model.graph.with_logits(loss)?, &model.params, backend).await?;
    let mut metrics = Metrics::new(loss);
    let mut confusion = Confusion::new(loss.classes(model.graph.classes()), &model.meta.labels);
    let bar = ProgressBar::new(samples.len() as u64);
    for start in (0..samples.len()).step_by(BATCH) {
        let end = samples.len().min(start + BATCH);
        let (images, labels): (Vec<_>, Vec<_>) =
            (start..end).map(|i| samples.get(i)).collect::<Result<Vec<_>>>()?.into_iter().unzip();
        let logits = engine.run(&preprocess.batch(&images)?).await?;
        metrics.add(&logits, &labels)?;
        confusion.add(&logits, &labels);
        bar.inc((end - start) as u64);
    }
    bar.finish_and_clear();
    Ok((metrics.evaluation(), confusion))
}

/// A data set in memory, as the network wants it.
pub async fn held_out(
    engine: &mut Engine,
    graph: &Graph,
    data: &Dataset,
    labels: &[String],
    loss: Loss,
) -> Result<(Evaluation, Confusion)> {
    let mut metrics = Metrics::new(loss);
    let mut confusion = Confusion::new(loss.classes(graph.classes()), labels);
    let samples: Vec<u32> = (0..data.len() as u32).collect();
    for batch in samples.chunks(BATCH) {
        let (x, labels) = data.batch(batch, None, &Pool::single());
        let logits = engine.run(&x).await?;
        metrics.add(&logits, &labels)?;
        confusion.add(&logits, &labels);
    }
    Ok((metrics.evaluation(), confusion))
}

/// A single output is read as the binary one it was trained as, and independent probabilities each by itself.
fn loss_of(model: &Model) -> Loss {
    let is_independent = model.graph.output_kind() == OutputKind::IndependentProbabilities;
    if is_independent || model.graph.classes() == 1 { Loss::BinaryCrossEntropy } else { Loss::CROSS_ENTROPY }
}

/// More sub-folders than classes cannot be; fewer are taken in order, with a warning.
fn check_classes(model: &Model, samples: &Samples, loss: Loss) -> Result<()> {
    let classes = loss.classes(model.graph.classes());
    let Samples::Folder(folder) = samples else { return Ok(()) };
    let folders = folder.classes.len();
    if folders > classes {
        let expected = format!("at most {classes} sub-folders (the classes of `{}`)", model.graph.name());
        return Err(Error::format("folder", expected, folders));
    }
    if folders < classes {
        eprintln!(
            "warning: {folders} sub-folders for {classes} classes: they are taken as the first {folders} classes"
        );
    }
    Ok(())
}

/// Evaluates a model with the preprocessing in its metadata, which must be there.
pub async fn evaluate_own(model: &Model, path: &Path, samples: &Samples, backend: &Backend) -> Result<Evaluation> {
    let missing = || Error::format(path.display().to_string(), "`preprocess` in its metadata", "none");
    let preprocess = model.meta.preprocess.as_ref().ok_or_else(missing)?;
    Ok(evaluate(model, preprocess, samples, backend).await?.0)
}
