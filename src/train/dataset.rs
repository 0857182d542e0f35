//! Labelled samples in memory.

use std::sync::{Mutex, PoisonError};

use super::Augmentation;
use crate::cpu::Pool;
use crate::error::{Error, Result};
use crate::rng::{self, Rng};
use crate::tensor::{Shape, Tensor, dims};
use crate::vision::Preprocess;

/// The random stream of each epoch's order.
const ORDER_STREAM: u32 = 0x0bde;
/// The random stream of splits.
const SPLIT_STREAM: u32 = 0x5b17;

/// Samples of one shape with their labels. Bytes stay bytes until a batch is made of them.
///
/// # Examples
/// ```
/// use convoke::train::Dataset;
///
/// let images = vec![0.5; 6 * 64]; // Six samples of 1x8x8.
/// let data = Dataset::from_floats("squares", [1, 8, 8], images, vec![0, 1, 2, 0, 1, 2], 3)?;
/// let (held_out, training) = data.split(3, 7)?;
/// assert_eq!((held_out.len(), training.len()), (3, 3));
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    name: String,
    stored: Shape,
    values: Values,
    labels: Vec<u32>,
    classes: usize,
    pad: usize,
    scale_and_shift: Vec<(f32, f32)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Values {
    Bytes(Vec<u8>),
    Floats(Vec<f32>),
}

impl Dataset {
    /// Takes images as bytes, `[C, H, W]` one after the other. Batches apply `pad`, `mean` and `std` of `preprocess`;
    /// its other steps are taken as done.
    ///
    /// # Errors
    /// [`Error::EmptyDataset`], [`Error::Shape`] when the number of bytes or labels does not fit, [`Error::Label`].
    pub fn from_bytes(
        name: impl Into<String>,
        shape: [usize; 3],
        bytes: Vec<u8>,
        labels: Vec<u32>,
        classes: usize,
        preprocess: &Preprocess,
    ) -> Result<Self> {
        preprocess.validate()?;
        if preprocess.channels.count() != shape[0] {
            let expected = format!("{} channels, as its preprocessing says", preprocess.channels.count());
            return Err(Error::Shape { tensor: "images".into(), expected, actual: dims(&shape) });
        }
        let (pad, scale_and_shift) = (preprocess.pad, preprocess.scale_and_shift());
        let values = Values::Bytes(bytes);
        Dataset { name: name.into(), stored: shape.into(), values, labels, classes, pad, scale_and_shift }.checked()
    }

    /// Takes samples as floats, ready for the network: `shape` is `[C, H, W]` or `[F]`.
    ///
    /// # Errors
    /// [`Error::EmptyDataset`], [`Error::Shape`] when the number of values or labels does not fit, [`Error::Label`],
    /// [`Error::NotFinite`] for NaN or infinity.
    pub fn from_floats(
        name: impl Into<String>,
        shape: impl Into<Shape>,
        floats: Vec<f32>,
        labels: Vec<u32>,
        classes: usize,
    ) -> Result<Self> {
        if let Some(index) = floats.iter().position(|v| !v.is_finite()) {
            return Err(Error::NotFinite { what: "sample values".into(), index, value: floats[index] });
        }
        let (stored, values) = (shape.into(), Values::Floats(floats));
        Dataset { name: name.into(), stored, values, labels, classes, pad: 0, scale_and_shift: vec![] }.checked()
    }

    fn checked(self) -> Result<Self> {
        if self.labels.is_empty() {
            return Err(Error::EmptyDataset { name: self.name });
        }
        let values = match &self.values {
            Values::Bytes(v) => v.len(),
            Values::Floats(v) => v.len(),
        };
        if self.stored.elements() == 0 || self.stored.elements().checked_mul(self.labels.len()) != Some(values) {
            return Err(Error::Shape {
                tensor: format!("data set `{}`", self.name),
                expected: format!("{} samples (as many as labels) of {}", self.labels.len(), self.stored),
                actual: format!("{values} values"),
            });
        }
        if let Some(index) = self.labels.iter().position(|&l| l as usize >= self.classes) {
            return Err(Error::Label { index, label: self.labels[index], classes: self.classes });
        }
        Ok(self)
    }

    /// Replaces `pad`, `mean` and `std`, which batches apply to the bytes.
    ///
    /// # Errors
    /// [`Error::Argument`] for a data set of floats, [`Error::Shape`] for channels that the images do not have.
    pub fn with_preprocess(self, preprocess: &Preprocess) -> Result<Self> {
        match (self.values, self.stored.dims()) {
            (Values::Bytes(bytes), &[c, h, w]) => {
                Dataset::from_bytes(self.name, [c, h, w], bytes, self.labels, self.classes, preprocess)
            }
            _ => Err(Error::argument("data set", "bytes", "floats")),
        }
    }

    /// Returns the name of the data set in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Returns false: a data set without samples is refused.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The class of each sample.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The number of classes; labels are below it.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The shape of one sample as the network sees it, with padding.
    pub fn shape(&self) -> Shape {
        match *self.stored.dims() {
            [c, h, w] => Shape::from([c, h + 2 * self.pad, w + 2 * self.pad]),
            _ => self.stored.clone(),
        }
    }

    /// Checks that this augmentation is possible for the samples.
    ///
    /// # Errors
    /// [`Error::Argument`] for colour jitter of floats, whose values for black and white are unknown.
    pub fn check_varied(&self, augment: &Augmentation) -> Result<()> {
        match self.values {
            Values::Floats(_) if augment.jitter > 0.0 => {
                Err(Error::argument("augment jitter", "0 for images of floats", augment.jitter))
            }
            _ => Ok(()),
        }
    }

    /// The stored bytes of one sample, without padding; `None` for a data set of floats.
    pub fn bytes(&self, index: usize) -> Option<&[u8]> {
        let n = self.stored.elements();
        match &self.values {
            Values::Bytes(v) => Some(&v[index * n..][..n]),
            Values::Floats(_) => None,
        }
    }

    /// The order of samples in an epoch of the run `seed`.
    pub fn order(&self, seed: u32, epoch: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.len() as u32).collect();
        Rng::new(rng::word(seed, ORDER_STREAM, epoch), 0).shuffle(&mut order);
        order
    }

    /// Returns these samples as a batch with their labels, augmented on all threads of `pool`.
    ///
    /// # Panics
    /// For an index beyond the samples.
    pub fn batch(&self, samples: &[u32], varied: Option<Variation>, pool: &Pool) -> (Tensor, Vec<u32>) {
        let shape = self.shape();
        let mut batch = Tensor::zeros(shape.batched(samples.len()));
        let varied = varied.filter(|_| shape.is_map());
        let outs: Vec<_> = batch.data.chunks_exact_mut(shape.elements()).map(Mutex::new).collect();
        let write = |i: usize| {
            let mut out = outs[i].lock().unwrap_or_else(PoisonError::into_inner);
            self.write(samples[i], varied, &mut out);
        };
        match varied {
            Some(_) => pool.run(samples.len(), &write),
            // Waking a thread takes longer than the copy.
            None => (0..samples.len()).for_each(write),
        }
        drop(outs);
        (batch, samples.iter().map(|&s| self.labels[s as usize]).collect())
    }

    /// Splits off `held_out` samples, spread over the classes as evenly as possible. Returns them and the remaining
    /// samples. Equal seeds give equal splits.
    ///
    /// # Errors
    /// [`Error::Argument`] unless both get at least one sample.
    pub fn split(&self, held_out: usize, seed: u32) -> Result<(Dataset, Dataset)> {
        if !(1..self.len()).contains(&held_out) {
            let expected = format!("1 to {} of {} samples", self.len() - 1, self.len());
            return Err(Error::argument("held-out samples", expected, held_out));
        }
        let mut by_class = vec![vec![]; self.classes];
        for sample in self.order(rng::mix(seed ^ SPLIT_STREAM), 0) {
            by_class[self.labels[sample as usize] as usize].push(sample);
        }
        // Takes one sample of each class in turn, until there are enough.
        let mut held = vec![];
        while held.len() < held_out {
            for class in by_class.iter_mut().filter(|class| !class.is_empty()).take(held_out - held.len()) {
                held.extend(class.pop());
            }
        }
        let mut others = by_class.concat();
        others.sort_unstable();
        Ok((self.subset(&others), self.subset(&held)))
    }

    fn subset(&self, samples: &[u32]) -> Dataset {
        let n = self.stored.elements();
        fn gather<T: Copy>(from: &[T], samples: &[u32], n: usize) -> Vec<T> {
            samples.iter().flat_map(|&s| from[s as usize * n..][..n].iter().copied()).collect()
        }
        let values = match &self.values {
            Values::Bytes(v) => Values::Bytes(gather(v, samples, n)),
            Values::Floats(v) => Values::Floats(gather(v, samples, n)),
        };
        Dataset {
            name: self.name.clone(),
            stored: self.stored.clone(),
            values,
            labels: gather(&self.labels, samples, 1),
            classes: self.classes,
            pad: self.pad,
            scale_and_shift: self.scale_and_shift.clone(),
        }
    }

    /// Writes one sample in the form of the network's input.
    fn write(&self, sample: u32, varied: Option<Variation>, out: &mut [f32]) {
        let n = self.stored.elements();
        let start = sample as usize * n;
        match (&self.values, varied) {
            (Values::Floats(v), None) => out.copy_from_slice(&v[start..][..n]),
            (Values::Floats(v), Some(vary)) => self.write_map(sample, Some(vary), out, |i| v[start + i]),
            (Values::Bytes(v), vary) => self.write_map(sample, vary, out, |i| f32::from(v[start + i])),
        }
    }

    /// Writes a padded map: each channel scaled and shifted, each pixel from its place under the augmentation.
    fn write_map(&self, sample: u32, varied: Option<Variation>, out: &mut [f32], value: impl Fn(usize) -> f32) {
        let (_, h, w) = self.stored.chw();
        let (_, oh, ow) = self.shape().chw();
        let transform = varied.map(|v| v.augment.draw(v.seed, v.epoch, sample, [oh, ow]));
        let coloured = transform.and_then(|t| t.colour);
        let (area, rgb) = (h * w, self.stored.dims().first() == Some(&3));
        // The weights of luma in ITU-R BT.601.
        let gray = |i: usize| match rgb {
            true => 0.299 * value(i) + 0.587 * value(area + i) + 0.114 * value(2 * area + i),
            false => value(i),
        };
        let mean = coloured.map_or(0.0, |_| (0..area).map(gray).sum::<f32>() / area as f32);
        for (c, plane) in out.chunks_exact_mut(oh * ow).enumerate() {
            let (a, b) = self.scale_and_shift.get(c).copied().unwrap_or((1.0, 0.0));
            let pixel = |y: isize, x: isize| {
                let (y, x) = (y - self.pad as isize, x - self.pad as isize);
                let inside = y >= 0 && x >= 0 && (y as usize) < h && (x as usize) < w;
                if !inside {
                    return 0.0;
                }
                let i = y as usize * w + x as usize;
                match coloured {
                    Some(colour) => colour.adjust(value(c * area + i), gray(if rgb { i } else { c * area + i }), mean),
                    None => value(c * area + i),
                }
            };
            for (i, out) in plane.iter_mut().enumerate() {
                let (row, col) = (i / ow, i % ow);
                *out = match &transform {
                    Some(t) if t.hides(row, col) => 0.0,
                    Some(t) => b + a * t.sample(row, col, pixel),
                    None => b + a * pixel(row as isize, col as isize),
                };
            }
        }
    }
}

/// The random augmentation of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Variation {
    /// The ranges of the random changes.
    pub augment: Augmentation,
    /// The seed of the run.
    pub seed: u32,
    /// The epoch of the run, from 0.
    pub epoch: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::Channels;

    fn gray(pad: usize) -> Preprocess {
        Preprocess { channels: Channels::Gray, pad, mean: vec![0.5], std: vec![0.5], ..Preprocess::default() }
    }

    fn digits(labels: Vec<u32>) -> Result<Dataset> {
        let bytes = (0..labels.len() * 4).map(|i| i as u8).collect();
        Dataset::from_bytes("digits", [1, 2, 2], bytes, labels, 3, &gray(1))
    }

    #[test]
    fn holes_are_the_mean_and_floats_have_no_colours() {
        let bytes: Vec<u8> = (0..3 * 16).map(|i| (50 + 4 * i) as u8).collect();
        let preprocess = Preprocess { channels: Channels::Rgb, mean: vec![0.5; 3], std: vec![0.2; 3], ..gray(0) };
        let data = Dataset::from_bytes("d", [3, 4, 4], bytes, vec![0], 1, &preprocess).unwrap();
        let augment = Augmentation { cutout: 1, jitter: 0.3, ..Augmentation::default() };
        let (plain, _) = data.batch(&[0], None, &Pool::single());
        let (x, _) = data.batch(&[0], Some(Variation { augment, seed: 1, epoch: 2 }), &Pool::single());
        let hidden: Vec<usize> = (0..48).filter(|&i| x.data[i] == 0.0).collect();
        assert_eq!(hidden, [hidden[0], hidden[0] + 16, hidden[0] + 32], "one pixel of every channel");
        assert!((0..48).all(|i| hidden.contains(&i) || x.data[i] != plain.data[i]));
        assert!(data.check_varied(&augment).is_ok());
        let floats = Dataset::from_floats("f", [1, 2, 2], vec![0.0; 4], vec![0], 1).unwrap();
        assert_eq!(floats.check_varied(&augment).unwrap_err().code(), "argument");
    }

    #[test]
    fn batches_are_padded_and_normalized_as_single_images_are() {
        let data = digits(vec![0, 1, 2]).unwrap();
        let (x, labels) = data.batch(&[2, 0], None, &Pool::single());
        assert_eq!((x.shape.as_slice(), labels), (&[2, 1, 4, 4][..], vec![2, 0]));
        let image = crate::vision::Image::gray(2, 2, data.bytes(2).unwrap()).unwrap();
        assert_eq!(x.data[..16], gray(1).apply(&image).unwrap().data);
    }

    #[test]
    fn variations_depend_on_the_sample_and_not_on_the_batch() {
        let data = digits(vec![0, 1, 2, 0]).unwrap();
        let augment = Augmentation { shift: 1.0, rotate: 20.0, ..Augmentation::default() };
        let varied = Some(Variation { augment, seed: 1, epoch: 0 });
        let (all, _) = data.batch(&[0, 1, 2, 3], varied, &Pool::single());
        let (one, _) = data.batch(&[2], varied, &Pool::single());
        assert_eq!(all.data[32..48], one.data);
        assert_ne!(one, data.batch(&[2], None, &Pool::single()).0);
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(digits(vec![]).unwrap_err().code(), "empty-dataset");
        let error = digits(vec![0, 3]).unwrap_err();
        assert_eq!(error.code(), "label");
        assert!(error.to_string().contains("label 3 of sample 1"), "{error}");
        let error = Dataset::from_bytes("d", [1, 2, 2], vec![0; 7], vec![0, 0], 1, &gray(0)).unwrap_err();
        assert_eq!(error.code(), "shape");
        let error = Dataset::from_bytes("d", [3, 2, 2], vec![0; 12], vec![0], 1, &gray(0)).unwrap_err();
        assert_eq!(error.code(), "shape");
        let error = Dataset::from_floats("d", [2], vec![0.0, f32::NAN], vec![0], 1).unwrap_err();
        assert_eq!(error.code(), "not-finite");
    }

    #[test]
    fn splits_are_even_complete_and_repeatable() {
        let labels: Vec<u32> = (0..100).map(|i| if i < 5 { 0 } else { 1 + i % 2 }).collect();
        let data = digits(labels).unwrap();
        let (train, held) = data.split(30, 1).unwrap();
        let count = |d: &Dataset, class| d.labels().iter().filter(|&&l| l == class).count();
        assert_eq!([0, 1, 2].map(|c| count(&held, c)), [5, 13, 12]);
        assert_eq!((train.len(), held.len()), (70, 30));
        let mut all: Vec<&[u8]> = (0..70).map(|i| train.bytes(i).unwrap()).collect();
        all.extend((0..30).map(|i| held.bytes(i).unwrap()));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 64, "400 bytes count modulo 256, so 64 images differ");
        assert_eq!(data.split(30, 1).unwrap().1, held);
        assert_ne!(data.split(30, 2).unwrap().1, held);
        assert!(data.split(100, 1).is_err() && data.split(0, 1).is_err());
    }
}
