//! The sliding window that convolutions and poolings share: the notes' equation (1), extended.

use super::Mismatch;
use super::attributes::attributes;
use crate::tensor::dims;

/// Zeros around the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// `[top, left, bottom, right]`.
    Explicit([usize; 4]),
    /// The 'same' convolution of the notes' section 1.1: as many as make the output `ceil(input / stride)`, the odd one at the bottom and right.
    Same,
}

impl Padding {
    /// The 'valid' convolution: no padding.
    pub const NONE: Padding = Padding::Explicit([0; 4]);

    /// `p` on all four sides.
    pub const fn all(p: usize) -> Self {
        Padding::Explicit([p; 4])
    }
}

/// Kernel size, stride, dilation (each `[height, width]`) and padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The filter's size, f.
    pub kernel: [usize; 2],
    /// The step between outputs, s.
    pub stride: [usize; 2],
    /// Zeros around the input, p.
    pub padding: Padding,
    /// The distance between the kernel's taps.
    pub dilation: [usize; 2],
    /// Round the output size up (poolings only); a last window that would start beyond the input is left out.
    pub ceil_mode: bool,
}

attributes!(Window { kernel, stride, padding, dilation, ceil_mode });

impl Window {
    /// A square kernel with stride 1 and no padding.
    pub const fn new(kernel: usize) -> Self {
        Window { kernel: [kernel; 2], stride: [1; 2], padding: Padding::NONE, dilation: [1; 2], ceil_mode: false }
    }

    /// The input rows or columns that the kernel spans on `axis` (0 height, 1 width).
    pub fn extent(&self, axis: usize) -> usize {
        self.dilation[axis].saturating_mul(self.kernel[axis].saturating_sub(1)).saturating_add(1)
    }

    /// The padding in numbers, `[top, left, bottom, right]`, for an input of `[height, width]`.
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

    /// Equation (1): `floor((n - f + 2p) / s + 1)`, with f the dilated extent and 2p the sum of both sides' padding.
    pub(super) fn output(&self, input: [usize; 2]) -> Result<[usize; 2], Mismatch> {
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

    /// Poolings: every window must touch the input, or it would have no maximum and no mean.
    pub(super) fn check_windows_touch(&self, input: [usize; 2], output: [usize; 2]) -> Result<(), Mismatch> {
        let pads = self.pads(input);
        for a in 0..2 {
            let touches = |o: usize| {
                let first = o * self.stride[a];
                // The first tap that is not before the input.
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
        let place = |o: usize, k: usize, a: usize| {
            (o * self.stride[a] + k * self.dilation[a]).checked_sub(pads[a]).filter(|&i| i < input[a])
        };
        for oy in 0..output[0] {
            for ox in 0..output[1] {
                for ky in 0..self.kernel[0] {
                    for kx in 0..self.kernel[1] {
                        if let (Some(iy), Some(ix)) = (place(oy, ky, 0), place(ox, kx, 1)) {
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

    /// The notes' worked examples, by the notes' own equation. The text says 63 for p = 2 and 30 for s = 2; equation
    /// (1) gives 65 and 31, and 'same' at f = 3 needs p = 1.
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
