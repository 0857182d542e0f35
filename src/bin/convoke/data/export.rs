//! `convoke data export`: known data sets as plain bytes for the page.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use convoke::train::Dataset;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::{Source, fashion_mnist, mnist};
use crate::files;
use crate::outcome::Outcome;

/// Data sets: write them as plain bytes for a page.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  convoke data export mnist --out www/public/data")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write NAME-train.bin and NAME-heldout.bin (images as bytes, then labels as bytes) and NAME.json, which says
    /// where they are in them.
    #[command(after_help = "Example:\n  convoke data export mnist --out www/public/data")]
    Export {
        /// Which data set.
        #[arg(value_enum)]
        name: Name,
        /// The folder to write to; made if it is not there.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Where its files are, if not where its package puts them.
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    Mnist,
    FashionMnist,
}

/// Runs the command.
pub fn run(args: Args) -> Outcome {
    let Command::Export { name, out, data_dir } = args.command;
    let known = match Source::from(name) {
        Source::FashionMnist => fashion_mnist::load(data_dir.as_deref())?,
        _ => mnist::load(data_dir.as_deref())?,
    };
    std::fs::create_dir_all(&out).map_err(|e| files::io(&out, e))?;
    let write = |part: &str, data: &Dataset| -> Outcome<Json> {
        let file = format!("{}-{part}.bin", known.name);
        let bytes = plain(data);
        files::write(&out.join(&file), &bytes)?;
        files::print(format_args!("{file}: {} images, {} bytes", data.len(), bytes.len()))?;
        let images = bytes.len() - data.len();
        let hash: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        Ok(
            json!({ "file": file, "count": data.len(), "images": 0, "labels": images, "bytes": bytes.len(), "sha256": hash }),
        )
    };
    let description = json!({
        "name": known.name,
        "shape": [1, 28, 28],
        "classes": known.labels,
        "preprocess": files::json(&known.lenet_preprocess()),
        "train": write("train", &known.train)?,
        "heldout": write("heldout", &known.held_out)?,
    });
    let text = serde_json::to_string_pretty(&description).expect("plain data") + "\n";
    files::write(&out.join(format!("{}.json", known.name)), text.as_bytes())?;
    Ok(())
}

impl From<Name> for Source {
    fn from(name: Name) -> Self {
        match name {
            Name::Mnist => Source::Mnist,
            Name::FashionMnist => Source::FashionMnist,
        }
    }
}

/// All images, then all labels, one byte each.
fn plain(data: &Dataset) -> Vec<u8> {
    let images = (0..data.len()).flat_map(|i| data.bytes(i).expect("known sets are stored as bytes"));
    images.copied().chain(data.labels().iter().map(|&l| l as u8)).collect()
}
