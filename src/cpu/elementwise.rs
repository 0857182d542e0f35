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
    /// 1 / (1 + exp(-x))
    Sigmoid = |[x]: 1| {
        let one = S::splat(1.0);
        S::div(one, S::add(one, simd::exp::<S>(S::sub(S::splat(0.0), x))))
    };
    /// tanh(x)
    Tanh = |[x]: 1| simd::tanh::<S>(x);
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

/// min(max(scale * x + shift, min), max); where there is a step, of x in steps, rounded to whole ones
struct Clamp {
    scale: f32,
    shift: f32,
    min: f32,
    max: f32,
    step: Option<f32>,
}

impl Lanewise<1> for Clamp {
    #[inline(always)]
    unsafe fn apply<S: Simd>(&self, [x]: [S::V; 1]) -> S::V {
        // SAFETY: arithmetic only; S is available by the caller's promise.
        unsafe {
            // Divided, not multiplied by the inverse, as ONNX defines it: halves are frequent.
            let x = self.step.map_or(x, |step| S::div(x, S::splat(step)));
            let line = S::fma(x, S::splat(self.scale), S::splat(self.shift));
            let bounded = S::at_most(S::at_least(line, S::splat(self.min)), S::splat(self.max));
            match self.step {
                Some(step) => S::mul(S::round(bounded), S::splat(step)),
                None => bounded,
            }
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

impl Clamp {
    fn clip(min: f32, max: f32) -> Self {
        Clamp { scale: 1.0, shift: 0.0, min, max, step: None }
    }

    /// An activation of straight pieces.
    fn of(activation: Activation) -> Option<Self> {
        match activation {
            Activation::Relu => Some(Self::clip(0.0, f32::INFINITY)),
            Activation::Clip { min, max } => Some(Self::clip(min, max)),
            Activation::HardSigmoid { alpha, beta } => {
                Some(Clamp { scale: alpha, shift: beta, ..Self::clip(0.0, 1.0) })
            }
            Activation::FakeQuantize { scale, low, high } => Some(Clamp { step: Some(scale), ..Self::clip(low, high) }),
            Activation::Sigmoid | Activation::Tanh | Activation::LeakyRelu { .. } => None,
        }
    }

    /// That with the same derivative, as a function of the result.
    fn straight(self) -> Self {
        match self.step {
            Some(step) => Self::clip(self.min * step, self.max * step),
            None => self,
        }
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

/// f of the last two, added to what was there if `add`: one loop for both.
struct Onto<F> {
    f: F,
    add: bool,
}

impl<F: Lanewise<2>> Lanewise<3> for Onto<F> {
    #[inline(always)]
    unsafe fn apply<S: Simd>(&self, [old, y, dy]: [S::V; 3]) -> S::V {
        // SAFETY: arithmetic only; S is available by the caller's promise.
        unsafe {
            let new = self.f.apply::<S>([y, dy]);
            if self.add { S::add(old, new) } else { new }
        }
    }
}

/// Applies f to maps of one geometry, pixel by pixel.
///
/// # Safety
/// `to` may be one of `from`, but not overlap them otherwise; nobody else may use it meanwhile.
pub(super) unsafe fn on_maps<const N: usize, F: Lanewise<N> + Sync>(pool: &Pool, f: &F, from: [&Map; N], to: &Map) {
    let dense = to.dense() && from.iter().all(|m| m.dense());
    split(pool, to.pixels, to.view.c, |range| {
        stretches(dense, to.view.c, range, |p, n| {
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
        match (activation, Clamp::of(activation)) {
            (_, Some(clamp)) => on_maps(pool, &clamp, [x], y),
            (Activation::Sigmoid, _) => on_maps(pool, &Sigmoid, [x], y),
            (Activation::LeakyRelu { slope }, _) => on_maps(pool, &LeakyRelu(slope), [x], y),
            _ => on_maps(pool, &Tanh, [x], y),
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
        match (activation, Clamp::of(activation)) {
            (_, Some(clamp)) => write(pool, ClampGrad(clamp.straight()), [y, dy], dx, accumulate),
            (Activation::Sigmoid, _) => write(pool, SigmoidGrad, [y, dy], dx, accumulate),
            (Activation::LeakyRelu { slope }, _) => write(pool, LeakyReluGrad(slope), [y, dy], dx, accumulate),
            _ => write(pool, TanhGrad, [y, dy], dx, accumulate),
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
        on_maps(pool, &Onto { f, add: accumulate }, [to, from[0], from[1]], to);
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
        let (y, dy, dx) = (frame.map(self.step.output), frame.map(step.dy), frame.map(write.view));
        // SAFETY: the plan keeps values and gradients apart.
        unsafe { differentiate(frame.pool, self.activation, &y, &dy, &dx, write.accumulate) };
    }
}
