//! The sliding window that convolutions and poolings share.

use serde::{Deserialize, Serialize};

use super::definition::Mismatch;
use crate::tensor::dims;

/// Values around the input: zeros for convolutions and average poolings, values below all others for max poolings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "PaddingForm", into = "PaddingForm")]
pub enum Padding {
    /// `[top, left, bottom, right]` rows and columns, each at most 32768.
    Explicit([usize; 4]),
    /// The padding with which the output has `ceil(input / stride)` rows and columns (the 'same' convolution of the notes'
    /// section 1.1). An odd total puts the extra row at the bottom and the extra column at the right.
    Same,
}

/// A padding as JSON.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "\"same\" or [top, left, bottom, right]")]
enum PaddingForm {
    Named(PaddingName),
    Explicit([usize; 4]),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PaddingName {
    Same,
}

impl From<PaddingForm> for Padding {
    fn from(form: PaddingForm) -> Self {
        match form {
            PaddingForm::Named(PaddingName::Same) => Padding::Same,
            PaddingForm::Explicit(pads) => Padding::Explicit(pads),
        }
    }
}

impl From<Padding> for PaddingForm {
    fn from(padding: Padding) -> Self {
        match padding {
            Padding::Same => PaddingForm::Named(PaddingName::Same),
            Padding::Explicit(pads) => PaddingForm::Explicit(pads),
        }
    }
}

impl Padding {
    /// No padding: the 'valid' convolution.
    pub const NONE: Padding = Padding::Explicit([0; 4]);

    /// Returns a padding of `p` on all four sides.
    pub const fn all(p: usize) -> Self {
        Padding::Explicit([p; 4])
    }
}

/// The window that convolutions and poolings slide over their input. All pairs are `[height, width]`.
///
/// # Shapes
/// An input of `n` rows gives `floor((n - f + p) / s + 1)` rows (the notes' equation (1)), where f is the dilated kernel
/// `dilation * (kernel - 1) + 1`, p the padding of both sides together and s the stride; columns likewise.
///
/// # Examples
/// ```
/// use convoke::layers::{Padding, Window};
/// let window = Window { stride: [2; 2], padding: Padding::all(3), ..Window::new(7) };
/// assert_eq!(window.output([224, 224])?, [112, 112]);
/// # Ok::<(), convoke::layers::Mismatch>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The size of the kernel, each 1 to 32768.
    pub kernel: [usize; 2],
    /// The distance in the input between neighbouring outputs, each 1 to 32768.
    pub stride: [usize; 2],
    /// The padding around the input.
    pub padding: Padding,
    /// The distance in the input between neighbouring taps of the kernel, each 1 to 32768.
    pub dilation: [usize; 2],
    /// Whether the output size is rounded up (poolings only). As in PyTorch, a last window that would start beyond the
    /// input and its top or left padding is left out.
    pub ceil_mode: bool,
}

impl Window {
    /// Returns a square window with stride 1, no dilation, no padding, and the output size rounded down.
    pub const fn new(kernel: usize) -> Self {
        Window { kernel: [kernel; 2], stride: [1; 2], padding: Padding::NONE, dilation: [1; 2], ceil_mode: false }
    }

    /// Returns the input rows (`axis` 0) or columns (`axis` 1) that the dilated kernel spans.
    pub fn extent(&self, axis: usize) -> usize {
        self.dilation[axis].saturating_mul(self.kernel[axis].saturating_sub(1)).saturating_add(1)
    }

    /// Returns the padding in numbers, `[top, left, bottom, right]`, for an input of `[height, width]`.
    pub fn pads(&self, input: [usize; 2]) -> [usize; 4] {
        match self.padding {
            Padding::Explicit(pads) => pads,
            Padding::Same => {
                let total = |a: usize| {
                    let out = input[a].div_ceil(self.stride[a]);
                    ((out - 1) * self.stride[a] + self.extent(a)).saturating_sub(input[a])
                };
                let (v, h) = (total(0), total(1));
                [v / 2, h / 2, v - v / 2, h - h / 2]
            }
        }
    }

    /// Returns the height and width of the output for an input of `[height, width]`.
    ///
    /// # Errors
    /// A [`Mismatch`] when an attribute or the input is out of its range, or the kernel is larger than the padded input.
    pub fn output(&self, input: [usize; 2]) -> Result<[usize; 2], Mismatch> {
        self.check(input)?;
        let pads = self.pads(input);
        let mut output = [0; 2];
        for a in 0..2 {
            let padded = input[a] + pads[a] + pads[a + 2];
            let span = padded.checked_sub(self.extent(a)).ok_or_else(|| {
                let side = ["height", "width"][a];
                Mismatch::new(
                    format!("padded input {side}"),
                    format!("at least {} (the kernel)", self.extent(a)),
                    padded,
                )
            })?;
            output[a] = span / self.stride[a] + 1;
            // PyTorch's rule: the last window must start inside the input or its top/left padding.
            if self.ceil_mode && span % self.stride[a] != 0 && output[a] * self.stride[a] < input[a] + pads[a] {
                output[a] += 1;
            }
        }
        Ok(output)
    }

    /// Checks that each window touches the input: a window of nothing but padding has no maximum and no mean.
    pub(super) fn check_windows_touch(&self, input: [usize; 2], output: [usize; 2]) -> Result<(), Mismatch> {
        let pads = self.pads(input);
        for a in 0..2 {
            let touches = |o: usize| {
                let first = o * self.stride[a];
                // The first tap at or after the first input.
                let tap = pads[a].saturating_sub(first).div_ceil(self.dilation[a]);
                tap < self.kernel[a] && first + tap * self.dilation[a] < pads[a] + input[a]
            };
            if let Some(o) = (0..output[a]).find(|&o| !touches(o)) {
                let expected = "windows that each touch the input";
                return Err(Mismatch::new(
                    "padding",
                    expected,
                    format!("{}: window {o} sees only padding", dims(&pads)),
                ));
            }
        }
        Ok(())
    }

    fn check(&self, input: [usize; 2]) -> Result<(), Mismatch> {
        const LIMIT: usize = 1 << 15;
        let named =
            [("kernel", self.kernel), ("stride", self.stride), ("dilation", self.dilation), ("input size", input)];
        for (name, pair) in named {
            if pair.iter().any(|&v| v == 0 || v > LIMIT) {
                return Err(Mismatch::new(name, format!("1 to {LIMIT}"), dims(&pair)));
            }
        }
        match self.padding {
            Padding::Explicit(pads) if pads.iter().any(|&p| p > LIMIT) => {
                Err(Mismatch::new("padding", format!("0 to {LIMIT}"), dims(&pads)))
            }
            _ => Ok(()),
        }
    }

    /// Calls `tap(output position, kernel position, input position)` for each kernel tap that falls on the input,
    /// positions as `[row, column]`.
    pub(super) fn for_each_tap(
        &self,
        input: [usize; 2],
        output: [usize; 2],
        mut tap: impl FnMut([usize; 2], [usize; 2], [usize; 2]),
    ) {
        let pads = self.pads(input);
        let position = |o: usize, k: usize, a: usize| {
            (o * self.stride[a] + k * self.dilation[a]).checked_sub(pads[a]).filter(|&i| i < input[a])
        };
        for oy in 0..output[0] {
            for ox in 0..output[1] {
                for ky in 0..self.kernel[0] {
                    for kx in 0..self.kernel[1] {
                        if let (Some(iy), Some(ix)) = (position(oy, ky, 0), position(ox, kx, 1)) {
                            tap([oy, ox], [ky, kx], [iy, ix]);
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(n: usize, f: usize, p: usize, s: usize) -> usize {
        Window { stride: [s; 2], padding: Padding::all(p), ..Window::new(f) }.output([n; 2]).unwrap()[0]
    }

    /// The worked examples of the notes. Their text says 63 for p = 2 and 30 for s = 2; their equation (1) gives 65 and 31,
    /// and 'same' at f = 3 needs p = 1.
    #[test]
    fn equation_1() {
        assert_eq!(out(63, 3, 1, 1), 63);
        assert_eq!(out(63, 3, 2, 1), 65);
        assert_eq!(out(63, 3, 0, 2), 31);
        assert_eq!(out(32, 5, 0, 1), 28);
        assert_eq!(out(28, 2, 0, 2), 14);
        assert_eq!(out(227, 11, 0, 4), 55);
    }

    #[test]
    fn same_padding_puts_the_odd_zero_last() {
        let w = Window { stride: [2; 2], padding: Padding::Same, ..Window::new(3) };
        assert_eq!(w.pads([32, 33]), [0, 1, 1, 1]);
        assert_eq!(w.output([32, 33]), Ok([16, 17]));
    }

    #[test]
    fn ceil_mode_adds_a_window_that_starts_inside() {
        let w = Window { stride: [2; 2], ceil_mode: true, ..Window::new(3) };
        assert_eq!(w.output([112, 111]), Ok([56, 55]));
        // With kernel 1 and stride 3, a last window would start beyond the input: left out.
        let w = Window { stride: [3; 2], ceil_mode: true, padding: Padding::Explicit([0, 0, 1, 1]), ..Window::new(1) };
        assert_eq!(w.output([2, 4]), Ok([1, 2]));
    }

    #[test]
    fn a_kernel_larger_than_its_input_is_refused() {
        let e = Window::new(5).output([4, 9]).unwrap_err();
        assert_eq!((e.what.as_str(), e.actual.as_str()), ("padded input height", "4"));
        assert!(Window::new(0).output([4, 4]).is_err());
    }
}
