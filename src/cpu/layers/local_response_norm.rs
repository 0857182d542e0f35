//! Local response normalisation across the channels of each pixel.

use crate::cpu::gemm::weights::Weights;
use crate::cpu::operation::{ExecContext, Operation};
use crate::cpu::rows::for_each_row;
use crate::cpu::simd::{self, Kernel, Lanewise, Simd};
use crate::layers;
use crate::plan::{BackwardStep, Step};

/// The exponent in AlexNet and GoogLeNet, which takes two square roots instead of a power.
const THREE_QUARTERS: f32 = 0.75;

/// Division of each value by a power of the squares of its neighbours.
pub(crate) struct LocalResponseNorm {
    pub step: Step,
    pub layer: layers::LocalResponseNorm,
}

impl LocalResponseNorm {
    /// Returns `k + alpha / size * sum of squares` around channel c.
    fn base(&self, x: &[f32], c: usize) -> f32 {
        let squares: f32 = x[self.layer.neighbours(c, x.len())].iter().map(|v| v * v).sum();
        self.layer.k + self.scale() * squares
    }

    fn scale(&self) -> f32 {
        self.layer.alpha / self.layer.size as f32
    }

    /// Writes the bases of a pixel's channels: one by one where neighbours are missing, else vector by vector.
    fn bases(&self, x: &[f32], y: &mut [f32]) {
        assert_eq!(x.len(), y.len());
        let channels = x.len();
        let first = ((self.layer.size - 1) / 2).min(channels);
        let whole = (channels + 1).saturating_sub(self.layer.size);
        // SAFETY: `whole` windows of `size` channels lie in x, and their results from `first` on in y.
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

/// Kernel that computes the bases of the first windows, whole vectors of them, and returns their number.
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
    unsafe fn run<S: Simd>(self, s: S) -> usize {
        let vectors = self.whole / S::LANES * S::LANES;
        // SAFETY: `vectors` windows lie in x, and a float for each in y.
        unsafe {
            for c in (0..vectors).step_by(S::LANES) {
                let mut squares = s.splat(0.0);
                for j in 0..self.size {
                    let v = s.load(self.x.add(c + j));
                    squares = s.fma(v, v, squares);
                }
                s.store(self.y.add(c), s.fma(squares, s.splat(self.scale), s.splat(self.k)));
            }
        }
        vectors
    }
}

/// `x * base^(-3/4)`
struct Normalise;

impl Lanewise<2> for Normalise {
    #[inline(always)]
    fn apply<S: Simd>(&self, s: S, [base, x]: [S::F32; 2]) -> S::F32 {
        let root = s.sqrt(base);
        s.div(x, s.mul(root, s.sqrt(root)))
    }
}

impl Operation for LocalResponseNorm {
    fn forward(&self, ctx: &ExecContext) {
        let (x, mut y) = (ctx.map(self.step.inputs[0]), ctx.map(self.step.output));
        for_each_row(ctx.pool, 8 * x.view.c, [&x], &mut y, |_, [x], y| {
            self.bases(x, y);
            if self.layer.beta == THREE_QUARTERS {
                simd::update(&Normalise, y, x);
            } else {
                y.iter_mut().zip(x).for_each(|(y, x)| *y = x * y.powf(-self.layer.beta));
            }
        });
    }

    fn backward(&self, ctx: &ExecContext, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(write) = step.dx[0] else { return };
        let (x, dy, mut dx) = (ctx.map(self.step.inputs[0]), ctx.map(step.dy), ctx.map(write.view));
        let beta = self.layer.beta;
        let scale = 2.0 * self.scale() * beta;
        for_each_row(ctx.pool, 32 * x.view.c, [&x, &dy], &mut dx, |_, [x, dy], dx| {
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
        });
    }
}
