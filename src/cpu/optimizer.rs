//! The update of weights, fused: one pass over weights, gradients and state.

use super::gemm::weights::Weights;
use super::memory::{FloatPtr, split};
use super::pool::Pool;
use super::simd::{self, Access, Kernel, Part, Simd, Whole};
use crate::plan::{Optimizer, Update};

/// Updates a layer's weights and their state; gradients count `scale` times.
pub(super) fn update(
    pool: &Pool,
    update: &Update,
    scale: f32,
    weights: &mut Weights,
    gradients: &mut Weights,
    state: &mut [Weights],
) {
    let moments = state.iter_mut().map(|m| FloatPtr::new(&mut m.weight)).collect::<Vec<_>>();
    // A batch normalisation's scale is no weight that should decay.
    let decays = weights.statistics[0].is_empty();
    tensor(pool, Formula::new(update, scale, decays), &mut weights.weight, &gradients.weight, &moments);
    if weights.has_bias {
        let moments = state.iter_mut().map(|m| FloatPtr::new(&mut m.bias)).collect::<Vec<_>>();
        tensor(pool, Formula::new(update, scale, false), &mut weights.bias, &gradients.bias, &moments);
    }
    for (running, batch) in weights.statistics.iter_mut().zip(&gradients.statistics) {
        running.iter_mut().zip(batch.iter()).for_each(|(r, b)| *r += weights.momentum * (b - *r));
    }
}

/// Returns the sum of the squares of a layer's gradients. The padding of the last vectors is zero.
pub(super) fn squares(gradients: &Weights) -> f64 {
    let square = |g: &f32| f64::from(*g) * f64::from(*g);
    gradients.weight.iter().chain(gradients.bias.iter().filter(|_| gradients.has_bias)).map(square).sum()
}

/// Updates one tensor; `moments` have the size of the tensor.
fn tensor(pool: &Pool, formula: Formula, w: &mut [f32], g: &[f32], moments: &[FloatPtr]) {
    let (n, w) = (w.len(), FloatPtr::new(w));
    assert_eq!(g.len(), n);
    split(pool, n, 4, |range| {
        let i = range.start;
        // SAFETY: all tensors have n floats, and ranges do not overlap.
        unsafe {
            let (w, g, m, n) = (w.at(i), g.as_ptr().add(i), moments[0].at(i), range.len());
            match formula {
                Formula::Sgd(f) => simd::dispatch(Apply { f, w, g, m, v: m, n }),
                Formula::Adam(f) => simd::dispatch(Apply { f, w, g, m, v: moments[1].at(i), n }),
                Formula::RmsProp(f) => simd::dispatch(Apply { f, w, g, m, v: moments[1].at(i), n }),
            }
        }
    });
}

/// A formula with its constants for this step, see [`Update::apply`].
#[derive(Clone, Copy)]
enum Formula {
    Sgd(Sgd),
    Adam(Adam),
    RmsProp(RmsProp),
}

impl Formula {
    fn new(update: &Update, scale: f32, decays: bool) -> Self {
        let decay = |d: f32| if decays { d } else { 0.0 };
        let rate = update.learning_rate;
        let [c1, c2] = update.adam_corrections();
        let adam = |beta1, beta2, epsilon| Adam {
            scale,
            rate: (-f64::from(rate) / c1) as f32,
            beta1,
            beta2,
            correction: (1.0 / c2) as f32,
            epsilon,
            decay: 0.0,
            kept: 1.0,
        };
        match update.optimizer {
            Optimizer::Sgd { momentum, nesterov, weight_decay } => {
                Formula::Sgd(Sgd { scale, rate: -rate, momentum, nesterov, decay: decay(weight_decay) })
            }
            Optimizer::Adam { beta1, beta2, epsilon, weight_decay } => {
                Formula::Adam(Adam { decay: decay(weight_decay), ..adam(beta1, beta2, epsilon) })
            }
            Optimizer::AdamW { beta1, beta2, epsilon, weight_decay } => {
                Formula::Adam(Adam { kept: 1.0 - rate * decay(weight_decay), ..adam(beta1, beta2, epsilon) })
            }
            Optimizer::RmsProp { alpha, momentum, epsilon, weight_decay } => {
                Formula::RmsProp(RmsProp { scale, rate: -rate, alpha, momentum, epsilon, decay: decay(weight_decay) })
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Sgd {
    scale: f32,
    rate: f32,
    momentum: f32,
    nesterov: bool,
    decay: f32,
}

#[derive(Clone, Copy)]
struct Adam {
    scale: f32,
    rate: f32,
    beta1: f32,
    beta2: f32,
    correction: f32,
    epsilon: f32,
    decay: f32,
    /// Factor of a weight by decoupled decay.
    kept: f32,
}

#[derive(Clone, Copy)]
struct RmsProp {
    scale: f32,
    rate: f32,
    alpha: f32,
    momentum: f32,
    epsilon: f32,
    decay: f32,
}

/// A formula that computes new weight and state from weight, gradient and state.
trait Rule: Copy {
    fn apply<S: Simd>(self, s: S, w: S::F32, g: S::F32, m: S::F32, v: S::F32) -> [S::F32; 3];
}

impl Rule for Sgd {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, w: S::F32, g: S::F32, m: S::F32, _v: S::F32) -> [S::F32; 3] {
        let g = s.fma(s.splat(self.decay), w, s.mul(s.splat(self.scale), g));
        let m = s.fma(s.splat(self.momentum), m, g);
        let step = if self.nesterov { s.fma(s.splat(self.momentum), m, g) } else { m };
        // One state only: it stands in for the other.
        [s.fma(s.splat(self.rate), step, w), m, m]
    }
}

impl Rule for Adam {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, w: S::F32, g: S::F32, m: S::F32, v: S::F32) -> [S::F32; 3] {
        let g = s.fma(s.splat(self.decay), w, s.mul(s.splat(self.scale), g));
        let m = s.fma(s.splat(self.beta1), m, s.mul(s.splat(1.0 - self.beta1), g));
        let v = s.fma(s.splat(self.beta2), v, s.mul(s.splat(1.0 - self.beta2), s.mul(g, g)));
        let root = s.add(s.sqrt(s.mul(v, s.splat(self.correction))), s.splat(self.epsilon));
        [s.fma(s.splat(self.rate), s.div(m, root), s.mul(s.splat(self.kept), w)), m, v]
    }
}

impl Rule for RmsProp {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, w: S::F32, g: S::F32, m: S::F32, v: S::F32) -> [S::F32; 3] {
        let g = s.fma(s.splat(self.decay), w, s.mul(s.splat(self.scale), g));
        let v = s.fma(s.splat(self.alpha), v, s.mul(s.splat(1.0 - self.alpha), s.mul(g, g)));
        let root = s.add(s.sqrt(v), s.splat(self.epsilon));
        let m = s.fma(s.splat(self.momentum), m, s.div(g, root));
        [s.fma(s.splat(self.rate), m, w), m, v]
    }
}

/// Kernel that applies a rule to n weights. All pointers must be valid for n floats; v may be m.
struct Apply<F> {
    f: F,
    w: *mut f32,
    g: *const f32,
    m: *mut f32,
    v: *mut f32,
    n: usize,
}

impl<F: Rule> Apply<F> {
    #[inline(always)]
    unsafe fn at<S: Simd, A: Access>(&self, s: S, a: A, i: usize) {
        // SAFETY: i and the accessed lanes are below n.
        unsafe {
            let (w, g) = (a.load(s, self.w.add(i)), a.load(s, self.g.add(i)));
            let (m, v) = (a.load(s, self.m.add(i)), a.load(s, self.v.add(i)));
            let [w, m, v] = self.f.apply(s, w, g, m, v);
            a.store(s, self.w.add(i), w);
            a.store(s, self.v.add(i), v);
            a.store(s, self.m.add(i), m);
        }
    }
}

impl<F: Rule> Kernel for Apply<F> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        let mut i = 0;
        // SAFETY: see Apply::at.
        unsafe {
            while i + S::LANES <= self.n {
                self.at(s, Whole, i);
                i += S::LANES;
            }
            if i < self.n {
                self.at(s, Part(self.n - i), i);
            }
        }
    }
}
