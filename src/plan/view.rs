//! Views of values in the arena.

/// A strided NHWC view of a value in the arena. A branch of a concatenation has a pixel stride larger than its number of
/// channels; vectors are maps of one pixel.
///
/// # Examples
/// ```
/// use convoke::plan::View;
/// // The first 5 of 8 channels of a map of 2x2 pixels.
/// let view = View { offset: 64, pixel_stride: 8, c: 5, h: 2, w: 2 };
/// assert_eq!((view.pixels(1), view.span(1)), (4, 29));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// The first float in the arena.
    pub offset: usize,
    /// The floats from one pixel to the next, at least `c`.
    pub pixel_stride: usize,
    /// Channels.
    pub c: usize,
    /// Height.
    pub h: usize,
    /// Width.
    pub w: usize,
}

impl View {
    /// Returns the number of pixels in a batch of `n` samples.
    pub fn pixels(&self, n: usize) -> usize {
        n * self.h * self.w
    }

    /// Returns the number of floats from the first to the last, inclusive, for a batch of `n` samples, at least 1.
    pub fn span(&self, n: usize) -> usize {
        (self.pixels(n) - 1) * self.pixel_stride + self.c
    }

    /// Copies the value's own channels out of its span.
    pub(crate) fn gather(&self, span: &[f32]) -> Vec<f32> {
        span.chunks(self.pixel_stride).flat_map(|pixel| &pixel[..self.c]).copied().collect()
    }
}
