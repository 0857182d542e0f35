//! WebAssembly: SIMD128, relaxed where the build has it.

use std::arch::wasm32::*;

use super::isa::Simd;

/// Four lanes; `relaxed_madd` where the build has relaxed SIMD.
#[derive(Clone, Copy)]
pub(crate) struct Simd128;

impl Simd for Simd128 {
    type V = v128;
    const LANES: usize = 4;
    // A separate multiplication needs registers for its results.
    const ROWS: usize = if cfg!(target_feature = "relaxed-simd") { 6 } else { 4 };
    const INT_ROWS: usize = 4;

    #[inline(always)]
    unsafe fn load(p: *const f32) -> v128 {
        // SAFETY: the caller promises four readable floats.
        unsafe { v128_load(p.cast()) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: v128) {
        // SAFETY: the caller promises four writable floats.
        unsafe { v128_store(p.cast(), v) }
    }
    #[inline(always)]
    unsafe fn load_part(p: *const f32, n: usize) -> v128 {
        // SAFETY: the caller promises n readable floats, and no more are read.
        unsafe {
            match n {
                0 => f32x4_splat(0.0),
                1 => v128_load32_zero(p.cast()),
                2 => v128_load64_zero(p.cast()),
                _ => v128_load32_lane::<2>(v128_load64_zero(p.cast()), p.add(2).cast()),
            }
        }
    }
    #[inline(always)]
    unsafe fn store_part(p: *mut f32, v: v128, n: usize) {
        // SAFETY: the caller promises n writable floats, and no more are written.
        unsafe {
            match n {
                0 => {}
                1 => v128_store32_lane::<0>(v, p.cast()),
                2 => v128_store64_lane::<0>(v, p.cast()),
                _ => {
                    v128_store64_lane::<0>(v, p.cast());
                    v128_store32_lane::<2>(v, p.add(2).cast());
                }
            }
        }
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> v128 {
        f32x4_splat(x)
    }
    #[inline(always)]
    unsafe fn add(a: v128, b: v128) -> v128 {
        f32x4_add(a, b)
    }
    #[inline(always)]
    unsafe fn sub(a: v128, b: v128) -> v128 {
        f32x4_sub(a, b)
    }
    #[inline(always)]
    unsafe fn mul(a: v128, b: v128) -> v128 {
        f32x4_mul(a, b)
    }
    #[inline(always)]
    unsafe fn div(a: v128, b: v128) -> v128 {
        f32x4_div(a, b)
    }
    #[inline(always)]
    unsafe fn fma(a: v128, b: v128, c: v128) -> v128 {
        #[cfg(target_feature = "relaxed-simd")]
        return f32x4_relaxed_madd(a, b, c);
        #[cfg(not(target_feature = "relaxed-simd"))]
        return f32x4_add(f32x4_mul(a, b), c);
    }
    #[inline(always)]
    unsafe fn sqrt(a: v128) -> v128 {
        f32x4_sqrt(a)
    }
    #[inline(always)]
    unsafe fn round(x: v128) -> v128 {
        f32x4_nearest(x)
    }
    #[inline(always)]
    unsafe fn at_least(x: v128, c: v128) -> v128 {
        f32x4_pmax(x, c)
    }
    #[inline(always)]
    unsafe fn at_most(x: v128, c: v128) -> v128 {
        f32x4_pmin(x, c)
    }
    #[inline(always)]
    unsafe fn eq(a: v128, b: v128) -> v128 {
        f32x4_eq(a, b)
    }
    #[inline(always)]
    unsafe fn gt(a: v128, b: v128) -> v128 {
        f32x4_gt(a, b)
    }
    #[inline(always)]
    unsafe fn and(a: v128, b: v128) -> v128 {
        v128_and(a, b)
    }
    #[inline(always)]
    unsafe fn select(mask: v128, a: v128, b: v128) -> v128 {
        v128_bitselect(a, b, mask)
    }
    #[inline(always)]
    unsafe fn exponent(t: v128) -> v128 {
        i32x4_shl(i32x4_add(t, i32x4_splat(127)), 23)
    }
    #[inline(always)]
    unsafe fn splat_pair(p: *const f32) -> v128 {
        // SAFETY: the caller promises a readable pair.
        unsafe { v128_load32_splat(p.cast()) }
    }
    #[inline(always)]
    unsafe fn load_pairs(p: *const i8) -> v128 {
        // SAFETY: the caller promises eight readable bytes.
        unsafe { i16x8_load_extend_i8x8(p) }
    }
    #[inline(always)]
    unsafe fn dot(a: v128, b: v128, acc: v128) -> v128 {
        i32x4_add(acc, i32x4_dot_i16x8(a, b))
    }
    #[inline(always)]
    unsafe fn to_float(a: v128) -> v128 {
        f32x4_convert_i32x4(a)
    }
    #[inline(always)]
    unsafe fn narrow(a: v128, b: v128) -> v128 {
        i16x8_shuffle::<0, 2, 4, 6, 8, 10, 12, 14>(a, b)
    }
    #[cfg(target_feature = "relaxed-simd")]
    const QUADS: bool = true;
    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    unsafe fn dot_bytes(a: v128, b: v128, acc: v128) -> v128 {
        i32x4_relaxed_dot_i8x16_i7x16_add(b, a, acc)
    }
    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    unsafe fn narrow_bytes(a: v128, b: v128) -> v128 {
        u8x16_narrow_i16x8(a, b)
    }
}
