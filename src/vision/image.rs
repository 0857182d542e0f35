//! Pixels in memory.

use crate::error::{Error, Result};

/// The most pixels an image may have.
const MAX_PIXELS: u64 = 1 << 28;

/// An image of 8-bit RGBA pixels, rows from the top, alpha not premultiplied: the format of a canvas.
///
/// # Examples
/// ```
/// use convoke::vision::Image;
/// let image = Image::gray(2, 1, &[0, 255])?;
/// assert_eq!(image.pixels(), [0, 0, 0, 255, 255, 255, 255, 255]);
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    width: usize,
    height: usize,
    rgba: Vec<u8>,
}

impl Image {
    /// Makes an image of `[r, g, b, a]` bytes.
    ///
    /// # Errors
    /// Returns [`Error::Shape`] unless there are `4 * width * height` bytes, [`Error::Argument`] for an empty image, and
    /// [`Error::TooLarge`] for more than 2^28 pixels.
    pub fn rgba(width: usize, height: usize, rgba: Vec<u8>) -> Result<Self> {
        check(width, height, 4, rgba.len())?;
        Ok(Image { width, height, rgba })
    }

    /// Makes an opaque image of `[r, g, b]` bytes.
    ///
    /// # Errors
    /// Returns [`Error::Shape`] unless there are `3 * width * height` bytes, [`Error::Argument`] for an empty image, and
    /// [`Error::TooLarge`] for more than 2^28 pixels.
    pub fn rgb(width: usize, height: usize, rgb: &[u8]) -> Result<Self> {
        check(width, height, 3, rgb.len())?;
        let rgba = rgb.chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 255]).collect();
        Ok(Image { width, height, rgba })
    }

    /// Makes an opaque gray image, one byte for each pixel: 0 is black, 255 white.
    ///
    /// # Errors
    /// Returns [`Error::Shape`] unless there are `width * height` bytes, [`Error::Argument`] for an empty image, and
    /// [`Error::TooLarge`] for more than 2^28 pixels.
    pub fn gray(width: usize, height: usize, gray: &[u8]) -> Result<Self> {
        check(width, height, 1, gray.len())?;
        Ok(Image { width, height, rgba: gray.iter().flat_map(|&v| [v, v, v, 255]).collect() })
    }

    /// Returns the number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Returns the bytes, `[r, g, b, a]` for each pixel, rows from the top.
    pub fn pixels(&self) -> &[u8] {
        &self.rgba
    }

    /// Removes transparency: composes each pixel over a background of this gray value.
    pub(super) fn over(mut self, background: u8) -> Self {
        for p in self.rgba.chunks_exact_mut(4).filter(|p| p[3] < 255) {
            let alpha = u32::from(p[3]);
            for v in &mut p[..3] {
                *v = ((u32::from(*v) * alpha + u32::from(background) * (255 - alpha) + 127) / 255) as u8;
            }
            p[3] = 255;
        }
        self
    }
}

fn check(width: usize, height: usize, bytes_per_pixel: usize, bytes: usize) -> Result<()> {
    let pixels = count_pixels(width, height)?;
    if bytes as u64 != pixels * bytes_per_pixel as u64 {
        return Err(Error::Shape {
            tensor: "image".into(),
            expected: format!("{width}x{height} pixels of {bytes_per_pixel} bytes"),
            actual: format!("{bytes} bytes"),
        });
    }
    Ok(())
}

/// Returns the number of pixels of an image of this size.
///
/// # Errors
/// Returns [`Error::Argument`] for 0 and [`Error::TooLarge`] for more than 2^28 pixels.
pub(super) fn count_pixels(width: usize, height: usize) -> Result<u64> {
    let pixels = (width as u64).saturating_mul(height as u64);
    if pixels == 0 {
        return Err(Error::argument("image size", "at least 1x1", format!("{width}x{height}")));
    }
    if pixels > MAX_PIXELS {
        return Err(Error::TooLarge { what: "pixels of an image".into(), actual: pixels, limit: MAX_PIXELS });
    }
    Ok(pixels)
}
