//! Folders of images: one sub-folder for each class, in sorted order.

use std::path::{Path, PathBuf};

use convoke::graph::Graph;
use convoke::train::Dataset;
use convoke::vision::{Channels, Preprocess};
use convoke::{Error, Result};

use super::prepared::{Prepared, reserve};
use crate::memory::Budget;
use crate::{files, picture};

/// Extensions of files that are read; others are passed over.
const EXTENSIONS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// When a folder does not say which images are held out, every tenth is.
const HELD_OUT: usize = 10;
const SPLIT_SEED: u32 = 1998;

/// How many of the pictures that cannot be read are listed.
const LISTED: usize = 10;

/// The image files of a folder, sorted, with their classes.
pub struct Folder {
    pub classes: Vec<String>,
    pub files: Vec<(PathBuf, u32)>,
}

impl Folder {
    /// Lists the images; reads none.
    pub fn open(path: &Path) -> Result<Self> {
        let mut folder = Folder { classes: vec![], files: vec![] };
        for class in sorted(path)?.into_iter().filter(|p| p.is_dir()) {
            let number = folder.classes.len() as u32;
            let is_image = |p: &PathBuf| {
                let extension = p.extension().unwrap_or_default().to_string_lossy().to_lowercase();
                EXTENSIONS.contains(&extension.as_str())
            };
            folder.files.extend(sorted(&class)?.into_iter().filter(is_image).map(|file| (file, number)));
            folder.classes.push(class.file_name().unwrap_or_default().to_string_lossy().into());
        }
        if folder.files.is_empty() {
            let name = format!("{} (one sub-folder of PNG, JPEG or WebP images for each class)", path.display());
            return Err(Error::EmptyDataset { name });
        }
        Ok(folder)
    }

    /// Every image that can be read, made to fit by `preprocess`, which says its size; the others are listed.
    fn read(&self, name: &str, preprocess: &Preprocess) -> Result<Dataset> {
        let [h, w] = preprocess.size.expect("training data has one size");
        let shape = [preprocess.channels.count(), h, w];
        let mut bytes = Vec::with_capacity(self.files.len() * shape.iter().product::<usize>());
        let (mut labels, mut skipped) = (vec![], vec![]);
        for (path, class) in &self.files {
            match picture::read(path) {
                Ok(image) => {
                    bytes.extend(preprocess.pixels(&image)?.0);
                    labels.push(*class);
                }
                Err(error) => skipped.push(error),
            }
        }
        self.list(&skipped);
        self.check_classes(&labels, |class| format!("class `{class}` of `{name}`: pictures that can be read"))?;
        Dataset::from_bytes(name, shape, bytes, labels, self.classes.len(), preprocess)
    }

    /// Says which pictures are skipped, and why.
    fn list(&self, skipped: &[Error]) {
        if skipped.is_empty() {
            return;
        }
        eprintln!("warning: {} of {} pictures cannot be read and are skipped:", skipped.len(), self.files.len());
        skipped.iter().take(LISTED).for_each(|error| eprintln!("  {error}"));
        if skipped.len() > LISTED {
            eprintln!("  and {} more", skipped.len() - LISTED);
        }
    }

    /// Fails unless each class occurs in `labels`; `what` names the missing images of the first absent class.
    fn check_classes(&self, labels: &[u32], what: impl Fn(&str) -> String) -> Result<()> {
        let has = |class: usize| labels.iter().any(|&label| label as usize == class);
        match (0..self.classes.len()).find(|&class| !has(class)) {
            Some(class) => Err(Error::EmptyDataset { name: what(&self.classes[class]) }),
            None => Ok(()),
        }
    }
}

/// Training and held-out images of a folder: its sub-folders `train` and `test` if it has them, otherwise a tenth of
/// the images is held out.
pub fn prepare(
    path: &Path,
    network: impl Fn(usize) -> Result<Graph>,
    memory: &mut Budget,
) -> Result<(Graph, Prepared)> {
    let full = path.canonicalize().map_err(|e| files::io(path, e))?;
    let name = full.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let (folder, test) = open(path, &name)?;
    let graph = network(folder.classes.len())?;
    let (c, h, w) = graph.input().chw();
    let channels = if c == 1 { Channels::Gray } else { Channels::Rgb };
    let mut preprocess = Preprocess { channels, size: Some([h, w]), ..Preprocess::default() };
    let images = folder.files.len() + test.as_ref().map_or(0, |test| test.files.len());
    reserve(memory, &name, images, [channels.count(), h, w])?;
    let all = folder.read(&name, &preprocess)?;
    (preprocess.mean, preprocess.std) = statistics(&all, channels.count());
    let all = all.with_preprocess(&preprocess)?;
    let (train, held_out) = match test {
        Some(test) => (all, test.read(&name, &preprocess)?),
        None => all.split((all.len() / HELD_OUT).max(1), SPLIT_SEED)?,
    };
    folder
        .check_classes(train.labels(), |class| format!("class `{class}` of `{name}`: images that are not held out"))?;
    Ok((graph, Prepared { train, held_out, labels: folder.classes, preprocess }))
}

/// Opens the training images and, where the folder has a sub-folder `test`, the held-out images. Each class must have
/// some.
fn open(path: &Path, name: &str) -> Result<(Folder, Option<Folder>)> {
    let open = |path: &Path, name: &str| {
        let folder = Folder::open(path)?;
        let labels: Vec<u32> = folder.files.iter().map(|(_, class)| *class).collect();
        folder.check_classes(&labels, |class| format!("class `{class}` of `{name}`"))?;
        Ok::<_, Error>(folder)
    };
    let (train, test) = (path.join("train"), path.join("test"));
    if !(train.is_dir() && test.is_dir()) {
        return Ok((open(path, name)?, None));
    }
    let (train, test) = (open(&train, &format!("{name}/train"))?, open(&test, &format!("{name}/test"))?);
    if test.classes != train.classes {
        let classes = |f: &Folder| f.classes.join(", ");
        return Err(Error::format("folder `test`", format!("classes {}", classes(&train)), classes(&test)));
    }
    Ok((train, Some(test)))
}

/// Mean and standard deviation of each channel's values in 0..1, to four digits.
fn statistics(data: &Dataset, channels: usize) -> (Vec<f32>, Vec<f32>) {
    let mut sums = vec![(0f64, 0f64); channels];
    let mut count = 0f64;
    for image in (0..data.len()).filter_map(|i| data.bytes(i)) {
        let plane = image.len() / channels;
        for (sum, bytes) in sums.iter_mut().zip(image.chunks_exact(plane)) {
            for v in bytes.iter().map(|&b| f64::from(b) / 255.0) {
                sum.0 += v;
                sum.1 += v * v;
            }
        }
        count += plane as f64;
    }
    let round = |v: f64| ((v * 1e4).round() / 1e4) as f32;
    let figures = |(sum, squares): (f64, f64)| {
        let mean = sum / count;
        // A set of one colour has no deviation to divide by.
        (round(mean), round((squares / count - mean * mean).max(0.0).sqrt()).max(1e-3))
    };
    sums.into_iter().map(figures).unzip()
}

fn sorted(path: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(path).map_err(|e| files::io(path, e))?;
    let mut paths: Vec<PathBuf> =
        entries.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>().map_err(|e| files::io(path, e))?;
    paths.sort();
    Ok(paths)
}
