//! The `convoke` command: train, quantize, evaluate, describe and convert networks from a shell.

mod backend;
mod calibrate;
mod classify;
mod confusion;
mod convert;
mod data;
mod describe;
mod diagram;
mod eval;
mod files;
mod memory;
mod outcome;
mod picture;
mod plan;
mod preprocess;
mod quantize;
mod train;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use outcome::Failure;

/// Train, quantize, evaluate, describe and convert convolutional networks.
#[derive(Parser)]
#[command(
    name = "convoke",
    version,
    after_help = "Exit status: 0 done, 1 failed, 2 wrong usage.\n\n\
    Example:\n  convoke train lenet5 --data mnist --epochs 10 --out lenet5.safetensors"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Train(train::Args),
    Quantize(quantize::Args),
    Eval(eval::Args),
    Classify(classify::Args),
    Describe(describe::Args),
    Convert(convert::Args),
    Data(data::export::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Train(args) => pollster::block_on(train::run(args)),
        Command::Quantize(args) => pollster::block_on(quantize::run(args)),
        Command::Eval(args) => pollster::block_on(eval::run(args)),
        Command::Classify(args) => pollster::block_on(classify::run(args)),
        Command::Describe(args) => describe::run(args),
        Command::Convert(args) => convert::run(args),
        Command::Data(args) => data::export::run(args),
    };
    let (error, status) = match outcome {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Failed(error)) => (error, 1),
        Err(Failure::Usage(error)) => (error, 2),
    };
    eprintln!("error: {error}");
    ExitCode::from(status)
}
