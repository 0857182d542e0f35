//! Random variations of training images.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::options::{self, OptionSpec, Range};
use crate::rng::{self, Rng};

/// The streams from which each epoch's augmentation seed is drawn, and that of mixtures.
const STREAM: u32 = 0xa063;
const MIX_STREAM: u32 = 0x317b;

/// How images are varied. Each sample draws anew in every epoch, from `(seed, epoch, sample)` alone, so neither the
/// batch size nor the order of samples changes what it draws.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Augmentation {
    // The first four move an image, and are drawn first.
    /// Up to this many pixels in each direction.
    pub shift: f32,
    /// Up to this many degrees either way.
    pub rotate: f32,
    /// Larger or smaller by up to this fraction.
    pub scale: f32,
    /// Mirrored left to right, every other time.
    pub flip: bool,
    /// Moved by whole pixels up to this many in each direction: cut out of the image in a frame of zeros (He et al., 2016,
    /// section 4.2).
    pub crop: u32,
    /// The side of a square, anywhere, whose inputs are 0, the mean of normalized images (DeVries and Taylor, 2017).
    pub cutout: u32,
    /// Brightness, contrast and saturation, in this order, each times up to this fraction more or less. For images of
    /// bytes.
    pub jitter: f32,
    /// Each sample of a batch mixed with the one before it, and their labels likewise, in shares from Beta(a, a), which
    /// are drawn for the batch (Zhang et al., 2018).
    pub mixup: f32,
}

/// The options of augmentation.
pub const AUGMENTATION: Range = Range::Object(&[
    OptionSpec::new("shift", Range::Within(0.0, 1e3), "Moves by up to this many pixels in each direction."),
    OptionSpec::new("rotate", Range::Within(0.0, 180.0), "Rotates by up to this many degrees either way."),
    OptionSpec::new("scale", Range::Within(0.0, 0.9), "Makes larger or smaller by up to this fraction."),
    OptionSpec::new("flip", Range::Flag, "Mirrors left to right, every other time."),
    OptionSpec::new(
        "crop",
        Range::Whole(0, 1000),
        "Moves by whole pixels, up to this many in each direction, with zeros around.",
    ),
    OptionSpec::new("cutout", Range::Whole(0, 1000), "Hides a square with sides of this many pixels, anywhere."),
    OptionSpec::new(
        "jitter",
        Range::Within(0.0, 1.0),
        "Multiplies brightness, contrast and saturation by up to this fraction more or less; for images of bytes.",
    ),
    OptionSpec::new(
        "mixup",
        Range::Within(0.0, 1.0),
        "Mixes each image with another, and their labels likewise, in shares from Beta(mixup, mixup).",
    ),
]);

impl Augmentation {
    /// Whether it leaves every image as it is.
    pub fn is_none(&self) -> bool {
        *self == Augmentation::default()
    }

    /// Checks the options.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] for values outside their ranges.
    pub fn validate(&self) -> Result<()> {
        options::validate("augment", self, AUGMENTATION)
    }

    /// What happens to sample `sample` in epoch `epoch` of the run `seed`, for images of `[h, w]`.
    pub fn draw(&self, seed: u32, epoch: u32, sample: u32, [h, w]: [usize; 2]) -> Transform {
        let mut rng = Rng::new(rng::word(seed, STREAM, epoch), sample);
        let (dx, dy) = (rng.range(-self.shift, self.shift), rng.range(-self.shift, self.shift));
        let angle = f64::from(rng.range(-self.rotate, self.rotate)).to_radians();
        let zoom = f64::from(1.0 + rng.range(-self.scale, self.scale));
        let mirror = if self.flip && rng.word() & 1 == 1 { -1.0 } else { 1.0 };
        let whole = |rng: &mut Rng, n: u32| if n == 0 { 0 } else { rng.word() % n };
        let [dx, dy] = [dx, dy].map(|d| d + whole(&mut rng, 2 * self.crop + 1) as f32 - self.crop as f32);
        let hole = (self.cutout > 0)
            .then(|| Hole { middle: [whole(&mut rng, h as u32), whole(&mut rng, w as u32)], side: self.cutout });
        let mut factor = || rng.range(1.0 - self.jitter, 1.0 + self.jitter);
        let colour =
            (self.jitter > 0.0).then(|| Colour { brightness: factor(), contrast: factor(), saturation: factor() });
        // The way back, from a pixel of the result to the place it came from, about the middle of the image.
        let (cos, sin) = ((angle.cos() / zoom) as f32, (angle.sin() / zoom) as f32);
        let (cx, cy) = ((w as f32 - 1.0) / 2.0, (h as f32 - 1.0) / 2.0);
        let (px, py) = (cx + dx, cy + dy);
        Transform {
            x: [mirror * cos, mirror * sin, cx - mirror * (cos * px + sin * py)],
            y: [-sin, cos, cy + sin * px - cos * py],
            hole,
            colour,
        }
    }

    /// The share of each sample in the mixture with its neighbour, for the batch in epoch `epoch` of the run `seed` that
    /// begins with sample `sample`: from Beta(mixup, mixup), by Jöhnk's way.
    pub fn share(&self, seed: u32, epoch: u32, sample: u32) -> f32 {
        let mut rng = Rng::new(rng::word(seed, MIX_STREAM, epoch), sample);
        if self.mixup == 0.0 {
            return 1.0;
        }
        loop {
            let [x, y] = [(); 2].map(|()| rng.range(0.0, 1.0).powf(1.0 / self.mixup));
            if x + y > 0.0 && x + y <= 1.0 {
                return x / (x + y);
            }
        }
    }
}

/// A square in which there is nothing to see.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Hole {
    middle: [u32; 2],
    side: u32,
}

/// Factors on what a picture is like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Colour {
    brightness: f32,
    contrast: f32,
    saturation: f32,
}

impl Colour {
    /// A value of a channel, 0 to 255, given the pixel's gray and the image's mean gray. The three are linear, so they are
    /// one formula; only the result is kept within the limits.
    pub fn adjust(&self, value: f32, gray: f32, mean: f32) -> f32 {
        let saturated = self.saturation * value + (1.0 - self.saturation) * gray;
        let contrasted = self.contrast * saturated + (1.0 - self.contrast) * mean;
        (self.brightness * contrasted).clamp(0.0, 255.0)
    }
}

/// Where each pixel comes from: `(x . [col, row, 1], y . [col, row, 1])`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transform {
    x: [f32; 3],
    y: [f32; 3],
    hole: Option<Hole>,
    /// How its colours are changed.
    pub colour: Option<Colour>,
}

impl Transform {
    /// Whether there is nothing to see at pixel `(row, col)`.
    pub fn hides(&self, row: usize, col: usize) -> bool {
        let within = |at: usize, middle: u32, side: u32| {
            let first = i64::from(middle) - i64::from(side / 2);
            (first..first + i64::from(side)).contains(&(at as i64))
        };
        self.hole.is_some_and(|h| within(row, h.middle[0], h.side) && within(col, h.middle[1], h.side))
    }

    /// The value for pixel `(row, col)`, interpolated between the four pixels around the place it comes from.
    /// `pixel(row, col)` must answer for pixels outside the image, too.
    pub fn sample(&self, row: usize, col: usize, pixel: impl Fn(isize, isize) -> f32) -> f32 {
        let (row, col) = (row as f32, col as f32);
        let x = self.x[0] * col + self.x[1] * row + self.x[2];
        let y = self.y[0] * col + self.y[1] * row + self.y[2];
        let (left, top) = (x.floor(), y.floor());
        let (fx, fy) = (x - left, y - top);
        let (left, top) = (left as isize, top as isize);
        let mix = |row: isize| pixel(row, left) * (1.0 - fx) + pixel(row, left + 1) * fx;
        mix(top) * (1.0 - fy) + mix(top + 1) * fy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(transform: &Transform, image: &[[f32; 3]; 3]) -> Vec<f32> {
        let pixel = |r: isize, c: isize| {
            let inside = (0..3).contains(&r) && (0..3).contains(&c);
            if inside { image[r as usize][c as usize] } else { 0.0 }
        };
        (0..9).map(|i| transform.sample(i / 3, i % 3, pixel)).collect()
    }

    const IMAGE: [[f32; 3]; 3] = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]];

    #[test]
    fn nothing_changes_nothing() {
        let same = Augmentation::default().draw(1, 2, 3, [3, 3]);
        assert_eq!(apply(&same, &IMAGE), IMAGE.concat());
    }

    #[test]
    fn flipping_mirrors_about_half_of_the_samples() {
        let flip = Augmentation { flip: true, ..Augmentation::default() };
        let mirrored = [3.0, 2.0, 1.0, 6.0, 5.0, 4.0, 9.0, 8.0, 7.0];
        let flipped = (0..100).filter(|&i| apply(&flip.draw(1, 0, i, [3, 3]), &IMAGE) == mirrored).count();
        let same = (0..100).filter(|&i| apply(&flip.draw(1, 0, i, [3, 3]), &IMAGE) == IMAGE.concat()).count();
        assert_eq!(flipped + same, 100);
        assert!((30..70).contains(&flipped), "{flipped}");
    }

    #[test]
    fn a_turn_moves_the_corner_and_keeps_the_middle() {
        let turn = Augmentation { rotate: 180.0, ..Augmentation::default() };
        for sample in 0..50 {
            let y = apply(&turn.draw(1, 0, sample, [3, 3]), &IMAGE);
            assert!((y[4] - 5.0).abs() < 1e-4, "the middle stays: {y:?}");
        }
    }

    #[test]
    fn crops_move_by_whole_pixels_in_every_direction() {
        let crop = Augmentation { crop: 1, ..Augmentation::default() };
        let mut seen = std::collections::BTreeSet::new();
        for sample in 0..200 {
            let y = apply(&crop.draw(1, 0, sample, [3, 3]), &IMAGE);
            assert!(y.iter().all(|v| IMAGE.concat().contains(v) || *v == 0.0), "{y:?}");
            seen.insert(y.iter().map(|v| *v as u32).collect::<Vec<_>>());
        }
        assert_eq!(seen.len(), 9);
        assert!(seen.contains(&vec![5, 6, 0, 8, 9, 0, 0, 0, 0]) && seen.contains(&vec![0, 0, 0, 0, 1, 2, 0, 4, 5]));
    }

    #[test]
    fn cutout_hides_a_square_as_far_as_it_lies_in_the_image() {
        let cutout = Augmentation { cutout: 2, ..Augmentation::default() };
        let hidden = |sample| {
            let t = cutout.draw(1, 0, sample, [3, 3]);
            (0..9).filter(|&i| t.hides(i / 3, i % 3)).count()
        };
        let counts: std::collections::BTreeSet<usize> = (0..100).map(hidden).collect();
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), [1, 2, 4]);
    }

    /// As the definitions say, one after the other; nothing was limited.
    #[test]
    fn jitter_changes_brightness_then_contrast_then_saturation() {
        let jitter = Augmentation { jitter: 0.2, ..Augmentation::default() };
        for sample in 0..20 {
            let colour = jitter.draw(1, 0, sample, [3, 3]).colour.unwrap();
            let Colour { brightness, contrast, saturation } = colour;
            assert!([brightness, contrast, saturation].iter().all(|f| (0.8..=1.2).contains(f)));
            let (value, gray, mean) = (100.0, 120.0, 90.0);
            let [value, gray, mean] = [value, gray, mean].map(|v| v * brightness);
            let [value, gray] = [value, gray].map(|v| contrast * v + (1.0 - contrast) * mean);
            let want = saturation * value + (1.0 - saturation) * gray;
            assert!((colour.adjust(100.0, 120.0, 90.0) - want).abs() < 1e-3);
        }
        let bright = Colour { brightness: 2.0, contrast: 1.0, saturation: 1.0 };
        assert_eq!(bright.adjust(200.0, 200.0, 100.0), 255.0);
    }

    #[test]
    fn shares_of_mixtures_are_from_the_beta_distribution() {
        for alpha in [0.2, 1.0] {
            let mixup = Augmentation { mixup: alpha, ..Augmentation::default() };
            let shares: Vec<f32> = (0..4000).map(|sample| mixup.share(1, 2, sample)).collect();
            let mean = shares.iter().sum::<f32>() / 4000.0;
            let variance = shares.iter().map(|s| (s - mean).powi(2)).sum::<f32>() / 4000.0;
            let want = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            assert!((mean - 0.5).abs() < 0.03 && (variance - want).abs() < 0.01, "{mean} {variance} of {want}");
        }
        assert_eq!(Augmentation::default().share(1, 2, 3), 1.0);
    }

    #[test]
    fn draws_depend_on_seed_epoch_and_sample() {
        let a = Augmentation { shift: 2.0, rotate: 10.0, scale: 0.1, flip: true, ..Augmentation::default() };
        let draw = |seed, epoch, sample| a.draw(seed, epoch, sample, [8, 8]);
        assert_eq!(draw(1, 2, 3), draw(1, 2, 3));
        assert!(draw(1, 2, 3) != draw(2, 2, 3) && draw(1, 2, 3) != draw(1, 3, 3) && draw(1, 2, 3) != draw(1, 2, 4));
    }
}
