//! Activations, by themselves or after another layer, and their derivatives.

use super::memory::{Map, split, stretches};
use super::operation::{Frame, Operation};
use super::pool::Pool;
use super::simd::{self, Lanewise, MAGIC, Simd};
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

/// x where positive, else slope * x
struct LeakyRelu(f32);

impl Lanewise<1> for LeakyRelu {
    #[inline(always)]
    unsafe fn apply<S: Simd>(&self, [x]: [S::V; 1]) -> S::V {
        // SAFETY: arithmetic only; S is available by the caller's promise.
        unsafe { S::select(S::gt(x, S::splat(0.0)), x, S::mul(x, S::splat(self.0))) }
    }
}

/// dy where y > 0, else slope * dy
struct LeakyReluGrad(f32);

impl Lanewise<2> for LeakyReluGrad {
    #[inline(always)]
    unsafe fn apply<S: Simd>(&self, [y, dy]: [S::V; 2]) -> S::V {
        // SAFETY: arithmetic only; S is available by the caller's promise.
        unsafe { S::select(S::gt(y, S::splat(0.0)), dy, S::mul(dy, S::splat(self.0))) }
    }
}

/// min(max(scale * x + shift, min), max)
struct Clamp {
    scale: f32,
    shift: f32,
    min: f32,
    max: f32,
}

impl Lanewise<1> for Clamp {
    #[inline(always)]
    unsafe fn apply<S: Simd>(&self, [x]: [S::V; 1]) -> S::V {
        // SAFETY: arithmetic only; S is available by the caller's promise.
        unsafe {
            let line = S::fma(x, S::splat(self.scale), S::splat(self.shift));
            S::at_most(S::at_least(line, S::splat(self.min)), S::splat(self.max))
        }
    }
}

/// scale * dy where y lies between the bounds
struct ClampGrad(Clamp);

impl Lanewise<2> for ClampGrad {
    #[inline(always)]
    unsafe fn apply<S: Simd>(&self, [y, dy]: [S::V; 2]) -> S::V {
        let Clamp { scale, min, max, .. } = self.0;
        // SAFETY: arithmetic only; S is available by the caller's promise.
        unsafe {
            let inside = S::and(S::gt(y, S::splat(min)), S::gt(S::splat(max), y));
            S::and(inside, S::mul(dy, S::splat(scale)))
        }
    }
}

/// scale * round(min(max(x / scale, low), high))
struct FakeQuantize {
    scale: f32,
    low: f32,
    high: f32,
}

impl Lanewise<1> for FakeQuantize {
    #[inline(always)]
    unsafe fn apply<S: Simd>(&self, [x]: [S::V; 1]) -> S::V {
        // SAFETY: arithmetic only; S is available by the caller's promise.
        unsafe {
            let (scale, magic) = (S::splat(self.scale), S::splat(MAGIC));
            let bounded = S::at_most(S::at_least(S::div(x, scale), S::splat(self.low)), S::splat(self.high));
            // Beside so large a number nothing is left behind the point.
            S::mul(S::sub(S::add(bounded, magic), magic), scale)
        }
    }
}

impl Clamp {
    fn clip(min: f32, max: f32) -> Self {
        Clamp { scale: 1.0, shift: 0.0, min, max }
    }

    fn hard_sigmoid(alpha: f32, beta: f32) -> Self {
        Clamp { scale: alpha, shift: beta, min: 0.0, max: 1.0 }
    }
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
            Activation::LeakyRelu { slope } => on_maps(pool, &LeakyRelu(slope), [x], y),
            Activation::Clip { min, max } => on_maps(pool, &Clamp::clip(min, max), [x], y),
            Activation::HardSigmoid { alpha, beta } => on_maps(pool, &Clamp::hard_sigmoid(alpha, beta), [x], y),
            Activation::FakeQuantize { scale, low, high } => on_maps(pool, &FakeQuantize { scale, low, high }, [x], y),
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
        match activation {
            Activation::Relu => write(pool, ReluGrad, [y, dy], dx, accumulate),
            Activation::Sigmoid => write(pool, SigmoidGrad, [y, dy], dx, accumulate),
            Activation::Tanh => write(pool, TanhGrad, [y, dy], dx, accumulate),
            Activation::LeakyRelu { slope } => write(pool, LeakyReluGrad(slope), [y, dy], dx, accumulate),
            Activation::Clip { min, max } => write(pool, ClampGrad(Clamp::clip(min, max)), [y, dy], dx, accumulate),
            Activation::HardSigmoid { alpha, beta } => {
                write(pool, ClampGrad(Clamp::hard_sigmoid(alpha, beta)), [y, dy], dx, accumulate);
            }
            Activation::FakeQuantize { scale, low, high } => {
                write(pool, ClampGrad(Clamp::clip(low * scale, high * scale)), [y, dy], dx, accumulate);
            }
        }
    }
}

/// `to = f(from)`, or `to += f(from)`.
///
/// # Safety
/// As [`on_maps`].
pub(super) unsafe fn write<F: Lanewise<2> + Sync>(pool: &Pool, f: F, from: [&Map; 2], to: &Map, accumulate: bool) {
    // SAFETY: the caller's promise.
    unsafe {
        if accumulate { on_maps(pool, &Plus(f), [to, from[0], from[1]], to) } else { on_maps(pool, &f, from, to) }
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

/// An activation as a step of its own.
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
