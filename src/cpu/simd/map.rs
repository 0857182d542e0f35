//! Functions applied to floats one by one.

use super::dispatch::dispatch;
use super::isa::{Kernel, MAX_LANES, Simd};

/// A function of N floats to one, lane by lane.
pub(crate) trait Lanewise<const N: usize> {
    /// # Safety
    /// S must be available.
    unsafe fn apply<S: Simd>(&self, x: [S::V; N]) -> S::V;
}

/// x
pub(crate) struct Copy;

impl Lanewise<1> for Copy {
    #[inline(always)]
    unsafe fn apply<S: Simd>(&self, [x]: [S::V; 1]) -> S::V {
        x
    }
}

/// a + b
pub(crate) struct Sum;

impl Lanewise<2> for Sum {
    #[inline(always)]
    unsafe fn apply<S: Simd>(&self, [a, b]: [S::V; 2]) -> S::V {
        // SAFETY: arithmetic only; S is available by the caller's promise.
        unsafe { S::add(a, b) }
    }
}

/// `y[i] = f(x0[i], x1[i], …)`. The pointers must be valid for n floats; y may be one of x, but not overlap otherwise.
pub(crate) struct Map<'a, const N: usize, F> {
    pub f: &'a F,
    pub x: [*const f32; N],
    pub y: *mut f32,
    pub n: usize,
}

impl<const N: usize, F: Lanewise<N>> Kernel for Map<'_, N, F> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Map { f, x, y, n } = self;
        let mut i = 0;
        // SAFETY: all accesses are below n, for which the pointers are valid.
        unsafe {
            while i + S::LANES <= n {
                let mut v = [S::splat(0.0); N];
                for k in 0..N {
                    v[k] = S::load(x[k].add(i));
                }
                S::store(y.add(i), f.apply::<S>(v));
                i += S::LANES;
            }
            if i < n {
                let mut v = [S::splat(0.0); N];
                for k in 0..N {
                    v[k] = S::load_part(x[k].add(i), n - i);
                }
                S::store_part(y.add(i), f.apply::<S>(v), n - i);
            }
        }
    }
}

/// `y[i] = f(x0[i], x1[i], …)` for `n` floats.
///
/// # Safety
/// The pointers must be valid for n floats; y may be one of x, but not overlap otherwise.
#[inline(always)]
pub(crate) unsafe fn map<const N: usize, F: Lanewise<N>>(f: &F, x: [*const f32; N], y: *mut f32, n: usize) {
    // SAFETY: the caller's promise is that of the kernel.
    unsafe { dispatch(Map { f, x, y, n }) }
}

/// Whether every value is finite.
pub(crate) fn all_finite(x: &[f32]) -> bool {
    // SAFETY: the slice is valid for its length.
    unsafe { dispatch(AllFinite(x)) }
}

struct AllFinite<'a>(&'a [f32]);

impl Kernel for AllFinite<'_> {
    type Output = bool;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> bool {
        let x = self.0;
        let pair = 2 * S::LANES;
        let whole = x.len() / pair * pair;
        // SAFETY: i + 2 * LANES <= whole <= len.
        unsafe {
            let zero = S::splat(0.0);
            let mut sum = [zero; 2];
            for i in (0..whole).step_by(pair) {
                // Zero times infinity is NaN, and NaN stays in a sum.
                sum[0] = S::fma(S::load(x.as_ptr().add(i)), zero, sum[0]);
                sum[1] = S::fma(S::load(x.as_ptr().add(i + S::LANES)), zero, sum[1]);
            }
            let mut lanes = [0.0; MAX_LANES];
            S::store(lanes.as_mut_ptr(), S::add(sum[0], sum[1]));
            lanes.iter().sum::<f32>() == 0.0 && x[whole..].iter().all(|v| v.is_finite())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finite_is_told_from_not() {
        for n in 0..40 {
            let mut x = vec![f32::MAX; n];
            assert!(all_finite(&x));
            for i in 0..n {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    x[i] = bad;
                    assert!(!all_finite(&x));
                }
                x[i] = -1.0;
            }
        }
    }
}
