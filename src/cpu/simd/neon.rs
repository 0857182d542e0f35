//! aarch64: NEON.

use std::arch::aarch64::*;

use super::isa::Simd;

/// Four lanes with fused multiply-add.
#[derive(Clone, Copy)]
pub(crate) struct Neon;

/// Implements one-expression functions of [`Simd`].
macro_rules! ops {
    ($($name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $body:expr;)*) => {
        $(#[inline(always)]
        unsafe fn $name($($arg: $ty),*) $(-> $ret)? {
            // SAFETY: NEON is part of aarch64; pointers are valid for this access by the caller's promise.
            #[allow(unused_unsafe, reason = "most intrinsics are safe when the set is always there")]
            unsafe { $body }
        })*
    };
}

impl Simd for Neon {
    type V = float32x4_t;
    const LANES: usize = 4;
    const ROWS: usize = 6;
    const INT_ROWS: usize = 6;

    ops! {
        load(p: *const f32) -> float32x4_t = vld1q_f32(p);
        store(p: *mut f32, v: float32x4_t) = vst1q_f32(p, v);
        load_part(p: *const f32, n: usize) -> float32x4_t = {
            let mut lanes = [0.0f32; 4];
            std::ptr::copy_nonoverlapping(p, lanes.as_mut_ptr(), n);
            vld1q_f32(lanes.as_ptr())
        };
        store_part(p: *mut f32, v: float32x4_t, n: usize) = {
            let mut lanes = [0.0f32; 4];
            vst1q_f32(lanes.as_mut_ptr(), v);
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), p, n);
        };
        splat(x: f32) -> float32x4_t = vdupq_n_f32(x);
        add(a: float32x4_t, b: float32x4_t) -> float32x4_t = vaddq_f32(a, b);
        sub(a: float32x4_t, b: float32x4_t) -> float32x4_t = vsubq_f32(a, b);
        mul(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmulq_f32(a, b);
        div(a: float32x4_t, b: float32x4_t) -> float32x4_t = vdivq_f32(a, b);
        fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t = vfmaq_f32(c, a, b);
        sqrt(a: float32x4_t) -> float32x4_t = vsqrtq_f32(a);
        at_least(x: float32x4_t, c: float32x4_t) -> float32x4_t = vbslq_f32(vcltq_f32(x, c), c, x);
        at_most(x: float32x4_t, c: float32x4_t) -> float32x4_t = vbslq_f32(vcgtq_f32(x, c), c, x);
        eq(a: float32x4_t, b: float32x4_t) -> float32x4_t = vreinterpretq_f32_u32(vceqq_f32(a, b));
        gt(a: float32x4_t, b: float32x4_t) -> float32x4_t = vreinterpretq_f32_u32(vcgtq_f32(a, b));
        and(a: float32x4_t, b: float32x4_t) -> float32x4_t =
            vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)));
        select(mask: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t =
            vbslq_f32(vreinterpretq_u32_f32(mask), a, b);
        exponent(t: float32x4_t) -> float32x4_t =
            vreinterpretq_f32_u32(vshlq_n_u32::<23>(vaddq_u32(vreinterpretq_u32_f32(t), vdupq_n_u32(127))));
        splat_pair(p: *const f32) -> float32x4_t = vreinterpretq_f32_s32(vld1q_dup_s32(p.cast()));
        load_pairs(p: *const i8) -> float32x4_t = vreinterpretq_f32_s16(vmovl_s8(vld1_s8(p)));
        dot(a: float32x4_t, b: float32x4_t, acc: float32x4_t) -> float32x4_t = {
            let (a, b) = (vreinterpretq_s16_f32(a), vreinterpretq_s16_f32(b));
            let products = vpaddq_s32(vmull_s16(vget_low_s16(a), vget_low_s16(b)), vmull_high_s16(a, b));
            vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(acc), products))
        };
        to_float(a: float32x4_t) -> float32x4_t = vcvtq_f32_s32(vreinterpretq_s32_f32(a));
        narrow(a: float32x4_t, b: float32x4_t) -> float32x4_t =
            vreinterpretq_f32_s16(vuzp1q_s16(vreinterpretq_s16_f32(a), vreinterpretq_s16_f32(b)));
    }
}
