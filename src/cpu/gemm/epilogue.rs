//! The ends of a product's sums: bias, an addend, and the activations that cost next to nothing there.

use crate::cpu::memory::{Map, Shared};
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
    pub from: Shared,
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
    ///
    /// # Safety
    /// Nobody else may use the map meanwhile.
    pub(crate) unsafe fn activate_others(pool: &Pool, activation: Option<Activation>, y: &Map) {
        match activation {
            None | Some(Activation::Relu | Activation::Clip { .. }) => {}
            // SAFETY: the caller's promise.
            Some(other) => unsafe { activate(pool, other, y, y) },
        }
    }

    /// NaN stays.
    ///
    /// # Safety
    /// S must be available.
    #[inline(always)]
    pub(crate) unsafe fn apply<S: Simd>(self, x: S::V) -> S::V {
        // SAFETY: arithmetic only; S is available by the caller's promise.
        unsafe { S::at_most(S::at_least(x, S::splat(self.low)), S::splat(self.high)) }
    }
}

/// Bounds and, where there is a step, whole steps between them.
#[derive(Clone, Copy)]
pub(crate) struct Rounding {
    bounds: Bounds,
    /// 0 for none.
    step: f32,
    inverse: f32,
}

impl Rounding {
    /// That of an activation; none when it neither bounds nor rounds.
    pub(crate) fn of(activation: Option<Activation>) -> Self {
        match activation {
            Some(Activation::FakeQuantize { scale, low, high }) => Rounding {
                bounds: Bounds::of(Some(Activation::Clip { min: low, max: high })),
                step: scale,
                inverse: 1.0 / scale,
            },
            other => Rounding { bounds: Bounds::of(other), step: 0.0, inverse: 0.0 },
        }
    }

    /// # Safety
    /// S must be available.
    #[inline(always)]
    pub(crate) unsafe fn apply<S: Simd>(self, x: S::V) -> S::V {
        // SAFETY: arithmetic only; S is available by the caller's promise.
        unsafe {
            if self.step == 0.0 {
                return self.bounds.apply::<S>(x);
            }
            let bounded = self.bounds.apply::<S>(S::mul(x, S::splat(self.inverse)));
            S::mul(S::round(bounded), S::splat(self.step))
        }
    }
}
