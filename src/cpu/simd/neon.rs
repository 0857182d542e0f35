//! aarch64: NEON.

use std::arch::aarch64::*;

use super::isa::{Simd, accesses, arithmetic};

/// Four lanes with fused multiply-add.
#[derive(Clone, Copy)]
pub(crate) struct Neon;

impl Simd for Neon {
    type F32 = float32x4_t;
    type I32 = int32x4_t;
    type I16 = int16x8_t;
    type I8 = int8x16_t;
    type Mask = uint32x4_t;
    const LANES: usize = 4;
    const ROWS: usize = 6;
    const INT_ROWS: usize = 6;

    accesses! {
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
        load_i32(p: *const i32) -> int32x4_t = vld1q_s32(p);
        store_i32(p: *mut i32, v: int32x4_t) = vst1q_s32(p, v);
        splat_i16(p: *const [i16; 2]) -> int16x8_t = vreinterpretq_s16_s32(vld1q_dup_s32(p.cast()));
        load_i8_as_i16(p: *const i8) -> int16x8_t = vmovl_s8(vld1_s8(p));
    }

    #[inline(always)]
    unsafe fn store_i16(self, p: *mut f32, v: int16x8_t, n: usize) {
        // SAFETY: `self` proves that the instruction set is available; `p` is valid for writing n words.
        unsafe {
            let v = vreinterpretq_f32_s16(v);
            if n == Self::LANES { self.store(p, v) } else { self.store_part(p, v, n) }
        }
    }

    arithmetic! {
        splat(x: f32) -> float32x4_t = vdupq_n_f32(x);
        add(a: float32x4_t, b: float32x4_t) -> float32x4_t = vaddq_f32(a, b);
        sub(a: float32x4_t, b: float32x4_t) -> float32x4_t = vsubq_f32(a, b);
        mul(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmulq_f32(a, b);
        div(a: float32x4_t, b: float32x4_t) -> float32x4_t = vdivq_f32(a, b);
        fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t = vfmaq_f32(c, a, b);
        sqrt(a: float32x4_t) -> float32x4_t = vsqrtq_f32(a);
        at_least(x: float32x4_t, c: float32x4_t) -> float32x4_t = vbslq_f32(vcltq_f32(x, c), c, x);
        at_most(x: float32x4_t, c: float32x4_t) -> float32x4_t = vbslq_f32(vcgtq_f32(x, c), c, x);
        exponent(t: float32x4_t) -> float32x4_t =
            vreinterpretq_f32_u32(vshlq_n_u32::<23>(vaddq_u32(vreinterpretq_u32_f32(t), vdupq_n_u32(127))));
        eq(a: float32x4_t, b: float32x4_t) -> uint32x4_t = vceqq_f32(a, b);
        gt(a: float32x4_t, b: float32x4_t) -> uint32x4_t = vcgtq_f32(a, b);
        both(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vandq_u32(a, b);
        keep(mask: uint32x4_t, x: float32x4_t) -> float32x4_t =
            vreinterpretq_f32_u32(vandq_u32(mask, vreinterpretq_u32_f32(x)));
        select(mask: uint32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(mask, a, b);
        zero_i32() -> int32x4_t = vdupq_n_s32(0);
        to_bits(a: float32x4_t) -> int32x4_t = vreinterpretq_s32_f32(a);
        to_float(a: int32x4_t) -> float32x4_t = vcvtq_f32_s32(a);
        dot_i16(a: int16x8_t, b: int16x8_t, acc: int32x4_t) -> int32x4_t = {
            let products = vpaddq_s32(vmull_s16(vget_low_s16(a), vget_low_s16(b)), vmull_high_s16(a, b));
            vaddq_s32(acc, products)
        };
        narrow(a: int32x4_t, b: int32x4_t) -> int16x8_t = vuzp1q_s16(vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b));
    }
}
