//! Training data as a network reads them.

use convoke::train::Dataset;
use convoke::vision::Preprocess;
use convoke::{Error, Result};

use crate::memory::Budget;

/// Which images a smaller training set has, whatever the seed of the run.
const LIMIT_SEED: u32 = 9;

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

/// Sets memory aside for so many images as bytes: twice, for while they are split into training and held-out ones both
/// are there.
pub fn reserve(memory: &mut Budget, name: &str, images: usize, shape: [usize; 3]) -> Result<()> {
    let bytes = 2 * images as u64 * shape.iter().product::<usize>() as u64;
    let [c, h, w] = shape;
    memory.take(format_args!("{images} images of {c}x{h}x{w} of `{name}`, twice while they are split"), bytes)
}
