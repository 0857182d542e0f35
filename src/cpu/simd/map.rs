//! Functions applied to floats one by one.

use super::dispatch::dispatch;
use super::isa::{Kernel, MAX_LANES, Simd};

/// A function of N floats to one, lane by lane.
pub(crate) trait Lanewise<const N: usize> {
    fn apply<S: Simd>(&self, s: S, x: [S::F32; N]) -> S::F32;
}

/// The identity, `x`.
pub(crate) struct Copy;

impl Lanewise<1> for Copy {
    #[inline(always)]
    fn apply<S: Simd>(&self, _s: S, [x]: [S::F32; 1]) -> S::F32 {
        x
    }
}

/// The sum, `a + b`.
pub(crate) struct Sum;

impl Lanewise<2> for Sum {
    #[inline(always)]
    fn apply<S: Simd>(&self, s: S, [a, b]: [S::F32; 2]) -> S::F32 {
        s.add(a, b)
    }
}

/// Kernel that computes `y[i] = f(x0[i], x1[i], …)`. The pointers must be valid for n floats; y may be one of x, but not overlap otherwise.
pub(super) struct Map<'a, const N: usize, F> {
    pub f: &'a F,
    pub x: [*const f32; N],
    pub y: *mut f32,
    pub n: usize,
}

impl<const N: usize, F: Lanewise<N>> Kernel for Map<'_, N, F> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        let Map { f, x, y, n } = self;
        let mut i = 0;
        // SAFETY: all accesses are below n, for which the pointers are valid.
        unsafe {
            while i + S::LANES <= n {
                let mut v = [s.splat(0.0); N];
                for k in 0..N {
                    v[k] = s.load(x[k].add(i));
                }
                s.store(y.add(i), f.apply(s, v));
                i += S::LANES;
            }
            if i < n {
                let mut v = [s.splat(0.0); N];
                for k in 0..N {
                    v[k] = s.load_part(x[k].add(i), n - i);
                }
                s.store_part(y.add(i), f.apply(s, v), n - i);
            }
        }
    }
}

/// Computes `y[i] = f(x0[i], x1[i], …)` for `n` floats.
///
/// # Safety
/// The pointers must be valid for n floats; y may be one of x, but not overlap otherwise.
#[inline(always)]
pub(crate) unsafe fn map_raw<const N: usize, F: Lanewise<N>>(f: &F, x: [*const f32; N], y: *mut f32, n: usize) {
    // SAFETY: the pointers are valid for n floats.
    unsafe { dispatch(Map { f, x, y, n }) }
}

/// Computes `y[i] = f(x0[i], x1[i], …)`.
///
/// # Panics
/// Unless all slices have equal lengths.
#[inline(always)]
pub(crate) fn map<const N: usize, F: Lanewise<N>>(f: &F, x: [&[f32]; N], y: &mut [f32]) {
    assert!(x.iter().all(|x| x.len() == y.len()));
    // SAFETY: the slices are as long as y, which overlaps none of them.
    unsafe { map_raw(f, x.map(<[f32]>::as_ptr), y.as_mut_ptr(), y.len()) }
}

/// Computes `y[i] = f(y[i], x[i])`.
///
/// # Panics
/// Unless both slices have equal lengths.
#[inline(always)]
pub(crate) fn update<F: Lanewise<2>>(f: &F, y: &mut [f32], x: &[f32]) {
    assert_eq!(x.len(), y.len());
    let to = y.as_mut_ptr();
    // SAFETY: both slices have this length, and do not overlap.
    unsafe { map_raw(f, [to.cast_const(), x.as_ptr()], to, y.len()) }
}

/// True if every value is finite.
pub(crate) fn all_finite(x: &[f32]) -> bool {
    // SAFETY: the slice is valid for its length.
    unsafe { dispatch(AllFinite(x)) }
}

struct AllFinite<'a>(&'a [f32]);

impl Kernel for AllFinite<'_> {
    type Output = bool;

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) -> bool {
        let x = self.0;
        let pair = 2 * S::LANES;
        let whole = x.len() / pair * pair;
        let zero = s.splat(0.0);
        let mut sum = [zero; 2];
        let mut lanes = [0.0; MAX_LANES];
        // SAFETY: i + 2 * LANES <= whole <= len, and the array holds a vector.
        unsafe {
            for i in (0..whole).step_by(pair) {
                // Zero times infinity is NaN, and NaN stays in a sum.
                sum[0] = s.fma(s.load(x.as_ptr().add(i)), zero, sum[0]);
                sum[1] = s.fma(s.load(x.as_ptr().add(i + S::LANES)), zero, sum[1]);
            }
            s.store(lanes.as_mut_ptr(), s.add(sum[0], sum[1]));
        }
        lanes.iter().sum::<f32>() == 0.0 && x[whole..].iter().all(|v| v.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::doubled::with_both;

    #[test]
    fn finite_is_told_from_not() {
        with_both(|| {
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
        });
    }
}
