//! Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017) as in Debian's package `dataset-fashion-mnist`: gzipped IDX files.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use convoke::Result;
use convoke::train::Dataset;
use flate2::read::GzDecoder;

use super::known::{Known, first_folder, gray_28, malformed};
use crate::files;

const LABELS: [&str; 10] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

/// 60,000 images to train on, 10,000 held out.
pub fn load(dir: Option<&Path>) -> Result<Known> {
    let dir = match dir {
        Some(dir) => dir.to_path_buf(),
        None => first_folder(
            ["/usr/share/datasets/fashion-mnist".into()],
            "no such folder: install Debian's `dataset-fashion-mnist`, or say where its files are with --data-dir",
        )?,
    };
    let (train, held_out) = (part(&dir, "train")?, part(&dir, "t10k")?);
    let labels = LABELS.map(String::from).to_vec();
    Ok(Known { name: "fashion-mnist", train, held_out, labels, mean: 0.2860, std: 0.3530 })
}

fn part(dir: &Path, name: &str) -> Result<Dataset> {
    let images = idx(&dir.join(format!("{name}-images-idx3-ubyte.gz")), &[28, 28])?;
    let labels = idx(&dir.join(format!("{name}-labels-idx1-ubyte.gz")), &[])?;
    gray_28("fashion-mnist", images, labels.into_iter().map(u32::from).collect())
}

/// The bytes of an IDX file: zero, zero, 8 (unsigned bytes), the number of dimensions, each dimension as four bytes
/// (big-endian), the values. The first dimension counts the items.
fn idx(path: &Path, item: &[u32]) -> Result<Vec<u8>> {
    /// Bytes that a file may unpack to: ten times the size of the real one, against hostile files.
    const LIMIT: u64 = 500_000_000;
    let mut bytes = vec![];
    let file = File::open(path).map_err(|e| files::io(path, e))?;
    GzDecoder::new(file).take(LIMIT).read_to_end(&mut bytes).map_err(|e| files::io(path, e))?;
    let dims = 1 + item.len();
    let expected = format!("an IDX file of bytes with {dims} dimensions {item:?}");
    let wrong = |actual: String| malformed(path, &expected, actual);
    let header = bytes.get(..4 + 4 * dims).ok_or_else(|| wrong(format!("{} bytes", bytes.len())))?;
    let word = |i: usize| u32::from_be_bytes(header[4 * i..][..4].try_into().expect("four bytes"));
    let sizes: Vec<u32> = (1..=dims).map(word).collect();
    if header[..4] != [0, 0, 8, dims as u8] || sizes[1..] != *item {
        return Err(wrong(format!("header {header:?}")));
    }
    let values: u64 = sizes.iter().map(|&n| u64::from(n)).product();
    if (bytes.len() - header.len()) as u64 != values {
        return Err(wrong(format!("{} of {values} values", bytes.len() - header.len())));
    }
    let start = header.len();
    Ok(bytes.split_off(start))
}
