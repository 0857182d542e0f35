//! Data sets by name, and folders of images.

pub mod export;
mod fashion_mnist;
mod folder;
mod known;
mod mnist;
mod prepared;

use std::path::PathBuf;

use convoke::Result;
use convoke::graph::Graph;
use convoke::train::Dataset;
use convoke::vision::Image;

pub use folder::Folder;
use known::{Known, known_image};
pub use prepared::Prepared;

use crate::memory::Budget;
use crate::picture;

/// Which data.
#[derive(clap::Args)]
pub struct Args {
    /// mnist, fashion-mnist, or a folder with one sub-folder of PNG, JPEG or WebP images for each class.
    #[arg(long, value_name = "mnist|fashion-mnist|DIR")]
    pub data: Source,
    /// Where the files of `mnist` (digits/*.json) or `fashion-mnist` (*-ubyte.gz) are, if not where their packages
    /// put them.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// A data set by name, or a folder.
#[derive(Clone, Debug)]
pub enum Source {
    Mnist,
    FashionMnist,
    Folder(PathBuf),
}

impl std::str::FromStr for Source {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "mnist" => Source::Mnist,
            "fashion-mnist" => Source::FashionMnist,
            folder => Source::Folder(folder.into()),
        })
    }
}

/// Images with their classes, one at a time.
pub enum Samples {
    Known(Dataset),
    Folder(Folder),
}

impl Samples {
    pub fn len(&self) -> usize {
        match self {
            Samples::Known(data) => data.len(),
            Samples::Folder(folder) => folder.files.len(),
        }
    }

    pub fn get(&self, index: usize) -> Result<(Image, u32)> {
        match self {
            Samples::Known(data) => Ok((known_image(data, index)?, data.labels()[index])),
            Samples::Folder(folder) => {
                let (path, class) = &folder.files[index];
                Ok((picture::read(path)?, *class))
            }
        }
    }
}

impl Args {
    /// The images to evaluate on: those held out of a known set, all of a folder.
    pub fn samples(&self) -> Result<Samples> {
        match &self.data {
            Source::Folder(path) => Ok(Samples::Folder(Folder::open(path)?)),
            source => Ok(Samples::Known(self.known(source)?.held_out)),
        }
    }

    /// The images that ranges may be taken from: those that a known set trains with, all of a folder.
    pub fn training_samples(&self) -> Result<Samples> {
        match &self.data {
            Source::Folder(path) => Ok(Samples::Folder(Folder::open(path)?)),
            source => Ok(Samples::Known(self.known(source)?.train)),
        }
    }

    /// Training and held-out data as `network` wants them, if there is memory for them: `network` makes a graph for a
    /// number of classes.
    pub fn prepare(&self, network: impl Fn(usize) -> Result<Graph>, memory: &mut Budget) -> Result<(Graph, Prepared)> {
        match &self.data {
            Source::Folder(path) => folder::prepare(path, network, memory),
            source => {
                let known = self.known(source)?;
                let graph = network(known.labels.len())?;
                let prepared = known.prepare(&graph, memory)?;
                Ok((graph, prepared))
            }
        }
    }

    fn known(&self, source: &Source) -> Result<Known> {
        match source {
            Source::FashionMnist => fashion_mnist::load(self.data_dir.as_deref()),
            _ => mnist::load(self.data_dir.as_deref()),
        }
    }
}
