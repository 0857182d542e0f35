//! Training data as a network reads them.

use convoke::train::Dataset;
use convoke::vision::Preprocess;
use convoke::{Error, Result};

use crate::memory::Budget;

/// Which images a smaller training set has, whatever the seed of the run.
const LIMIT_SEED: u32 = 9;

/// The data of a training run, ready for use.
pub struct Prepared {
    pub train: Dataset,
    pub held_out: Dataset,
    pub labels: Vec<String>,
    pub preprocess: Preprocess,
}

impl Prepared {
    /// Keeps `images` training images, spread over the classes as evenly as possible; `None` keeps all.
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

/// Reserves memory for `images` images, a byte a value, twice: a split into training and held-out images holds both
/// copies for a while.
pub fn reserve(memory: &mut Budget, name: &str, images: usize, shape: [usize; 3]) -> Result<()> {
    let bytes = 2 * images as u64 * shape.iter().product::<usize>() as u64;
    let [c, h, w] = shape;
    memory.take(format_args!("{images} images of {c}x{h}x{w} of `{name}`, twice while they are split"), bytes)
}
