//! Activations, by themselves or after another layer, and their derivatives.

use super::isa::Simd;
use super::map::Lanewise;
use super::math;
use super::pointwise::{on_maps, write};
use crate::cpu::memory::Map;
use crate::cpu::pool::Pool;
use crate::layers::Activation;

/// Declares functions of lanes.
macro_rules! lanewise {
    ($($(#[$doc:meta])* $name:ident = |[$($x:ident),*]: $n:literal| $body:expr;)*) => {
        $($(#[$doc])*
        struct $name;

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
    /// 1 / (1 + exp(-x))
    Sigmoid = |[x]: 1| {
        let one = S::splat(1.0);
        S::div(one, S::add(one, math::exp::<S>(S::sub(S::splat(0.0), x))))
    };
    /// tanh(x)
    Tanh = |[x]: 1| math::tanh::<S>(x);
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

/// `y = f(x)`; x may be y.
///
/// # Safety
/// As [`on_maps`].
pub(crate) unsafe fn activate(pool: &Pool, activation: Activation, x: &Map, y: &Map) {
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
pub(crate) unsafe fn differentiate(pool: &Pool, activation: Activation, y: &Map, dy: &Map, dx: &Map, accumulate: bool) {
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
