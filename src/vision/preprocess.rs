//! Preprocessing: from an image to the input of a network.

use fast_image_resize::images::{Image as Raw, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Serialize};

use super::image::{Image, count_pixels};
use crate::error::{Error, Result};
use crate::tensor::{Tensor, dims};

/// The largest side in pixels that preprocessing may ask for.
const MAX_SIDE: usize = 1 << 14;

/// The colour channels of a network's input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// One channel: the luma of ITU-R BT.601, rounded as in Pillow's mode L.
    Gray,
    /// Three channels: red, green, blue.
    #[default]
    Rgb,
}

impl Channels {
    /// Returns the number of channels: 1 or 3.
    pub fn count(self) -> usize {
        match self {
            Channels::Gray => 1,
            Channels::Rgb => 3,
        }
    }
}

/// The interpolation between pixels. When shrinking, all but `Nearest` average over the area that a pixel replaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// The nearest pixel.
    Nearest,
    /// A triangle filter.
    #[default]
    Bilinear,
    /// A cubic filter with a = -1/2 (Catmull-Rom).
    Bicubic,
    /// A Lanczos filter with three lobes.
    Lanczos,
}

impl Interpolation {
    fn algorithm(self) -> ResizeAlg {
        match self {
            Interpolation::Nearest => ResizeAlg::Nearest,
            Interpolation::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
            Interpolation::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
            Interpolation::Lanczos => ResizeAlg::Convolution(FilterType::Lanczos3),
        }
    }
}

/// The steps from image to input, in this order: `size` or `resize`, `crop`, `channels`, `invert`, `pad`, then
/// `(v / 255 - mean) / std`. Steps that are not named are left out. Transparent pixels count as padding.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Preprocess {
    /// Colours.
    pub channels: Channels,
    /// Stretch to `[height, width]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<[usize; 2]>,
    /// Scale so that the shorter side has this many pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<usize>,
    /// Cut this square out of the middle; what lies beyond the image is black.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<usize>,
    /// Black pixels on all four sides: 2 for a digit of 28x28 in a LeNet of 32x32.
    pub pad: usize,
    /// Swap black and white.
    pub invert: bool,
    /// Subtracted from values in 0..1: one for all channels or one for each; none is 0.
    pub mean: Vec<f32>,
    /// Then divides: one for all channels or one for each; none is 1.
    pub std: Vec<f32>,
    /// How pixels between pixels are found.
    pub interpolation: Interpolation,
}

impl Preprocess {
    /// Checks that all values are in their ranges.
    ///
    /// # Errors
    /// Returns [`Error::Argument`] for a value out of its range, for both `size` and `resize`, and for a number of means or
    /// standard deviations that is neither 0, 1 nor the number of channels.
    pub fn validate(&self) -> Result<()> {
        let sides = [self.size.map(|s| s[0]), self.size.map(|s| s[1]), self.resize, self.crop];
        if let Some(side) = sides.into_iter().flatten().find(|s| !(1..=MAX_SIDE).contains(s)) {
            return Err(Error::argument("preprocess size", format!("1 to {MAX_SIDE} pixels"), side));
        }
        if self.pad > MAX_SIDE {
            return Err(Error::argument("preprocess pad", format!("0 to {MAX_SIDE} pixels"), self.pad));
        }
        if self.size.is_some() && self.resize.is_some() {
            return Err(Error::argument("preprocess", "`size` or `resize`", "both"));
        }
        check_channel_values("mean", &self.mean, self.channels.count(), f32::is_finite)?;
        check_channel_values("std", &self.std, self.channels.count(), |v| v.is_finite() && v > 0.0)
    }

    /// Returns the shape of the input, `[C, H, W]`; `None` when it depends on the image (neither `size` nor `crop` is given).
    pub fn output(&self) -> Option<[usize; 3]> {
        let [h, w] = self.crop.map(|c| [c; 2]).or(self.size)?;
        Some([self.channels.count(), h + 2 * self.pad, w + 2 * self.pad])
    }

    /// Returns, for each channel, `(a, b)` with `input = a * byte + b`.
    pub fn scale_and_shift(&self) -> Vec<(f32, f32)> {
        let of = |values: &[f32], c: usize, none: f32| values.get(c).or(values.first()).copied().unwrap_or(none);
        let channel = |c| {
            let (mean, std) = (of(&self.mean, c, 0.0), of(&self.std, c, 1.0));
            (1.0 / (255.0 * std), -mean / std)
        };
        (0..self.channels.count()).map(channel).collect()
    }

    /// Converts an image to an input `[C, H, W]`.
    ///
    /// # Errors
    /// Returns the errors of [`Preprocess::validate`], and [`Error::TooLarge`] for an image so narrow that `resize` would give
    /// it a side of more than 65536 pixels.
    ///
    /// # Examples
    /// ```
    /// use convoke::vision::{Channels, Image, Preprocess};
    /// let preprocess = Preprocess { channels: Channels::Gray, pad: 2, ..Preprocess::default() };
    /// let digit = Image::gray(28, 28, &[255; 28 * 28])?;
    /// let input = preprocess.apply(&digit)?;
    /// assert_eq!(input.shape, [1, 32, 32]);
    /// assert_eq!((input.data[0], input.data[2 * 32 + 2]), (0.0, 1.0));
    /// # Ok::<(), convoke::Error>(())
    /// ```
    pub fn apply(&self, image: &Image) -> Result<Tensor> {
        let (bytes, [h, w]) = self.pixels(image)?;
        let [c, oh, ow] = [self.channels.count(), h + 2 * self.pad, w + 2 * self.pad];
        let mut input = Vec::with_capacity(c * oh * ow);
        for (channel, (a, b)) in self.scale_and_shift().into_iter().enumerate() {
            for y in 0..oh {
                for x in 0..ow {
                    let inside = (self.pad..self.pad + h).contains(&y) && (self.pad..self.pad + w).contains(&x);
                    let at = |y: usize, x: usize| bytes[(channel * h + y) * w + x];
                    let byte = if inside { at(y - self.pad, x - self.pad) } else { 0 };
                    input.push(a * f32::from(byte) + b);
                }
            }
        }
        Tensor::new([c, oh, ow], input)
    }

    /// Converts images to a batch `[N, C, H, W]`.
    ///
    /// # Errors
    /// Returns the errors of [`Preprocess::apply`], [`Error::Shape`] when the inputs differ in size, and
    /// [`Error::EmptyDataset`] without images.
    pub fn batch<'a>(&self, images: impl IntoIterator<Item = &'a Image>) -> Result<Tensor> {
        let mut batch = Tensor { shape: vec![], data: vec![] };
        let mut count = 0;
        for image in images {
            let one = self.apply(image)?;
            if count > 0 && one.shape != batch.shape {
                let tensor = format!("image {count}");
                return Err(Error::Shape { tensor, expected: dims(&batch.shape), actual: dims(&one.shape) });
            }
            batch.shape = one.shape;
            batch.data.extend(one.data);
            count += 1;
        }
        if count == 0 {
            return Err(Error::EmptyDataset { name: "batch".into() });
        }
        batch.shape.insert(0, count);
        Ok(batch)
    }

    /// Applies all steps up to `invert`. Returns the bytes `[C, H, W]`, which data sets store, and `[H, W]`.
    ///
    /// # Errors
    /// Returns the errors of [`Preprocess::validate`], and [`Error::TooLarge`] for an image so narrow that `resize` would give
    /// it a side of more than 65536 pixels.
    pub fn pixels(&self, image: &Image) -> Result<(Vec<u8>, [usize; 2])> {
        self.validate()?;
        let background = if self.invert { 255 } else { 0 };
        let mut image = image.clone().over(background);
        if let Some([h, w]) = self.target(&image)? {
            image = resize(&image, h, w, self.interpolation)?;
        }
        if let Some(side) = self.crop {
            image = crop(&image, side, background)?;
        }
        let flip = |v: u8| if self.invert { 255 - v } else { v };
        let channels: &[fn(&[u8]) -> u8] = match self.channels {
            Channels::Gray => &[luma],
            Channels::Rgb => &[|p| p[0], |p| p[1], |p| p[2]],
        };
        let plane = |channel: &fn(&[u8]) -> u8| {
            let channel = *channel;
            image.pixels().chunks_exact(4).map(move |p| flip(channel(p)))
        };
        Ok((channels.iter().flat_map(plane).collect(), [image.height(), image.width()]))
    }

    /// Returns the size `[height, width]` to which the image is scaled; `None` when it has that size.
    fn target(&self, image: &Image) -> Result<Option<[usize; 2]>> {
        let from = [image.height(), image.width()];
        let to = match (self.size, self.resize) {
            (Some(size), _) => size,
            // The longer side is rounded down, as torchvision does.
            (None, Some(side)) => {
                let shorter = from[0].min(from[1]);
                from.map(|length| side * length / shorter)
            }
            (None, None) => from,
        };
        if to.iter().any(|&side| side > 4 * MAX_SIDE) {
            let actual = to[0].max(to[1]) as u64;
            return Err(Error::TooLarge {
                what: "side of the resized image".into(),
                actual,
                limit: 4 * MAX_SIDE as u64,
            });
        }
        Ok((to != from).then_some(to))
    }
}

/// Returns `0.299 r + 0.587 g + 0.114 b`, rounded as in Pillow.
fn luma(p: &[u8]) -> u8 {
    ((u32::from(p[0]) * 19595 + u32::from(p[1]) * 38470 + u32::from(p[2]) * 7471 + 0x8000) >> 16) as u8
}

fn check_channel_values(name: &str, values: &[f32], channels: usize, valid: fn(f32) -> bool) -> Result<()> {
    if values.len() > 1 && values.len() != channels {
        return Err(Error::argument(name, format!("none, 1 or {channels} values"), values.len()));
    }
    match values.iter().find(|&&v| !valid(v)) {
        Some(v) => Err(Error::argument(name, "finite numbers (std above 0)", v)),
        None => Ok(()),
    }
}

/// Scales an image, with antialiasing when shrinking: like Pillow, with which networks are trained, and unlike a canvas or
/// OpenCV. Also like Pillow, rows come first; the order shows at sharp edges, because values are rounded in between.
fn resize(image: &Image, height: usize, width: usize, interpolation: Interpolation) -> Result<Image> {
    let wide = scale(image, image.height(), width, interpolation)?;
    scale(&wide, height, width, interpolation)
}

fn scale(image: &Image, height: usize, width: usize, interpolation: Interpolation) -> Result<Image> {
    count_pixels(width, height)?;
    let failed = |e: &dyn std::fmt::Display| Error::argument("image", format!("one to scale to {width}x{height}"), e);
    let source = ImageRef::new(image.width() as u32, image.height() as u32, image.pixels(), PixelType::U8x4);
    let source = source.map_err(|e| failed(&e))?;
    let mut target = Raw::new(width as u32, height as u32, PixelType::U8x4);
    // Alpha is 255 everywhere.
    let options = ResizeOptions::new().resize_alg(interpolation.algorithm()).use_alpha(false);
    Resizer::new().resize(&source, &mut target, &options).map_err(|e| failed(&e))?;
    Image::rgba(width, height, target.into_vec())
}

/// Cuts a square out of the middle; pixels beyond the image have the value `background`.
fn crop(image: &Image, side: usize, background: u8) -> Result<Image> {
    // The offset of the square in the image, negative where the square is larger. As in torchvision, halves round to even
    // inside the image and towards zero around it.
    let offset = |length: usize| {
        let rest = length as isize - side as isize;
        (rest + ((rest.max(0) / 2) & 1)) / 2
    };
    let (top, left) = (offset(image.height()), offset(image.width()));
    let pixel = |y: isize, x: isize| {
        let inside = (0..image.height() as isize).contains(&y) && (0..image.width() as isize).contains(&x);
        let at = if inside { (y as usize * image.width() + x as usize) * 4 } else { 0 };
        if inside { image.pixels()[at..at + 4].try_into().expect("four bytes") } else { [background; 4] }
    };
    let rows = 0..side as isize;
    let rgba = rows.flat_map(|y| (0..side as isize).flat_map(move |x| pixel(top + y, left + x))).collect();
    Image::rgba(side, side, rgba)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(width: usize, height: usize) -> Image {
        let rgba = (0..width * height).flat_map(|i| [i as u8, (i / width) as u8, (i % width) as u8, 255]).collect();
        Image::rgba(width, height, rgba).unwrap()
    }

    #[test]
    fn a_digit_is_padded_with_black_and_normalized() {
        let p =
            Preprocess { channels: Channels::Gray, pad: 2, mean: vec![0.5], std: vec![0.25], ..Preprocess::default() };
        let x = p.apply(&Image::gray(28, 28, &[255; 784]).unwrap()).unwrap();
        assert_eq!(x.shape, [1, 32, 32]);
        assert_eq!(x.data[0], -2.0);
        assert!((x.data[2 * 32 + 2] - 2.0).abs() < 1e-6);
    }

    #[test]
    fn channels_are_planes_in_order() {
        let x = Preprocess::default().apply(&ramp(3, 2)).unwrap();
        assert_eq!(x.shape, [3, 2, 3]);
        let bytes: Vec<u8> = x.data.iter().map(|v| (v * 255.0).round() as u8).collect();
        assert_eq!(bytes, [0, 1, 2, 3, 4, 5, 0, 0, 0, 1, 1, 1, 0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn the_shorter_side_is_scaled_and_the_middle_is_cut() {
        let p = Preprocess { resize: Some(8), crop: Some(6), ..Preprocess::default() };
        assert_eq!(p.output(), Some([3, 6, 6]));
        assert_eq!(p.apply(&ramp(33, 16)).unwrap().shape, [3, 6, 6]);
        let p = Preprocess { resize: Some(8), ..Preprocess::default() };
        assert_eq!(p.apply(&ramp(33, 16)).unwrap().shape, [3, 8, 16]);
        let p = Preprocess { crop: Some(2), channels: Channels::Gray, ..Preprocess::default() };
        let x = p.apply(&Image::gray(4, 4, &(0..16).collect::<Vec<_>>()).unwrap()).unwrap();
        assert_eq!(x.data.iter().map(|v| (v * 255.0).round() as u8).collect::<Vec<_>>(), [5, 6, 9, 10]);
    }

    #[test]
    fn shrinking_averages_like_pillow() {
        // Pillow: Image.fromarray(uint8 [[0, 255] * 8] * 16).resize((4, 4), BILINEAR).
        let stripes: Vec<u8> = (0..256).map(|i| if i % 2 == 0 { 0 } else { 255 }).collect();
        let p = Preprocess { size: Some([4, 4]), channels: Channels::Gray, ..Preprocess::default() };
        let (bytes, size) = p.pixels(&Image::gray(16, 16, &stripes).unwrap()).unwrap();
        assert_eq!(size, [4, 4]);
        assert!(bytes.iter().all(|&v| (110..=145).contains(&v)), "{bytes:?}");
    }

    #[test]
    fn transparent_is_padding_and_invert_swaps() {
        let clear = Image::rgba(1, 1, vec![90, 90, 90, 0]).unwrap();
        for invert in [false, true] {
            let p = Preprocess { invert, channels: Channels::Gray, ..Preprocess::default() };
            assert_eq!(p.pixels(&clear).unwrap().0, [0]);
        }
        let p = Preprocess { invert: true, ..Preprocess::default() };
        assert_eq!(p.pixels(&Image::gray(1, 1, &[200]).unwrap()).unwrap().0, [55; 3]);
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(Image::rgba(2, 2, vec![0; 15]).unwrap_err().code(), "shape");
        assert_eq!(Image::gray(0, 2, &[]).unwrap_err().code(), "argument");
        assert_eq!(Image::gray(1 << 20, 1 << 20, &[]).unwrap_err().code(), "too-large");
        for p in [
            Preprocess { mean: vec![0.0; 2], ..Preprocess::default() },
            Preprocess { std: vec![0.0], ..Preprocess::default() },
            Preprocess { mean: vec![f32::NAN], ..Preprocess::default() },
            Preprocess { size: Some([0, 4]), ..Preprocess::default() },
            Preprocess { size: Some([4, 4]), resize: Some(4), ..Preprocess::default() },
        ] {
            assert_eq!(p.apply(&ramp(4, 4)).unwrap_err().code(), "argument", "{p:?}");
        }
        let p = Preprocess { resize: Some(1 << 14), ..Preprocess::default() };
        assert_eq!(p.apply(&ramp(1, 90)).unwrap_err().code(), "too-large");
    }
}
