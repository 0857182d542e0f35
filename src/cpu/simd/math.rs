//! Functions of vectors.

use super::isa::{MAGIC, Simd};

/// `exp(x)` to about one unit in the last place; saturates at the ends of the normal range, NaN stays (coefficients of
/// Moshier's Cephes library).
///
/// # Safety
/// S must be available.
#[inline(always)]
pub(crate) unsafe fn exp<S: Simd>(x: S::V) -> S::V {
    // SAFETY: arithmetic only; S is available by the caller's promise.
    unsafe {
        let x = S::at_most(S::at_least(x, S::splat(-87.336_54)), S::splat(88.376_26));
        let t = S::fma(x, S::splat(std::f32::consts::LOG2_E), S::splat(MAGIC));
        let n = S::sub(t, S::splat(MAGIC));
        // ln 2 in two parts, the first short enough for n times it to be exact.
        let r = S::fma(n, S::splat(-0.693_359_4), x);
        let r = S::fma(n, S::splat(2.121_944_4e-4), r);
        let mut p = S::splat(1.987_569_1e-4);
        for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1] {
            p = S::fma(p, r, S::splat(c));
        }
        let p = S::fma(S::mul(p, r), r, S::add(r, S::splat(1.0)));
        S::mul(p, S::exponent(t))
    }
}

/// `tanh(x)` to a few units in the last place, as a quotient of polynomials (coefficients of the Eigen library).
///
/// # Safety
/// S must be available.
#[inline(always)]
pub(crate) unsafe fn tanh<S: Simd>(x: S::V) -> S::V {
    // SAFETY: arithmetic only; S is available by the caller's promise.
    unsafe {
        let x = S::at_most(S::at_least(x, S::splat(-7.905_311)), S::splat(7.905_311));
        let x2 = S::mul(x, x);
        let mut p = S::splat(-2.760_768_5e-16);
        for c in [2.000_188e-13, -8.604_672e-11, 5.122_297e-8, 1.485_722_4e-5, 6.372_619_3e-4, 4.893_524_6e-3] {
            p = S::fma(p, x2, S::splat(c));
        }
        let mut q = S::splat(1.198_258_4e-6);
        for c in [1.185_347_1e-4, 2.268_434_6e-3, 4.893_525_3e-3] {
            q = S::fma(q, x2, S::splat(c));
        }
        S::div(S::mul(p, x), q)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::isa::Kernel;
    use crate::cpu::simd::map::{Lanewise, Map, map};
    use crate::cpu::simd::portable;
    #[cfg(target_arch = "x86_64")]
    use crate::cpu::simd::x86;

    struct Exp;
    impl Lanewise<1> for Exp {
        #[inline(always)]
        unsafe fn apply<S: Simd>(&self, [x]: [S::V; 1]) -> S::V {
            // SAFETY: S is available by the caller's promise.
            unsafe { exp::<S>(x) }
        }
    }

    struct Tanh;
    impl Lanewise<1> for Tanh {
        #[inline(always)]
        unsafe fn apply<S: Simd>(&self, [x]: [S::V; 1]) -> S::V {
            // SAFETY: S is available by the caller's promise.
            unsafe { tanh::<S>(x) }
        }
    }

    /// Runs on every instruction set of this machine, and in plain code.
    fn on_all<F: Lanewise<1>>(f: &F, x: &[f32]) -> Vec<Vec<f32>> {
        let mut results = vec![vec![0.0; x.len()]; 3];
        let [a, b, c] = results.get_disjoint_mut([0, 1, 2]).unwrap();
        let n = x.len();
        // SAFETY: x and each result hold n floats; SSE2 is part of x86-64.
        unsafe {
            map(f, [x.as_ptr()], a.as_mut_ptr(), n);
            Map { f, x: [x.as_ptr()], y: b.as_mut_ptr(), n }.run::<portable::Portable>();
            #[cfg(target_arch = "x86_64")]
            Map { f, x: [x.as_ptr()], y: c.as_mut_ptr(), n }.run::<x86::Sse>();
            #[cfg(not(target_arch = "x86_64"))]
            Map { f, x: [x.as_ptr()], y: c.as_mut_ptr(), n }.run::<portable::Portable>();
        }
        results
    }

    fn worst(f: &impl Lanewise<1>, truth: fn(f64) -> f64, limit: f32) -> f64 {
        let x: Vec<f32> = (-20_003..=20_000).map(|i| i as f32 / 20_000.0 * limit).collect();
        let mut worst = 0.0f64;
        for y in on_all(f, &x) {
            for (x, y) in x.iter().zip(&y) {
                let want = truth(f64::from(*x));
                worst = worst.max(((f64::from(*y) - want) / want.abs().max(1e-38)).abs());
            }
        }
        worst
    }

    #[test]
    fn exponential_functions_are_accurate() {
        assert!(worst(&Exp, f64::exp, 87.0) < 3e-7, "{}", worst(&Exp, f64::exp, 87.0));
        assert!(worst(&Tanh, f64::tanh, 12.0) < 1e-6, "{}", worst(&Tanh, f64::tanh, 12.0));
    }

    #[test]
    fn not_a_number_stays_one() {
        for y in on_all(&Exp, &[f32::NAN; 9]).into_iter().chain(on_all(&Tanh, &[f32::NAN; 9])) {
            assert!(y.iter().all(|v| v.is_nan()));
        }
    }
}
