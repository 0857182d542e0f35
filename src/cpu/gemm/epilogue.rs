//! The epilogue of matrix products: bias, an addend, and activations that take next to no time there.

use crate::cpu::memory::{FloatPtr, Map};
use crate::cpu::pool::Pool;
use crate::cpu::simd::Simd;
use crate::cpu::simd::activation::activate;
use crate::layers::Activation;

/// The values that the sums of a product start at.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    Zero,
    /// One value for each column, padded as the panels are.
    Bias(&'a [f32]),
}

/// A matrix of the size of the output that is added to the product; it may be the output itself.
#[derive(Clone, Copy)]
pub(crate) struct Addend {
    pub from: FloatPtr,
    /// Floats from one row to the next.
    pub pixel_stride: usize,
}

impl Addend {
    /// Returns a whole map as an addend.
    pub(crate) fn of(map: &Map) -> Self {
        Addend { from: map.channel(0), pixel_stride: map.view.pixel_stride }
    }
}

/// Bounds that outputs are clamped to as they are written: a fused ReLU or clip.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    low: f32,
    high: f32,
}

impl Bounds {
    pub(crate) const NONE: Bounds = Bounds { low: f32::NEG_INFINITY, high: f32::INFINITY };

    /// Returns the bounds of an activation; [`Bounds::NONE`] for an activation that does not clamp.
    pub(crate) fn of(activation: Option<Activation>) -> Self {
        match activation {
            Some(Activation::Relu) => Bounds { low: 0.0, ..Self::NONE },
            Some(Activation::Clip { min, max }) => Bounds { low: min, high: max },
            _ => Self::NONE,
        }
    }

    /// Applies an activation that does not clamp to a whole map.
    pub(crate) fn activate_others(pool: &Pool, activation: Option<Activation>, y: &Map) {
        match activation {
            None | Some(Activation::Relu | Activation::Clip { .. }) => {}
            Some(other) => activate(pool, other, y, y),
        }
    }

    /// Clamps a vector; NaN stays NaN.
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        s.at_most(s.at_least(x, s.splat(self.low)), s.splat(self.high))
    }
}

/// Rounds to multiples of a step between bounds, or clamps to bounds alone.
#[derive(Clone, Copy)]
pub(crate) struct Requantize {
    bounds: Bounds,
    /// The step; 0 clamps without rounding.
    step: f32,
    inverse: f32,
}

impl Requantize {
    /// Returns the rounding of an activation; no change for an activation that neither clamps nor rounds.
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

    /// Clamps and rounds a vector.
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        if self.step == 0.0 {
            return self.bounds.apply(s, x);
        }
        let bounded = self.bounds.apply(s, s.mul(x, s.splat(self.inverse)));
        s.mul(s.round(bounded), s.splat(self.step))
    }
}
