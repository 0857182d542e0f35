//! WebAssembly: SIMD128, relaxed where the build has it.

use std::arch::wasm32::*;

use super::isa::{Simd, accesses, arithmetic};

/// Four lanes; `relaxed_madd` where the build has relaxed SIMD.
#[derive(Clone, Copy)]
pub(crate) struct Simd128;

impl Simd for Simd128 {
    type F32 = v128;
    type I32 = v128;
    type I16 = v128;
    type I8 = v128;
    type Mask = v128;
    const LANES: usize = 4;
    // A separate multiplication needs registers for its results.
    const ROWS: usize = if cfg!(target_feature = "relaxed-simd") { 6 } else { 4 };
    const INT_ROWS: usize = 4;
    const DOT_U8: bool = cfg!(target_feature = "relaxed-simd");

    accesses! {
        load(p: *const f32) -> v128 = v128_load(p.cast());
        store(p: *mut f32, v: v128) = v128_store(p.cast(), v);
        load_part(p: *const f32, n: usize) -> v128 = match n {
            0 => f32x4_splat(0.0),
            1 => v128_load32_zero(p.cast()),
            2 => v128_load64_zero(p.cast()),
            _ => v128_load32_lane::<2>(v128_load64_zero(p.cast()), p.add(2).cast()),
        };
        store_part(p: *mut f32, v: v128, n: usize) = match n {
            0 => {}
            1 => v128_store32_lane::<0>(v, p.cast()),
            2 => v128_store64_lane::<0>(v, p.cast()),
            _ => {
                v128_store64_lane::<0>(v, p.cast());
                v128_store32_lane::<2>(v, p.add(2).cast());
            }
        };
        load_i32(p: *const i32) -> v128 = v128_load(p.cast());
        store_i32(p: *mut i32, v: v128) = v128_store(p.cast(), v);
        splat_i16(p: *const [i16; 2]) -> v128 = v128_load32_splat(p.cast());
        load_i8_as_i16(p: *const i8) -> v128 = i16x8_load_extend_i8x8(p);
    }

    #[inline(always)]
    unsafe fn store_i16(self, p: *mut f32, v: v128, n: usize) {
        // SAFETY: `self` proves that the instruction set is available; `p` is valid for writing n words.
        unsafe { if n == Self::LANES { self.store(p, v) } else { self.store_part(p, v, n) } }
    }

    arithmetic! {
        splat(x: f32) -> v128 = f32x4_splat(x);
        add(a: v128, b: v128) -> v128 = f32x4_add(a, b);
        sub(a: v128, b: v128) -> v128 = f32x4_sub(a, b);
        mul(a: v128, b: v128) -> v128 = f32x4_mul(a, b);
        div(a: v128, b: v128) -> v128 = f32x4_div(a, b);
        sqrt(a: v128) -> v128 = f32x4_sqrt(a);
        round(x: v128) -> v128 = f32x4_nearest(x);
        at_least(x: v128, c: v128) -> v128 = f32x4_pmax(x, c);
        at_most(x: v128, c: v128) -> v128 = f32x4_pmin(x, c);
        exponent(t: v128) -> v128 = i32x4_shl(i32x4_add(t, i32x4_splat(127)), 23);
        eq(a: v128, b: v128) -> v128 = f32x4_eq(a, b);
        gt(a: v128, b: v128) -> v128 = f32x4_gt(a, b);
        both(a: v128, b: v128) -> v128 = v128_and(a, b);
        keep(mask: v128, x: v128) -> v128 = v128_and(mask, x);
        select(mask: v128, a: v128, b: v128) -> v128 = v128_bitselect(a, b, mask);
        zero_i32() -> v128 = i32x4_splat(0);
        to_bits(a: v128) -> v128 = a;
        to_float(a: v128) -> v128 = f32x4_convert_i32x4(a);
        dot_i16(a: v128, b: v128, acc: v128) -> v128 = i32x4_add(acc, i32x4_dot_i16x8(a, b));
        narrow(a: v128, b: v128) -> v128 = i16x8_shuffle::<0, 2, 4, 6, 8, 10, 12, 14>(a, b);
    }

    #[cfg(target_feature = "relaxed-simd")]
    arithmetic! {
        fma(a: v128, b: v128, c: v128) -> v128 = f32x4_relaxed_madd(a, b, c);
        dot_u8(a: v128, b: v128, acc: v128) -> v128 = i32x4_relaxed_dot_i8x16_i7x16_add(b, a, acc);
        narrow_u8(a: v128, b: v128) -> v128 = u8x16_narrow_i16x8(a, b);
    }

    #[cfg(target_feature = "relaxed-simd")]
    accesses! {
        splat_i8(p: *const [i8; 4]) -> v128 = v128_load32_splat(p.cast());
        load_i8(p: *const i8) -> v128 = v128_load(p.cast());
    }

    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    unsafe fn store_i8(self, p: *mut f32, v: v128, n: usize) {
        // SAFETY: `p` is valid for writing n words.
        unsafe { self.store_i16(p, v, n) }
    }

    #[cfg(not(target_feature = "relaxed-simd"))]
    arithmetic! {
        fma(a: v128, b: v128, c: v128) -> v128 = f32x4_add(f32x4_mul(a, b), c);
    }
}
