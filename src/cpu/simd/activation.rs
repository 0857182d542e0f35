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
    ($($(#[$doc:meta])* $name:ident = |$s:ident, [$($x:ident),*]: $n:literal| $body:expr;)*) => {
        $($(#[$doc])*
        struct $name;

        impl Lanewise<$n> for $name {
            #[inline(always)]
            fn apply<S: Simd>(&self, $s: S, [$($x),*]: [S::F32; $n]) -> S::F32 {
                $body
            }
        })*
    };
}

lanewise! {
    /// 1 / (1 + exp(-x))
    Sigmoid = |s, [x]: 1| {
        let one = s.splat(1.0);
        s.div(one, s.add(one, math::exp(s, s.sub(s.splat(0.0), x))))
    };
    /// tanh(x)
    Tanh = |s, [x]: 1| math::tanh(s, x);
    /// dy * y * (1 - y)
    SigmoidGrad = |s, [y, dy]: 2| s.mul(s.mul(dy, y), s.sub(s.splat(1.0), y));
    /// dy * (1 - y^2)
    TanhGrad = |s, [y, dy]: 2| s.mul(dy, s.sub(s.splat(1.0), s.mul(y, y)));
}

/// x where positive, else slope * x
struct LeakyRelu(f32);

impl Lanewise<1> for LeakyRelu {
    #[inline(always)]
    fn apply<S: Simd>(&self, s: S, [x]: [S::F32; 1]) -> S::F32 {
        s.select(s.gt(x, s.splat(0.0)), x, s.mul(x, s.splat(self.0)))
    }
}

/// dy where y > 0, else slope * dy
struct LeakyReluGrad(f32);

impl Lanewise<2> for LeakyReluGrad {
    #[inline(always)]
    fn apply<S: Simd>(&self, s: S, [y, dy]: [S::F32; 2]) -> S::F32 {
        s.select(s.gt(y, s.splat(0.0)), dy, s.mul(dy, s.splat(self.0)))
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
    fn apply<S: Simd>(&self, s: S, [x]: [S::F32; 1]) -> S::F32 {
        // Divided, not multiplied by the inverse, as ONNX defines it: halves are frequent.
        let x = self.step.map_or(x, |step| s.div(x, s.splat(step)));
        let line = s.fma(x, s.splat(self.scale), s.splat(self.shift));
        let bounded = s.at_most(s.at_least(line, s.splat(self.min)), s.splat(self.max));
        match self.step {
            Some(step) => s.mul(s.round(bounded), s.splat(step)),
            None => bounded,
        }
    }
}

/// scale * dy where y lies between the bounds
struct ClampGrad(Clamp);

impl Lanewise<2> for ClampGrad {
    #[inline(always)]
    fn apply<S: Simd>(&self, s: S, [y, dy]: [S::F32; 2]) -> S::F32 {
        let Clamp { scale, min, max, .. } = self.0;
        let inside = s.both(s.gt(y, s.splat(min)), s.gt(s.splat(max), y));
        s.keep(inside, s.mul(dy, s.splat(scale)))
    }
}

impl Clamp {
    fn clip(min: f32, max: f32) -> Self {
        Clamp { scale: 1.0, shift: 0.0, min, max, step: None }
    }

    /// Returns the clamp that computes an activation, if it has only straight pieces.
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

    /// Returns the clamp without rounding. Its derivative, as a function of the result, equals the derivative with rounding.
    fn straight(self) -> Self {
        match self.step {
            Some(step) => Self::clip(self.min * step, self.max * step),
            None => self,
        }
    }
}

/// Computes `y = f(x)`; `x` may be `y`.
///
/// # Panics
/// For the maps that [`on_maps`] refuses.
pub(crate) fn activate(pool: &Pool, activation: Activation, x: &Map, y: &Map) {
    match (activation, Clamp::of(activation)) {
        (_, Some(clamp)) => on_maps(pool, &clamp, [x], y),
        (Activation::Sigmoid, _) => on_maps(pool, &Sigmoid, [x], y),
        (Activation::LeakyRelu { slope }, _) => on_maps(pool, &LeakyRelu(slope), [x], y),
        _ => on_maps(pool, &Tanh, [x], y),
    }
}

/// Computes `dx = dy * f'(x)` from `y = f(x)`; `dx` may be `dy`. Adds to `dx` when `accumulate`.
///
/// # Panics
/// For the maps that [`on_maps`] refuses.
pub(crate) fn differentiate(pool: &Pool, activation: Activation, y: &Map, dy: &Map, dx: &Map, accumulate: bool) {
    match (activation, Clamp::of(activation)) {
        (_, Some(clamp)) => write(pool, ClampGrad(clamp.straight()), [y, dy], dx, accumulate),
        (Activation::Sigmoid, _) => write(pool, SigmoidGrad, [y, dy], dx, accumulate),
        (Activation::LeakyRelu { slope }, _) => write(pool, LeakyReluGrad(slope), [y, dy], dx, accumulate),
        _ => write(pool, TanhGrad, [y, dy], dx, accumulate),
    }
}
