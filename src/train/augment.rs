//! Random variations of training images.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::rng::{self, Rng};

/// The stream from which each epoch's augmentation seed is drawn.
const STREAM: u32 = 0xa063;

/// How far images are moved. Each sample draws anew in every epoch, from `(seed, epoch, sample)` alone, so neither the
/// batch size nor the order of samples changes what it draws.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// Up to this many pixels in each direction.
    pub shift: f32,
    /// Up to this many degrees either way.
    pub rotate: f32,
    /// Larger or smaller by up to this fraction.
    pub scale: f32,
    /// Mirrored left to right, every other time.
    pub flip: bool,
}

impl Augmentation {
    /// Whether it leaves every image as it is.
    pub fn is_none(&self) -> bool {
        *self == Augmentation::default()
    }

    /// # Errors
    /// [`Error::Argument`] for values outside their ranges.
    pub fn validate(&self) -> Result<()> {
        for (name, v, limit) in [("shift", self.shift, 1e3), ("rotate", self.rotate, 180.0), ("scale", self.scale, 0.9)]
        {
            if !(0.0..=limit).contains(&v) {
                return Err(Error::argument(format!("augment {name}"), format!("0 to {limit}"), v));
            }
        }
        Ok(())
    }

    /// What happens to sample `sample` in epoch `epoch` of the run `seed`, for images of `[h, w]`.
    pub fn draw(&self, seed: u32, epoch: u32, sample: u32, [h, w]: [usize; 2]) -> Transform {
        let mut rng = Rng::new(rng::word(seed, STREAM, epoch), sample);
        let (dx, dy) = (rng.range(-self.shift, self.shift), rng.range(-self.shift, self.shift));
        let angle = f64::from(rng.range(-self.rotate, self.rotate)).to_radians();
        let zoom = f64::from(1.0 + rng.range(-self.scale, self.scale));
        let mirror = if self.flip && rng.word() & 1 == 1 { -1.0 } else { 1.0 };
        // The way back, from a pixel of the result to the place it came from, about the middle of the image.
        let (cos, sin) = ((angle.cos() / zoom) as f32, (angle.sin() / zoom) as f32);
        let (cx, cy) = ((w as f32 - 1.0) / 2.0, (h as f32 - 1.0) / 2.0);
        let (px, py) = (cx + dx, cy + dy);
        Transform {
            x: [mirror * cos, mirror * sin, cx - mirror * (cos * px + sin * py)],
            y: [-sin, cos, cy + sin * px - cos * py],
        }
    }
}

/// Where each pixel comes from: `(x . [col, row, 1], y . [col, row, 1])`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transform {
    x: [f32; 3],
    y: [f32; 3],
}

impl Transform {
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
    fn draws_depend_on_seed_epoch_and_sample() {
        let a = Augmentation { shift: 2.0, rotate: 10.0, scale: 0.1, flip: true };
        let draw = |seed, epoch, sample| a.draw(seed, epoch, sample, [8, 8]);
        assert_eq!(draw(1, 2, 3), draw(1, 2, 3));
        assert!(draw(1, 2, 3) != draw(2, 2, 3) && draw(1, 2, 3) != draw(1, 3, 3) && draw(1, 2, 3) != draw(1, 2, 4));
    }
}
