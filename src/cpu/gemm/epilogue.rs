//! The ends of a product's sums: bias, an addend, and the activations that cost next to nothing there.

use crate::cpu::memory::{FloatPtr, Map};
use crate::cpu::pool::Pool;
use crate::cpu::simd::Simd;
use crate::cpu::simd::activation::activate;
use crate::layers::Activation;

/// Column sums that start at something, or at zero.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    Zero,
    /// One value for each column, padded as the panels are.
    Bias(&'a [f32]),
}

/// A matrix that is added to the product, as large as the output: what that holds already, or another.
#[derive(Clone, Copy)]
pub(crate) struct Addend {
    pub from: FloatPtr,
    /// Floats from one row to the next.
    pub pixel_stride: usize,
}

/// Bounds that outputs are kept in as they are written: the activations that cost next to nothing there.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    low: f32,
    high: f32,
}

impl Bounds {
    pub(crate) const NONE: Bounds = Bounds { low: f32::NEG_INFINITY, high: f32::INFINITY };

    /// Those of an activation; none when it is not one of bounds.
    pub(crate) fn of(activation: Option<Activation>) -> Self {
        match activation {
            Some(Activation::Relu) => Bounds { low: 0.0, ..Self::NONE },
            Some(Activation::Clip { min, max }) => Bounds { low: min, high: max },
            _ => Self::NONE,
        }
    }

    /// Applies an activation that is not one of bounds.
    pub(crate) fn activate_others(pool: &Pool, activation: Option<Activation>, y: &Map) {
        match activation {
            None | Some(Activation::Relu | Activation::Clip { .. }) => {}
            Some(other) => activate(pool, other, y, y),
        }
    }

    /// NaN stays.
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        s.at_most(s.at_least(x, s.splat(self.low)), s.splat(self.high))
    }
}

/// Bounds and, where there is a step, whole steps between them.
#[derive(Clone, Copy)]
pub(crate) struct Requantize {
    bounds: Bounds,
    /// 0 for none.
    step: f32,
    inverse: f32,
}

impl Requantize {
    /// That of an activation; none when it neither bounds nor rounds.
    pub(crate) fn of(activation: Option<Activation>) -> Self {
        match activation {
            Some(Activation::FakeQuantize { scale, low, high }) => Requantize {
                bounds: Bounds::of(Some(Activation::Clip { min: low, max: high })),
                step: scale,
                inverse: 1.0 / scale,
            },
            other => Requantize { bounds: Bounds::of(other), step: 0.0, inverse: 0.0 },
        }
    }

    #[inline(always)]
    pub(crate) fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        if self.step == 0.0 {
            return self.bounds.apply(s, x);
        }
        let bounded = self.bounds.apply(s, s.mul(x, s.splat(self.inverse)));
        s.mul(s.round(bounded), s.splat(self.step))
    }
}
