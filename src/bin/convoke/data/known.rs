//! Data sets that are known by name: gray images of 28x28.

use std::path::{Path, PathBuf};

use convoke::graph::Graph;
use convoke::train::Dataset;
use convoke::vision::{Channels, Image, Preprocess};
use convoke::{Error, Result};

use super::prepared::{Prepared, reserve};
use crate::files;
use crate::memory::Budget;

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

impl Known {
    /// Padded when that makes them fit the network, otherwise stretched.
    pub fn prepare(self, graph: &Graph, memory: &mut Budget) -> Result<Prepared> {
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

pub fn known_image(data: &Dataset, index: usize) -> Result<Image> {
    Image::gray(28, 28, data.bytes(index).expect("known sets are stored as bytes"))
}

/// Gray images of 28x28 as they are in their files.
pub fn gray_28(name: &str, bytes: Vec<u8>, labels: Vec<u32>) -> Result<Dataset> {
    let preprocess = Preprocess { channels: Channels::Gray, ..Preprocess::default() };
    Dataset::from_bytes(name, [1, 28, 28], bytes, labels, 10, &preprocess)
}

/// The first of these folders that exists.
pub fn first_folder(candidates: impl IntoIterator<Item = PathBuf>, hint: &str) -> Result<PathBuf> {
    let tried: Vec<PathBuf> = candidates.into_iter().collect();
    match tried.iter().find(|path| path.is_dir()) {
        Some(path) => Ok(path.clone()),
        None => Err(files::io(tried.first().map_or(Path::new("data"), PathBuf::as_path), hint)),
    }
}

pub fn malformed(path: &Path, expected: &str, actual: impl std::fmt::Display) -> Error {
    Error::format(path.display().to_string(), expected, actual)
}
