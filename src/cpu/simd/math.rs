//! Exponential functions of vectors.

use super::isa::{MAGIC, Simd};

/// Bounds of x within which `exp(x)` is a normal float: ln 2^-126 and ln 2^127.5, rounded inwards.
const EXP_RANGE: [f32; 2] = [-87.336_54, 88.376_26];

/// ln 2 in two parts; the first has few enough bits for `n` times it to be exact.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];

/// Coefficients of r^7 to r^2 in the polynomial for `exp(r)` on -ln 2 / 2 .. ln 2 / 2, from `expf` of Moshier's Cephes
/// library (<https://www.netlib.org/cephes/>, single/expf.c).
const EXP_POLYNOMIAL: [f32; 6] = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1];

/// `exp(x)` to about one unit in the last place; saturates at the ends of the normal range, NaN stays.
///
/// Writes x as `n ln 2 + r` with integral n and small r, so that `exp(x) = 2^n exp(r)`: a shift of the exponent times a
/// polynomial.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let x = s.at_most(s.at_least(x, s.splat(EXP_RANGE[0])), s.splat(EXP_RANGE[1]));
    let t = s.fma(x, s.splat(std::f32::consts::LOG2_E), s.splat(MAGIC));
    let n = s.sub(t, s.splat(MAGIC));
    let r = s.fma(n, s.splat(-LN_2[0]), x);
    let r = s.fma(n, s.splat(-LN_2[1]), r);
    let p = polynomial(s, r, EXP_POLYNOMIAL);
    let p = s.fma(s.mul(p, r), r, s.add(r, s.splat(1.0)));
    s.mul(p, s.exponent(t))
}

/// The bound of |x| from which on the quotient for `tanh(x)` is 1.
const TANH_RANGE: f32 = 7.905_311;

/// Coefficients of x^13, x^11 … x in the numerator of `tanh(x)`, from `ptanh_float` of the Eigen library
/// (<https://gitlab.com/libeigen/eigen>, Eigen/src/Core/MathFunctionsImpl.h).
const TANH_NUMERATOR: [f32; 7] =
    [-2.760_768_5e-16, 2.000_188e-13, -8.604_672e-11, 5.122_297e-8, 1.485_722_4e-5, 6.372_619_3e-4, 4.893_524_6e-3];

/// Coefficients of x^6 to x^0 in the denominator, from the function that [`TANH_NUMERATOR`] names.
const TANH_DENOMINATOR: [f32; 4] = [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_6e-3, 4.893_525_3e-3];

/// `tanh(x)` to a few units in the last place; NaN stays.
///
/// A rational minimax approximation: an odd polynomial divided by an even one, after x is clamped to where their quotient
/// is 1.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let x = s.at_most(s.at_least(x, s.splat(-TANH_RANGE)), s.splat(TANH_RANGE));
    let x2 = s.mul(x, x);
    let p = polynomial(s, x2, TANH_NUMERATOR);
    let q = polynomial(s, x2, TANH_DENOMINATOR);
    s.div(s.mul(p, x), q)
}

/// Evaluates the polynomial with these coefficients, the highest power first, by Horner's scheme.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, x: S::F32, coefficients: [f32; N]) -> S::F32 {
    let mut p = s.splat(coefficients[0]);
    for i in 1..N {
        p = s.fma(p, x, s.splat(coefficients[i]));
    }
    p
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::doubled::Doubled;
    use crate::cpu::simd::isa::Kernel;
    use crate::cpu::simd::map::{Lanewise, Map, map};
    use crate::cpu::simd::portable::Portable;
    #[cfg(not(target_arch = "x86_64"))]
    use crate::cpu::simd::portable::Portable as Other;
    #[cfg(target_arch = "x86_64")]
    use crate::cpu::simd::x86::Sse as Other;

    struct Exp;
    impl Lanewise<1> for Exp {
        #[inline(always)]
        fn apply<S: Simd>(&self, s: S, [x]: [S::F32; 1]) -> S::F32 {
            exp(s, x)
        }
    }

    struct Tanh;
    impl Lanewise<1> for Tanh {
        #[inline(always)]
        fn apply<S: Simd>(&self, s: S, [x]: [S::F32; 1]) -> S::F32 {
            tanh(s, x)
        }
    }

    /// Runs on every instruction set of this machine, in plain code, and in vectors of two halves.
    fn on_all<F: Lanewise<1>>(f: &F, x: &[f32]) -> Vec<Vec<f32>> {
        let mut results = vec![vec![0.0; x.len()]; 4];
        let [a, b, c, d] = results.get_disjoint_mut([0, 1, 2, 3]).unwrap();
        let n = x.len();
        let kernel = |y: &mut Vec<f32>| Map { f, x: [x.as_ptr()], y: y.as_mut_ptr(), n };
        map(f, [x], a);
        // SAFETY: x and each result hold n floats.
        unsafe {
            kernel(b).run(Portable);
            kernel(c).run(Other);
            kernel(d).run(Doubled(Portable));
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
