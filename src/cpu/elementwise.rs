//! Activations, by themselves or after another layer, and their derivatives.

use super::memory::{Map, split, stretches};
use super::operation::{Frame, Operation};
use super::pool::Pool;
use super::simd::{self, Lanewise, Simd};
use super::weights::Weights;
use crate::layers::Activation;
use crate::plan::{BackwardStep, Step};

/// Declares functions of lanes.
macro_rules! lanewise {
    ($($(#[$doc:meta])* $name:ident = |[$($x:ident),*]: $n:literal| $body:expr;)*) => {
        $($(#[$doc])*
        pub(super) struct $name;

        impl Lanewise<$n> for $name {
            #[inline(always)]
            unsafe fn apply<S: Simd>(&self, [$($x),*]: [S::V; $n]) -> S::V {
                // SAFETY: arithmetic only; S is available by the caller's promise.
                unsafe { $body }
            }
        })*
    };
}

lanewise! {
    /// a + b
    Sum = |[a, b]: 2| S::add(a, b);
    /// max(x, 0)
    Relu = |[x]: 1| S::at_least(x, S::splat(0.0));
    /// 1 / (1 + exp(-x))
    Sigmoid = |[x]: 1| {
        let one = S::splat(1.0);
        S::div(one, S::add(one, simd::exp::<S>(S::sub(S::splat(0.0), x))))
    };
    /// tanh(x)
    Tanh = |[x]: 1| simd::tanh::<S>(x);
    /// dy where y > 0
    ReluGrad = |[y, dy]: 2| S::and(S::gt(y, S::splat(0.0)), dy);
    /// dy * y * (1 - y)
    SigmoidGrad = |[y, dy]: 2| S::mul(S::mul(dy, y), S::sub(S::splat(1.0), y));
    /// dy * (1 - y^2)
    TanhGrad = |[y, dy]: 2| S::mul(dy, S::sub(S::splat(1.0), S::mul(y, y)));
}

/// x
pub(super) struct Copy;

impl Lanewise<1> for Copy {
    #[inline(always)]
    unsafe fn apply<S: Simd>(&self, [x]: [S::V; 1]) -> S::V {
        x
    }
}

/// What was there, plus f of the rest.
struct Plus<F>(F);

impl<F: Lanewise<2>> Lanewise<3> for Plus<F> {
    #[inline(always)]
    unsafe fn apply<S: Simd>(&self, [old, y, dy]: [S::V; 3]) -> S::V {
        // SAFETY: arithmetic only; S is available by the caller's promise.
        unsafe { S::add(old, self.0.apply::<S>([y, dy])) }
    }
}

/// Applies f to maps of one geometry, pixel by pixel.
///
/// # Safety
/// `to` may be one of `from`, but not overlap them otherwise; nobody else may use it meanwhile.
pub(super) unsafe fn on_maps<const N: usize, F: Lanewise<N> + Sync>(pool: &Pool, f: &F, from: [&Map; N], to: &Map) {
    let dense = to.dense() && from.iter().all(|m| m.dense());
    split(pool, to.pixels, to.place.c, |range| {
        stretches(dense, to.place.c, range, |p, n| {
            // SAFETY: a stretch lies in every map; the rest is the caller's promise.
            unsafe { simd::map(f, from.map(|m| m.at(p).cast_const()), to.at(p), n) };
        });
    });
}

/// `y = f(x)`; x may be y.
///
/// # Safety
/// As [`on_maps`].
pub(super) unsafe fn activate(pool: &Pool, activation: Activation, x: &Map, y: &Map) {
    // SAFETY: the caller's promise.
    unsafe {
        match activation {
            Activation::Relu => on_maps(pool, &Relu, [x], y),
            Activation::Sigmoid => on_maps(pool, &Sigmoid, [x], y),
            Activation::Tanh => on_maps(pool, &Tanh, [x], y),
        }
    }
}

/// `dx = dy * f'(x)`, told from `y = f(x)`; dx may be dy. Adds to dx when `accumulate`.
///
/// # Safety
/// As [`on_maps`].
pub(super) unsafe fn differentiate(pool: &Pool, activation: Activation, y: &Map, dy: &Map, dx: &Map, accumulate: bool) {
    // SAFETY: the caller's promise.
    unsafe {
        match (activation, accumulate) {
            (Activation::Relu, false) => on_maps(pool, &ReluGrad, [y, dy], dx),
            (Activation::Sigmoid, false) => on_maps(pool, &SigmoidGrad, [y, dy], dx),
            (Activation::Tanh, false) => on_maps(pool, &TanhGrad, [y, dy], dx),
            (Activation::Relu, true) => on_maps(pool, &Plus(ReluGrad), [dx, y, dy], dx),
            (Activation::Sigmoid, true) => on_maps(pool, &Plus(SigmoidGrad), [dx, y, dy], dx),
            (Activation::Tanh, true) => on_maps(pool, &Plus(TanhGrad), [dx, y, dy], dx),
        }
    }
}

/// `to = from`, or `to += from`.
///
/// # Safety
/// As [`on_maps`].
pub(super) unsafe fn transfer(pool: &Pool, from: &Map, to: &Map, accumulate: bool) {
    // SAFETY: the caller's promise.
    unsafe { if accumulate { on_maps(pool, &Sum, [to, from], to) } else { on_maps(pool, &Copy, [from], to) } }
}

/// ReLU, sigmoid or tanh as a step of its own.
pub(super) struct Elementwise {
    pub step: Step,
    pub activation: Activation,
}

impl Operation for Elementwise {
    fn forward(&self, frame: &Frame) {
        let (x, y) = (frame.map(self.step.inputs[0]), frame.map(self.step.output));
        // SAFETY: the plan keeps input and output apart.
        unsafe { activate(frame.pool, self.activation, &x, &y) };
    }

    fn backward(&self, frame: &Frame, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(write) = step.dx[0] else { return };
        let (y, dy, dx) = (frame.map(self.step.output), frame.map(step.dy), frame.map(write.place));
        // SAFETY: the plan keeps values and gradients apart.
        unsafe { differentiate(frame.pool, self.activation, &y, &dy, &dx, write.accumulate) };
    }
}
