//! Local response normalisation across the channels of each pixel.

use super::memory::split;
use super::operation::{Frame, Operation};
use super::simd::{self, Kernel, Lanewise, Simd};
use super::weights::Weights;
use crate::layers;
use crate::plan::{BackwardStep, Step};

/// The exponent of AlexNet's and GoogLeNet's, which takes two square roots instead of a power.
const THREE_QUARTERS: f32 = 0.75;

/// Each value divided by a power of its neighbours' squares.
pub(super) struct LocalResponseNorm {
    pub step: Step,
    pub layer: layers::LocalResponseNorm,
}

impl LocalResponseNorm {
    /// `k + alpha / size * sum of squares` around channel c.
    fn base(&self, x: &[f32], c: usize) -> f32 {
        let squares: f32 = x[self.layer.neighbours(c, x.len())].iter().map(|v| v * v).sum();
        self.layer.k + self.scale() * squares
    }

    fn scale(&self) -> f32 {
        self.layer.alpha / self.layer.size as f32
    }

    /// The bases of a pixel's channels: one by one where neighbours are missing, else vector by vector.
    fn bases(&self, x: &[f32], y: &mut [f32]) {
        assert_eq!(x.len(), y.len());
        let channels = x.len();
        let first = ((self.layer.size - 1) / 2).min(channels);
        let whole = (channels + 1).saturating_sub(self.layer.size);
        // SAFETY: `whole` windows of `size` channels lie in x, and as many results from `first` on in y.
        let vectors = unsafe {
            simd::dispatch(Windows {
                x: x.as_ptr(),
                whole,
                size: self.layer.size,
                k: self.layer.k,
                scale: self.scale(),
                y: y.as_mut_ptr().add(first),
            })
        };
        (0..first).chain(first + vectors..channels).for_each(|c| y[c] = self.base(x, c));
    }
}

/// The bases of the first windows, as many as fill vectors: how many those are.
struct Windows {
    x: *const f32,
    /// Windows that lie in x.
    whole: usize,
    size: usize,
    k: f32,
    scale: f32,
    y: *mut f32,
}

impl Kernel for Windows {
    type Output = usize;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> usize {
        let vectors = self.whole / S::LANES * S::LANES;
        // SAFETY: `vectors` windows lie in x, and as many floats in y.
        unsafe {
            for c in (0..vectors).step_by(S::LANES) {
                let mut squares = S::splat(0.0);
                for j in 0..self.size {
                    let v = S::load(self.x.add(c + j));
                    squares = S::fma(v, v, squares);
                }
                S::store(self.y.add(c), S::fma(squares, S::splat(self.scale), S::splat(self.k)));
            }
        }
        vectors
    }
}

/// `x * base^(-3/4)`
struct Normalise;

impl Lanewise<2> for Normalise {
    #[inline(always)]
    unsafe fn apply<S: Simd>(&self, [x, base]: [S::V; 2]) -> S::V {
        // SAFETY: arithmetic only; S is available by the caller's promise.
        unsafe {
            let root = S::sqrt(base);
            S::div(x, S::mul(root, S::sqrt(root)))
        }
    }
}

impl Operation for LocalResponseNorm {
    fn forward(&self, frame: &Frame) {
        let (x, y) = (frame.map(self.step.inputs[0]), frame.map(self.step.output));
        split(frame.pool, x.pixels, 8 * x.view.c, |range| {
            for p in range {
                // SAFETY: the plan keeps input and output apart; each task has its own pixels.
                let (x, y) = unsafe { (x.row(p), y.row_mut(p)) };
                self.bases(x, y);
                if self.layer.beta == THREE_QUARTERS {
                    let to = y.as_mut_ptr();
                    // SAFETY: both hold a pixel's channels.
                    unsafe { simd::map(&Normalise, [x.as_ptr(), to.cast_const()], to, y.len()) };
                } else {
                    y.iter_mut().zip(x).for_each(|(y, x)| *y = x * y.powf(-self.layer.beta));
                }
            }
        });
    }

    fn backward(&self, frame: &Frame, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(write) = step.dx[0] else { return };
        let (x, dy, dx) = (frame.map(self.step.inputs[0]), frame.map(step.dy), frame.map(write.view));
        let beta = self.layer.beta;
        let scale = 2.0 * self.scale() * beta;
        split(frame.pool, x.pixels, 32 * x.view.c, |range| {
            for p in range {
                // SAFETY: the plan keeps values and gradients apart; each task has its own pixels.
                let (x, dy, dx) = unsafe { (x.row(p), dy.row(p), dx.row_mut(p)) };
                if !write.accumulate {
                    dx.fill(0.0);
                }
                for c in 0..x.len() {
                    let base = self.base(x, c);
                    let power = base.powf(-beta);
                    dx[c] += dy[c] * power;
                    let shared = dy[c] * scale * x[c] * power / base;
                    self.layer.neighbours(c, x.len()).for_each(|j| dx[j] -= shared * x[j]);
                }
            }
        });
    }
}
