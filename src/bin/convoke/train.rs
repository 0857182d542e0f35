//! `convoke train`: from a named network and data to a model file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use clap::ValueEnum;
use convoke::cpu::{Pool, TrainingFootprint};
use convoke::engine::{Backend, Engine};
use convoke::format::{Meta, Model, WeightFormat};
use convoke::graph::{Graph, Init, Params};
use convoke::layers::Loss;
use convoke::plan::Optimizer;
use convoke::train::{Augmentation, Checkpoint, Config, Dataset, Group, Run, RunStep, Schedule, Trainer};
use convoke::vision::Preprocess;
use convoke::{Error, Result, seed, zoo};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::confusion::Confusion;
use crate::data::{self, Prepared};
use crate::outcome::{Failure, Outcome};
use crate::{backend, eval, files, memory};

/// Train a network and write it to a file.
#[derive(clap::Args)]
#[command(after_help = "After every epoch the run is saved beside the output (FILE.checkpoint); repeat the command \
    with --resume to go on from there as if nothing had happened.\n\nExamples:\n  \
    convoke train lenet5 --data mnist --epochs 30 --schedule cosine --augment shift=2,rotate=10 --out lenet5.safetensors\n  \
    convoke train lenet5 --data mnist --epochs 30 --schedule cosine --augment shift=2,rotate=10 --out lenet5.safetensors \
    --resume lenet5.safetensors.checkpoint")]
pub struct Args {
    /// The name of a network, as `convoke describe` knows it.
    network: String,
    /// Channels of the first stage of a ResNet or its plain twin, if not its own.
    #[arg(long, value_name = "CHANNELS", value_parser = clap::value_parser!(u16).range(1..=4096))]
    width: Option<u16>,
    #[command(flatten)]
    data: data::Args,
    /// Train on this many images only, as even over the classes as there are images.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    images: Option<u32>,
    /// The model file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write the figures of every epoch to this file, a line of JSON each.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Passes over the training data.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    epochs: u32,
    /// Samples in a step.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// The learning rate that the schedule scales [default: 0.01 for sgd, 0.001 for the others].
    #[arg(long)]
    lr: Option<f32>,
    /// How gradients become new weights.
    #[arg(long, value_enum, default_value = "sgd")]
    optimizer: OptimizerKind,
    /// Momentum of sgd and rmsprop [default: 0.9 for sgd, 0 for rmsprop].
    #[arg(long)]
    momentum: Option<f32>,
    /// Let sgd look ahead.
    #[arg(long)]
    nesterov: bool,
    /// L2 penalty on weights, or with adamw how far they shrink, times the learning rate [default: 0.01 for adamw, 0
    /// for the others]. Biases and batch normalisations never decay.
    #[arg(long)]
    weight_decay: Option<f32>,
    /// Scale the gradients down when the norm of all together is larger; 0 for no limit.
    #[arg(long, value_name = "NORM", default_value_t = 0.0)]
    clip_norm: f32,
    /// Batches whose gradients are averaged for one update: as if they were one batch, in the memory of one.
    #[arg(long, value_name = "BATCHES", default_value_t = 1)]
    accumulate: usize,
    /// Leave out the images at the end of an epoch that do not fill a batch, instead of training on a smaller one.
    #[arg(long)]
    drop_last: bool,
    /// Compute activations again in the backward half rather than keep them: equal results in less memory, for a third more
    /// work. Done in any case where a step would not fit into the memory otherwise.
    #[arg(long)]
    recompute: bool,
    /// Layers that keep their weights, `*` standing for anything: 'layer1.*'. More than once for several.
    #[arg(long, value_name = "LAYERS")]
    freeze: Vec<String>,
    /// Layers whose learning rate is FACTOR times the others', such as 'layer4.*=0.1'. More than once for several.
    #[arg(long, value_name = "LAYERS=FACTOR")]
    rate: Vec<Rate>,
    /// How the learning rate changes: constant; cosine down to 0; step by --gamma every --every epochs; one-cycle up over
    /// 0.3 of the run and down to 0.
    #[arg(long, value_enum, default_value = "constant")]
    schedule: ScheduleKind,
    /// Epochs over which the learning rate first rises from 0.
    #[arg(long, value_name = "EPOCHS", default_value_t = 0.0)]
    warmup: f32,
    /// Epochs between steps.
    #[arg(long, value_name = "EPOCHS", default_value_t = 10.0)]
    every: f32,
    /// The factor of each step.
    #[arg(long, default_value_t = 0.1)]
    gamma: f32,
    /// End after this many epochs without a lower held-out loss, with the weights of the best epoch.
    #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u32).range(1..))]
    patience: Option<u32>,
    /// Probability given to wrong classes.
    #[arg(long, value_name = "E", default_value_t = 0.0)]
    label_smoothing: f32,
    /// Vary training images at random: shift=PIXELS,rotate=DEGREES,scale=FRACTION,flip,crop=PIXELS,cutout=PIXELS,
    /// jitter=FRACTION,mixup=ALPHA; any of these, separated by commas.
    #[arg(long, value_name = "HOW", default_value = "none")]
    augment: Augment,
    /// Decides initial weights, order, augmentation and dropout [default: drawn at random, and told].
    #[arg(long)]
    seed: Option<u32>,
    /// Go on from this checkpoint; all other options must be those of the interrupted run.
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Write the confusion matrix of the held-out images to this file as comma-separated values, a row for each class.
    #[arg(long, value_name = "FILE")]
    confusion: Option<PathBuf>,
    #[command(flatten)]
    memory: memory::Args,
    #[command(flatten)]
    backend: backend::Args,
}

#[derive(Clone, Copy, ValueEnum)]
enum OptimizerKind {
    Sgd,
    Adam,
    #[value(name = "adamw")]
    AdamW,
    #[value(name = "rmsprop")]
    RmsProp,
}

#[derive(Clone, Copy, ValueEnum)]
enum ScheduleKind {
    Constant,
    Cosine,
    Step,
    OneCycle,
}

#[derive(Clone)]
struct Rate(Group);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (layers, rate) = text.rsplit_once('=').ok_or("expected LAYERS=FACTOR")?;
        let rate = rate.parse().map_err(|e| format!("{rate}: {e}"))?;
        Ok(Rate(Group { layers: layers.into(), rate }))
    }
}

#[derive(Clone, Copy)]
struct Augment(Augmentation);

impl FromStr for Augment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut a = Augmentation::default();
        for part in text.split(',').filter(|part| *part != "none") {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let number = || value.parse::<f32>().map_err(|e| format!("{part}: {e}"));
            let whole = || value.parse::<u32>().map_err(|e| format!("{part}: {e}"));
            match name {
                "shift" => a.shift = number()?,
                "rotate" => a.rotate = number()?,
                "scale" => a.scale = number()?,
                "flip" if value.is_empty() => a.flip = true,
                "crop" => a.crop = whole()?,
                "cutout" => a.cutout = whole()?,
                "jitter" => a.jitter = number()?,
                "mixup" => a.mixup = number()?,
                _ => {
                    let known = "shift=, rotate=, scale=, flip, crop=, cutout=, jitter= or mixup=";
                    return Err(format!("{part}: expected {known}"));
                }
            }
        }
        Ok(Augment(a))
    }
}

impl Args {
    /// The options with this seed.
    fn config(&self, seed: u32) -> Outcome<Config> {
        let optimizer = self.optimizer();
        let frozen = self.freeze.iter().map(|layers| Group { layers: layers.clone(), rate: 0.0 });
        let config = Config {
            loss: Loss::SoftmaxCrossEntropy { label_smoothing: self.label_smoothing },
            optimizer,
            learning_rate: self.lr.unwrap_or(optimizer.default_learning_rate()),
            schedule: match self.schedule {
                ScheduleKind::Constant => Schedule::Constant,
                ScheduleKind::Cosine => Schedule::Cosine { floor: 0.0 },
                ScheduleKind::Step => Schedule::Step { every: self.every, gamma: self.gamma },
                ScheduleKind::OneCycle => Schedule::ONE_CYCLE,
            },
            warmup: self.warmup,
            clip_norm: self.clip_norm,
            groups: self.rate.iter().map(|rate| rate.0.clone()).chain(frozen).collect(),
            batch_size: self.batch,
            accumulate: self.accumulate,
            drop_last: self.drop_last,
            recompute: self.recompute,
            epochs: self.epochs,
            augment: self.augment.0,
            seed,
        };
        config.validate().map_err(Failure::Usage)?;
        Ok(config)
    }

    /// The seed that was given, or the interrupted run's, or a new one.
    fn seed(&self, checkpoint: Option<&[u8]>) -> Outcome<u32> {
        if let Some(seed) = self.seed {
            return Ok(seed);
        }
        match checkpoint.map(Checkpoint::from_bytes) {
            Some(Ok(Some(interrupted))) => Ok(interrupted.config.seed),
            // A wrong file is refused, with the reason, when the run is to be resumed.
            Some(_) => Ok(0),
            None => Ok(seed::draw()?),
        }
    }

    /// The optimizer with the constants that were given.
    fn optimizer(&self) -> Optimizer {
        let mut optimizer = match self.optimizer {
            OptimizerKind::Sgd => Optimizer::sgd(0.9),
            OptimizerKind::Adam => Optimizer::adam(),
            OptimizerKind::AdamW => Optimizer::adamw(),
            OptimizerKind::RmsProp => Optimizer::rmsprop(),
        };
        if let Optimizer::Sgd { momentum, .. } | Optimizer::RmsProp { momentum, .. } = &mut optimizer {
            *momentum = self.momentum.unwrap_or(*momentum);
        }
        if let Optimizer::Sgd { nesterov, .. } = &mut optimizer {
            *nesterov = self.nesterov;
        }
        let (Optimizer::Sgd { weight_decay, .. }
        | Optimizer::Adam { weight_decay, .. }
        | Optimizer::AdamW { weight_decay, .. }
        | Optimizer::RmsProp { weight_decay, .. }) = &mut optimizer;
        *weight_decay = self.weight_decay.unwrap_or(*weight_decay);
        optimizer
    }

    fn checkpoint(&self) -> PathBuf {
        let mut path = self.out.as_os_str().to_owned();
        path.push(".checkpoint");
        path.into()
    }
}

/// Everything that a run needs, prepared.
struct Setup {
    graph: Graph,
    config: Config,
    backend: Backend,
    train: Arc<Dataset>,
    held_out: Dataset,
    labels: Vec<String>,
    preprocess: Preprocess,
    /// Whether steps recompute activations to fit into memory.
    recompute: bool,
}

/// Runs the command.
pub async fn run(args: Args) -> Outcome {
    let checkpoint = args.resume.as_deref().map(files::read).transpose()?;
    let config = args.config(args.seed(checkpoint.as_deref())?)?;
    files::check_writable(&args.out)?;
    for file in args.log.iter().chain(&args.confusion) {
        files::check_writable(file)?;
    }
    let setup = prepare(&args, config).await?;
    let mut run = begin(&args, &setup, checkpoint.as_deref()).await?;
    train(&args, &setup, &mut run).await?;
    let (params, epochs) = (run.params().await?, run.trainer().epoch());
    drop(run);
    write(&args, setup, params, epochs).await
}

/// Reads the data, opens the backend and sets memory aside.
async fn prepare(args: &Args, config: Config) -> Outcome<Setup> {
    let mut memory = args.memory.budget();
    let options =
        |classes| zoo::Options { classes: Some(classes), auxiliary: true, width: args.width.map(usize::from) };
    let (graph, data) = args.data.prepare(|classes| zoo::network(&args.network, options(classes)), &mut memory)?;
    let Prepared { train, held_out, labels, preprocess } = data.limited(args.images.map(|n| n as usize))?;
    let backend = args.backend.open().await?;
    let recompute = reserve(&graph, &config, &backend, &mut memory)?;
    Ok(Setup { graph, config, backend, train: Arc::new(train), held_out, labels, preprocess, recompute })
}

/// Sets aside the memory of a training step. Returns whether steps recompute activations to fit.
fn reserve(graph: &Graph, config: &Config, backend: &Backend, memory: &mut memory::Budget) -> Outcome<bool> {
    let pool = match backend {
        Backend::Cpu(pool) => pool.clone(),
        _ => Pool::single(),
    };
    let need = config.footprint(memory.left(), graph, &pool)?;
    let TrainingFootprint { weights, gradients, optimizer, activations, recompute } = need;
    let [w, g, o, a] = [weights, gradients, optimizer, activations].map(files::grouped);
    let twice = if recompute { ", which are computed twice" } else { "" };
    let parts = format!("weights {w}, gradients {g}, optimizer {o}, activations of a batch {a}{twice}");
    memory.take(format_args!("a training step ({parts})"), need.total())?;
    eprintln!("memory: {} bytes: {parts}", files::grouped(need.total()));
    Ok(recompute)
}

/// Begins the run, or continues the one in the checkpoint.
async fn begin(args: &Args, setup: &Setup, checkpoint: Option<&[u8]>) -> Outcome<Run> {
    let Setup { graph, config, backend, train, held_out, recompute, .. } = setup;
    let mut run = match checkpoint {
        Some(bytes) => resume(args, bytes, setup).await?,
        None => {
            let params = Params::init(graph, Init::of(graph), config.seed);
            let trainer = Trainer::new(graph, &params, train.clone(), config.clone(), backend).await?;
            Run::new(trainer, config.epochs, args.patience)
        }
    };
    run.trainer_mut().set_recompute(*recompute);
    let (name, images, data, held) = (graph.name(), train.len(), held_out.name(), held_out.len());
    eprintln!("{name} on {images} images of {data}, {held} held out, {}, seed {}", backend.name(), config.seed);
    Ok(run)
}

async fn resume(args: &Args, checkpoint: &[u8], setup: &Setup) -> Outcome<Run> {
    let path = args.resume.as_deref().unwrap_or(Path::new("--resume"));
    let Setup { config, backend, train, .. } = setup;
    let run = Run::resume(checkpoint, train.clone(), config, args.patience, backend).await;
    run.map_err(|error| match error {
        Error::Argument { name, expected, actual } if name == "config" => {
            Failure::Usage(Error::argument("--resume", expected, actual))
        }
        other => files::io(path, other).into(),
    })
}

/// Trains to the end of the run, with a line, a log entry and a checkpoint for each epoch.
async fn train(args: &Args, setup: &Setup, run: &mut Run) -> Outcome {
    let mut log = args.log.as_deref().map(|path| Log::open(path, run.trainer().epoch())).transpose()?;
    while !run.is_over() {
        let figures = epoch(run, &setup.held_out).await?;
        if let Some(log) = &mut log {
            log.add(&figures)?;
        }
        files::write(&args.checkpoint(), &run.trainer().checkpoint().await?)?;
    }
    if let Some(patience) = args.patience
        && run.epochs_without_improvement() >= patience
    {
        let worse = run.epochs_without_improvement();
        eprintln!("stopped: for {worse} epochs the held-out loss was not lower than before; their weights are left");
    }
    Ok(())
}

/// Evaluates the trained network and writes it.
async fn write(args: &Args, setup: Setup, params: Params, epochs: u32) -> Outcome {
    let Setup { graph, config, backend, train, held_out, labels, preprocess, .. } = setup;
    let mut engine = Engine::new(&graph.with_logits(config.loss)?, &params, &backend).await?;
    let (evaluation, confusion) = eval::held_out(&mut engine, &graph, &held_out, &labels, config.loss).await?;
    let data = format!("{}: {} images, {} held out", held_out.name(), train.len(), held_out.len());
    let provenance = BTreeMap::from([
        ("command".to_string(), command_line()),
        ("data".to_string(), data),
        ("epochs".to_string(), epochs.to_string()),
        ("seed".to_string(), config.seed.to_string()),
        ("accuracy".to_string(), eval::line(&evaluation)),
        ("convoke".to_string(), env!("CARGO_PKG_VERSION").to_string()),
    ]);
    let meta = Meta { labels, preprocess: Some(preprocess), provenance };
    let model = Model { graph, params, meta };
    let bytes = model.to_bytes(WeightFormat::F32)?;
    files::write(&args.out, &bytes)?;
    // The run is complete: its checkpoint is of no use any more.
    let _ = std::fs::remove_file(args.checkpoint());
    report(&confusion, args.confusion.as_deref())?;
    files::print(eval::line(&evaluation))?;
    files::print(format_args!("wrote {} ({} bytes)", args.out.display(), bytes.len()))?;
    Ok(())
}

/// Prints the recall of each class and the most frequent confusions, and writes the whole matrix to `file`.
fn report(confusion: &Confusion, file: Option<&Path>) -> Outcome {
    if let Some(table) = confusion.table() {
        files::print(table)?;
    }
    files::print(confusion)?;
    if let Some(file) = file {
        files::write(file, confusion.to_csv().as_bytes())?;
    }
    Ok(())
}

/// The figures of one epoch, as `--log` writes them; errors are fractions.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    network: String,
    /// Counts from 1.
    epoch: u32,
    learning_rate: f32,
    /// Means over the epoch, each batch before its update.
    loss: f64,
    error: f64,
    held_out_loss: f32,
    held_out_error: f64,
}

/// The lines of `--log`.
struct Log {
    path: PathBuf,
    text: String,
}

impl Log {
    /// Opens the log of a run that has completed `epochs` epochs; lines of later epochs in the file are dropped.
    fn open(path: &Path, epochs: u32) -> Result<Self> {
        let kept = if epochs == 0 { vec![] } else { files::read(path)? };
        let kept = String::from_utf8_lossy(&kept).lines().take(epochs as usize).map(|l| format!("{l}\n")).collect();
        Ok(Log { path: path.into(), text: kept })
    }

    fn add(&mut self, figures: &Figures) -> Result<()> {
        self.text += &format!("{}\n", serde_json::to_string(figures).expect("plain data"));
        files::write(&self.path, self.text.as_bytes())
    }
}

/// Trains one epoch with a progress bar, evaluates held-out data, and prints a line.
async fn epoch(run: &mut Run, held_out: &Dataset) -> Outcome<Figures> {
    let epoch = run.trainer().epoch();
    let bar = ProgressBar::new(run.trainer().steps_per_epoch() as u64).with_style(
        ProgressStyle::with_template("{prefix} [{bar:40}] {pos}/{len}  {msg}  {per_sec}  {eta} left")
            .expect("a valid template"),
    );
    bar.set_prefix(format!("epoch {}", epoch + 1));
    let (mut loss, mut right, mut samples, mut rate) = (0.0, 0.0, 0.0, 0.0);
    while let Some(RunStep { report, epoch_done }) = run.step().await.inspect_err(|_| bar.abandon())? {
        let n = report.samples as f64;
        loss += n * f64::from(report.loss);
        right += n * f64::from(report.accuracy);
        samples += n;
        rate = report.learning_rate;
        bar.set_message(format!("loss {:.4}  accuracy {:.2} %", loss / samples, 100.0 * right / samples));
        bar.inc(1);
        if epoch_done {
            break;
        }
    }
    bar.finish_and_clear();
    let held = run.evaluate_epoch(held_out).await?;
    let trainer = run.trainer();
    files::print(format_args!(
        "epoch {}/{}  loss {:.4}  accuracy {:.2} %  held-out loss {:.4}  top-1 {:.2} %  rate {rate:.2e}",
        epoch + 1,
        trainer.config().epochs,
        loss / samples,
        100.0 * right / samples,
        held.loss,
        100.0 * held.top1,
    ))?;
    let round = |v: f64| (v * 1e6).round() / 1e6;
    Ok(Figures {
        network: trainer.graph().name().to_string(),
        epoch: epoch + 1,
        learning_rate: rate,
        loss: round(loss / samples),
        error: round(1.0 - right / samples),
        held_out_loss: held.loss,
        held_out_error: round(1.0 - f64::from(held.top1)),
    })
}

/// The command as it was given, without the path of the program.
pub fn command_line() -> String {
    std::iter::once("convoke".to_string()).chain(std::env::args().skip(1)).collect::<Vec<_>>().join(" ")
}
