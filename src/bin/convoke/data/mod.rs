//! Data sets by name, and folders of images.

pub mod export;
mod fashion_mnist;
mod folder;
mod mnist;

use std::path::{Path, PathBuf};

use convoke::graph::Graph;
use convoke::train::Dataset;
use convoke::vision::{Channels, Image, Preprocess};
use convoke::{Error, Result};

pub use folder::Folder;

use crate::memory::Budget;
use crate::{files, picture};

/// Which images a smaller training set has, whatever the seed of the run.
const LIMIT_SEED: u32 = 9;

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

/// A well-known set of gray images of 28x28.
pub struct Known {
    pub name: &'static str,
    pub train: Dataset,
    pub held_out: Dataset,
    pub labels: Vec<String>,
    /// Mean and standard deviation of the training set's values in 0..1.
    pub mean: f32,
    pub std: f32,
}

/// What a training run needs to know of its data.
pub struct Prepared {
    pub train: Dataset,
    pub held_out: Dataset,
    pub labels: Vec<String>,
    pub preprocess: Preprocess,
}

impl Prepared {
    /// The same with this many training images, as even over the classes as there are images.
    pub fn limited(self, images: Option<usize>) -> Result<Self> {
        let all = self.train.len();
        match images {
            None => Ok(self),
            Some(images) if images == all => Ok(self),
            Some(images) if images < all => Ok(Prepared { train: self.train.split(images, LIMIT_SEED)?.1, ..self }),
            Some(images) => Err(Error::argument("images", format!("at most {all}, which there are"), images)),
        }
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

impl Known {
    /// Padded when that makes them fit the network, otherwise stretched.
    fn prepare(self, graph: &Graph, memory: &mut Budget) -> Result<Prepared> {
        let (c, h, w) = graph.input().chw();
        let (mean, std) = (vec![self.mean], vec![self.std]);
        let channels = if c == 1 { Channels::Gray } else { Channels::Rgb };
        let fits = c == 1 && h == w && h >= 28 && h % 2 == 0;
        let preprocess = if fits {
            Preprocess { channels, pad: (h - 28) / 2, mean, std, ..Preprocess::default() }
        } else {
            Preprocess { channels, size: Some([h, w]), mean, std, ..Preprocess::default() }
        };
        let [h, w] = preprocess.size.unwrap_or([28; 2]);
        let shape = [channels.count(), h, w];
        reserve(memory, self.name, self.train.len() + self.held_out.len(), shape)?;
        let refit = |data: &Dataset| {
            let mut bytes = Vec::with_capacity(data.len() * shape.iter().product::<usize>());
            for i in 0..data.len() {
                bytes.extend(preprocess.pixels(&known_image(data, i)?)?.0);
            }
            Dataset::from_bytes(self.name, shape, bytes, data.labels().to_vec(), data.classes(), &preprocess)
        };
        let (train, held_out) = (refit(&self.train)?, refit(&self.held_out)?);
        Ok(Prepared { train, held_out, labels: self.labels, preprocess })
    }

    /// How these images become inputs of 32x32.
    pub fn lenet_preprocess(&self) -> Preprocess {
        let (mean, std) = (vec![self.mean], vec![self.std]);
        Preprocess { channels: Channels::Gray, pad: 2, mean, std, ..Preprocess::default() }
    }
}

/// Sets memory aside for so many images as bytes: twice, for while they are split into training and held-out ones both
/// are there.
fn reserve(memory: &mut Budget, name: &str, images: usize, shape: [usize; 3]) -> Result<()> {
    let bytes = 2 * images as u64 * shape.iter().product::<usize>() as u64;
    let [c, h, w] = shape;
    memory.take(format_args!("{images} images of {c}x{h}x{w} of `{name}`, twice while they are split"), bytes)
}

fn known_image(data: &Dataset, index: usize) -> Result<Image> {
    Image::gray(28, 28, data.bytes(index).expect("known sets are stored as bytes"))
}

/// Gray images of 28x28 as they are in their files.
fn gray_28(name: &str, bytes: Vec<u8>, labels: Vec<u32>) -> Result<Dataset> {
    let preprocess = Preprocess { channels: Channels::Gray, ..Preprocess::default() };
    Dataset::from_bytes(name, [1, 28, 28], bytes, labels, 10, &preprocess)
}

/// The first of these folders that exists.
fn first_folder(candidates: impl IntoIterator<Item = PathBuf>, hint: &str) -> Result<PathBuf> {
    let tried: Vec<PathBuf> = candidates.into_iter().collect();
    match tried.iter().find(|path| path.is_dir()) {
        Some(path) => Ok(path.clone()),
        None => Err(files::io(tried.first().map_or(Path::new("data"), PathBuf::as_path), hint)),
    }
}

fn malformed(path: &Path, expected: &str, actual: impl std::fmt::Display) -> Error {
    Error::format(path.display().to_string(), expected, actual)
}
